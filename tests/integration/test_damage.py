"""Damaged databases: a clear error where the damage is met, and what can be saved."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from agentvm.cli import app
from agentvm.doctor import store as doctor_store
from agentvm_compiler.errors import AgentVMError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord
from agentvm_runtime.store import open_store
from agentvm_runtime.store.survey import survey
from agentvm_runtime.values import decode, digest, encode

RUNS, EVENTS = 6, 40


def text(run: int, number: int) -> str:
    return f"answer {number} of run {run} " * 20


async def fill(path: Path) -> None:
    store = open_store(path)
    await store.open()
    for run in range(RUNS):
        inputs = encode({"run": run})
        name = f"run-{run}"
        parent = "run-3" if run == 5 else None
        record = RunRecord(name, "m:a", "hash", digest(inputs), float(run), parent=parent)
        await store.create_run(record, {digest(inputs): inputs})
        for number in range(EVENTS):
            data = encode(text(run, number))
            event = Event(EventKind.DONE, f"llm#{number}", value=digest(data), detail={"tokens": number})
            store.append(name, event, {digest(data): data})
    await store.aclose()


async def read(path: Path) -> None:
    """All that is there, as a resume and `agentvm show` read it; what comes back must be right."""
    store = open_store(path)
    try:
        await store.open()
        for record in await store.list_runs():
            events = await store.events(record.id)
            wanted: list[Digest] = [each.value for each in events if each.value is not None]
            for name, data in (await store.values([record.inputs, *wanted])).items():
                value = decode(data)
                assert digest(data) == name or value
        await store.append("run-0", Event(EventKind.DONE, "more")).wait()
    finally:
        await store.aclose()


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("intact") / "runs.db"
    anyio.run(fill, path)
    return path


def truncate(raw: bytearray, rng: random.Random) -> bytes:
    return bytes(raw[: rng.randrange(len(raw))])


def flip(raw: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 20])):
        raw[rng.randrange(100, len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def blot(raw: bytearray, rng: random.Random) -> bytes:
    page = rng.randrange(len(raw) // 4096) * 4096
    raw[page : page + 4096] = rng.randbytes(4096)
    return bytes(raw)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("damage", [truncate, flip, blot])
def test_damage_is_a_clear_error_or_harmless(
    intact: Path, tmp_path: Path, damage: Callable[[bytearray, random.Random], bytes], seed: int
) -> None:
    """Whatever happened to the file: reading gives what was written or says what is wrong."""
    path = tmp_path / "runs.db"
    path.write_bytes(damage(bytearray(intact.read_bytes()), random.Random(seed)))
    check = doctor_store(f"sqlite:///{path}")
    assert check.status in ("ok", "fail")
    assert check.status == "ok" or check.remedy
    try:
        anyio.run(read, path)
    except AgentVMError as error:
        assert "damaged" in str(error) or "cannot" in str(error) or "another program" in str(error)


def test_a_whole_database_is_whole(intact: Path) -> None:
    """Nothing is found wrong where nothing is, and nothing is changed."""
    before = intact.read_bytes()
    found = survey(intact)
    assert found.damages == [] and found.partly == {}
    assert found.whole == [f"run-{run}" for run in range(RUNS)]
    assert found.rows["events"] == RUNS * EVENTS
    assert intact.read_bytes() == before
    assert f"; {RUNS} runs;" in doctor_store(f"sqlite:///{intact}").detail


def test_a_flipped_bit_in_a_value_is_found(intact: Path, tmp_path: Path) -> None:
    """Where SQLite sees nothing wrong the checksums of values do, and the other runs are whole."""
    path = tmp_path / "runs.db"
    raw = bytearray(intact.read_bytes())
    at = raw.index(text(3, 7).encode())
    raw[at + 10] ^= 1
    path.write_bytes(raw)
    found = survey(path)
    assert found.partly == {
        "run-3": f"1 of its {EVENTS + 1} values are lost",
        "run-5": "it was forked from run-3, which is not whole",
    }
    assert len(found.whole) == RUNS - 2
    check = doctor_store(f"sqlite:///{path}")
    assert check.status == "fail"
    assert f"4 of {RUNS} runs can be read whole; run-3: 1 of its" in check.detail
    with pytest.raises(StoreError, match="a recorded value is damaged: its checksum"):
        anyio.run(read, path)


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_of_a_truncated_file_what_is_left_is_said(intact: Path, tmp_path: Path, share: float) -> None:
    """SQLite reads nothing of a file shorter than it says; doctor reads what is there, and saves it."""
    path, into = tmp_path / "runs.db", tmp_path / "saved.db"
    raw = intact.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(
        StoreError, match=f"damaged.*What can be saved: agentvm doctor --store sqlite:///{path}"
    ):
        anyio.run(read, path)
    found = survey(path)
    assert found.damages
    assert {*found.whole, *found.partly} == {f"run-{run}" for run in range(RUNS)}
    check = doctor_store(f"sqlite:///{path}")
    assert f"{len(found.whole)} of {RUNS} runs can be read whole" in check.detail
    assert check.remedy.startswith("Restore")
    if found.whole:
        done = CliRunner().invoke(app, ["doctor", "--store", f"sqlite:///{path}", "--save", str(into)])
        assert done.exit_code == 0, done.output
        assert survey(into).whole == found.whole
        anyio.run(read, into)


def test_what_is_whole_can_be_saved(intact: Path, tmp_path: Path) -> None:
    """The remedy that doctor names works: the new file opens, and has the runs that were found whole."""
    path, into = tmp_path / "runs.db", tmp_path / "saved.db"
    raw = bytearray(intact.read_bytes())
    page = raw.index(text(3, 7).encode()) // 4096 * 4096
    raw[page : page + 4096] = bytes(4096)
    path.write_bytes(raw)
    found = survey(path)
    assert found.damages and 0 < len(found.whole) < RUNS
    check = doctor_store(f"sqlite:///{path}")
    assert check.remedy.endswith(f"agentvm doctor --store sqlite:///{path} --save NEW.db")
    done = CliRunner().invoke(app, ["doctor", "--store", f"sqlite:///{path}", "--save", str(into)])
    assert done.exit_code == 0, done.output
    saved = survey(into)
    assert saved.damages == [] and saved.whole == found.whole
    anyio.run(read, into)
    anyio.run(append_more, into)
    again = CliRunner().invoke(app, ["doctor", "--store", f"sqlite:///{path}", "--save", str(into)])
    assert again.exit_code != 0


async def append_more(path: Path) -> None:
    store = open_store(path)
    await store.open()
    await store.append("run-0", Event(EventKind.DONE, "more")).wait()
    await store.aclose()
