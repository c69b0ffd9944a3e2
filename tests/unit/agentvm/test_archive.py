"""Runs as files: what is written is read again elsewhere, whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from agentvm import AgentVM, InputError, RunSuspended, agent, ask_human, llm
from agentvm.archive import read_archive, write_archive
from agentvm.testing import ScriptedLLM
from agentvm_runtime.mailbox import read
from agentvm_runtime.store.memory import MemoryStore


@agent
async def flow(topic: str) -> str:
    facts = await llm(f"facts about {topic}")
    draft = await llm(f"draft from {facts}")
    return draft.strip()


@pytest.fixture
async def archive(tmp_path: Path) -> tuple[Path, str]:
    """A fork, exported; and its id."""
    store = MemoryStore()
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: f"<{call.prompt}>")) as vm:
        run = await vm.start(flow, "bees")
        await run.result()
        fork = await vm.fork(run.id, set={"facts": "MINE"})
        await fork.result()
        path = tmp_path / "fork.avmrun.gz"
        await write_archive(store, await vm.get(fork.id), path)
    return path, fork.id


async def test_an_archive_is_a_run_elsewhere(archive: tuple[Path, str]):
    """With its parent; it ends as it did, executes nothing, and can be forked on."""
    path, run = archive
    model = ScriptedLLM(lambda call: f"({call.prompt})")
    async with AgentVM(store=MemoryStore(), llm=model) as vm:
        new = await read_archive(vm.store, path)
        assert [each.id for each in new][-1] == run
        assert new[0].id == new[1].parent
        assert await (await vm.resume(run)).result() == "<draft from MINE>"
        assert model.calls == []
        again = await vm.fork(run, at="draft")
        assert await again.result() == "(draft from MINE)"
        assert await read_archive(vm.store, path) == []


async def test_equal_runs_make_equal_files(archive: tuple[Path, str], tmp_path: Path):
    """An archive that is read and written again is the same, byte for byte."""
    path, run = archive
    store = MemoryStore()
    await store.open()
    await read_archive(store, path)
    record = await store.get_run(run)
    assert record is not None
    await write_archive(store, record, tmp_path / "again.gz")
    assert (tmp_path / "again.gz").read_bytes() == path.read_bytes()


@agent
async def asks(topic: str) -> str:
    return await ask_human(f"What of {topic}?") + "!"


@pytest.mark.parametrize("ended", [False, True])
async def test_what_was_said_to_a_run_goes_along_while_it_matters(tmp_path: Path, ended: bool):
    """A run that was answered goes on elsewhere with the answer; of one that has ended the messages stay."""
    async with AgentVM(store=MemoryStore(), llm=ScriptedLLM("x")) as vm:
        run = await vm.start(asks, "bees")
        with pytest.raises(RunSuspended):
            await run.result()
        await vm.answer(run, value="useful")
        if ended:
            await (await vm.resume(run)).result()
        await write_archive(vm.store, await vm.get(run.id), tmp_path / "run.gz")
    async with AgentVM(store=MemoryStore(), llm=ScriptedLLM("x")) as vm:
        await read_archive(vm.store, tmp_path / "run.gz")
        assert len(await read(vm.store, run.id)) == (0 if ended else 1)
        assert await (await vm.resume(run.id)).result() == "useful!"


@pytest.mark.parametrize("damage", ["flipped", "cut", "changed", "other", "empty", "missing"])
async def test_a_damaged_archive_is_refused(archive: tuple[Path, str], damage: str):
    """Nothing is written, and the message says what is wrong."""
    path, _ = archive
    data = path.read_bytes()
    text = gzip.decompress(data)
    made = {
        "flipped": data[:100] + bytes([data[100] ^ 1]) + data[101:],
        "cut": data[: len(data) // 2],
        "changed": gzip.compress(text.replace(b"test_archive:flow", b"test_archive:evil")),
        "other": gzip.compress(b'{"format": "else"}\n{"sha256": ""}\n'),
        "empty": b"",
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(made[damage])
    store = MemoryStore()
    await store.open()
    with pytest.raises(InputError, match=path.name):
        await read_archive(store, path)
    assert await store.list_runs() == []


async def test_another_run_of_that_name_is_left_alone(archive: tuple[Path, str]):
    """Ids are the users' to choose: equal ones need not be the same run."""
    path, run = archive
    async with AgentVM(store=MemoryStore(), llm=ScriptedLLM("x")) as vm:
        other = await vm.start(flow, "ants", run_id=run)
        await other.result()
        with pytest.raises(InputError, match="another run called"):
            await read_archive(vm.store, path)
        assert len(await vm.list()) == 1
