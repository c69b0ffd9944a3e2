"""What a run's mailbox promises on every store: messages of many processes, kept as long as their run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agentvm_compiler.errors import InputError
from agentvm_runtime.mailbox import mailbox_of, post, read
from agentvm_runtime.ports import Store
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord, RunStatus
from agentvm_runtime.store import open_store
from agentvm_runtime.store.survey import save, survey
from agentvm_runtime.values import digest, encode

IN, SAID = Digest("1" * 40), Digest("2" * 40)
RUN = RunRecord("run-1", "agents:main", "hash", IN, 100.0)
MESSAGE = Event(EventKind.ANSWERED, "human#1", key="k1", value=SAID, started_at=1.0, finished_at=1.0)
MANY = 40


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind, where nothing is yet."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return new()
    return f"sqlite+aiosqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else "memory"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    yield store
    await store.aclose()


async def test_messages_of_several_writers_are_numbered_without_holes(store: Store, url: str) -> None:
    """Who posts in the same instant, over connections of their own, gets numbers of their own."""
    others = [store] if url == "memory" else [store, open_store(url), open_store(url)]

    async def say(writer: Store, name: int) -> None:
        await writer.open()
        for number in range(MANY):
            await post(writer, "run-1", replace(MESSAGE, path=f"{name}.{number}"), {SAID: b"said"})

    async with anyio.create_task_group() as tasks:
        for name, each in enumerate(others):
            tasks.start_soon(say, each, name)
    said = await read(store, "run-1")
    assert [each.seq for each in said] == list(range(1, MANY * len(others) + 1))
    for name in range(len(others)):
        mine = [each.path for each in said if each.path.startswith(f"{name}.")]
        assert mine == [f"{name}.{number}" for number in range(MANY)]
    for each in others[1:]:
        await each.aclose()


async def test_a_mailbox_is_removed_with_its_run(store: Store) -> None:
    """And with it what only its messages named; as long as the run is there, that stays."""
    await store.create_run(RUN, {IN: b"in"})
    await post(store, "run-1", MESSAGE, {SAID: b"said"})
    await store.set_status("run-1", RunStatus.SUSPENDED).wait()
    assert (await store.collect(["run-1"])).runs == ()
    assert await store.values([SAID]) == {SAID: b"said"}
    await store.set_status("run-1", RunStatus.COMPLETED, finished_at=5.0).wait()
    assert (await store.collect([])).values == 0
    assert len(await read(store, "run-1")) == 1
    assert (await store.collect(["run-1"])).values == 2
    assert await read(store, "run-1") == []
    assert await store.values([SAID]) == {}


async def test_a_run_is_added_with_its_mailbox(store: Store) -> None:
    """Messages come numbered, beside the journal and not in it."""
    mail = [MESSAGE, replace(MESSAGE, path="human#2")]
    await store.add_run(RUN, [replace(MESSAGE, kind=EventKind.DONE)], {IN: b"in", SAID: b"said"}, mail)
    assert await read(store, "run-1") == [replace(each, seq=number) for number, each in enumerate(mail, 1)]
    assert await store.last_seq("run-1") == 1
    assert await store.values([SAID]) == {SAID: b"said"}


async def test_no_run_has_the_name_of_a_mailbox(store: Store) -> None:
    """Else the messages to one run would be the journal of another."""
    with pytest.raises(InputError, match="choose another id"):
        await store.create_run(replace(RUN, id=mailbox_of("run-1")), {})


async def test_a_survey_takes_a_mailbox_for_a_part_of_its_run(tmp_path: Path) -> None:
    """It is no run that has lost its row; what its messages name is looked for, and saved with the run."""
    path, saved = tmp_path / "runs.db", tmp_path / "saved.db"
    store = open_store(f"sqlite:///{path}")
    await store.open()
    await store.create_run(replace(RUN, id="gone"), {})
    inputs, said = encode({}, name="in"), encode("yes", name="answer")
    await store.create_run(replace(RUN, inputs=digest(inputs)), {digest(inputs): inputs})
    await post(store, "run-1", replace(MESSAGE, value=digest(said)), {digest(said): said})
    await post(store, "gone", MESSAGE)
    await store.aclose()
    found = survey(path)
    assert (found.whole, found.partly) == (["run-1"], {"gone": "2 of its 2 values are lost"})
    save(path, saved)
    copy = open_store(f"sqlite:///{saved}")
    await copy.open()
    assert [each.value for each in await read(copy, "run-1")] == [digest(said)]
    assert await copy.values([digest(said)]) == {digest(said): said}
    await copy.aclose()
