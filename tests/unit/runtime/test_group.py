"""The writer that commits in groups: who waits hears, whatever came of it, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator

import anyio
import pytest

from agentvm_compiler.errors import InputError
from agentvm_runtime.errors import RunLeased, StoreError
from agentvm_runtime.store.durability import Durability, Mode
from agentvm_runtime.store.group import GroupWriter
from agentvm_runtime.store.pending import Pending


class Disk:
    """A transaction that keeps what became durable, once its gate is open."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.ends: dict[str, int] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.durable: list[str] = []
        self._written: list[str] = []

    def write(self, text: str) -> None:
        self._written.append(text)

    def begin(self) -> None:
        self.gate.wait()

    def commit(self) -> None:
        if self.broken:
            raise sqlite3.OperationalError("database or disk is full")
        self.durable += self._written
        self._written.clear()

    def rollback(self) -> None:
        self._written.clear()

    def is_busy(self, error: BaseException) -> bool:
        return False

    def explain(self, error: BaseException, doing: str) -> StoreError:
        return StoreError(f"cannot {doing}: {error}")

    def close(self) -> None: ...


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def writer(disk: Disk) -> Iterator[Callable[..., GroupWriter]]:
    """Makes a writer to the disk, with a mode of durability."""
    made: list[GroupWriter] = []

    def make(mode: Mode = Mode.GROUP, unacknowledged: int = 2) -> GroupWriter:
        made.append(GroupWriter(disk, "disk", Durability(mode, unacknowledged)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    disk.gate.set()
    for each in made:
        each.close()


def refused(_: object) -> None:
    raise RunLeased("run lost was taken over")


def unknown(_: object) -> None:
    raise InputError("there is no such run")


@pytest.mark.parametrize("work", [refused, unknown])
async def test_who_is_refused_hears_of_it_however_late_they_ask(writer, work):
    """In `strict`, the writer may be done before who submitted the result comes to wait for it."""
    pending = writer(Mode.STRICT).submit_result(work)
    await pending.settled()
    for _ in range(2):
        with pytest.raises((RunLeased, InputError)):
            await pending.accepted()
        with pytest.raises((RunLeased, InputError)):
            pending.block_accepted()


async def test_a_failed_commit_is_heard_however_late_they_ask(writer, disk: Disk):
    """The same where the disk fails."""
    disk.broken = True
    pending = writer(Mode.STRICT).submit_result(lambda to: to.write("a"))
    await pending.settled()
    with pytest.raises(StoreError, match="full"):
        await pending.accepted()
    with pytest.raises(StoreError, match="full"):
        pending.block_accepted()


@pytest.mark.parametrize("work", [refused, unknown])
async def test_a_refusal_is_for_who_brought_it(writer, disk: Disk, work):
    """Not for whose result waits for room behind it, be it in another thread."""
    group = writer(unacknowledged=1)
    disk.gate.clear()
    first = group.submit_result(work)
    second = group.submit_result(lambda to: to.write("mine"))
    disk.gate.set()
    await second.accepted()
    await anyio.to_thread.run_sync(second.block_accepted)
    with pytest.raises((RunLeased, InputError)):
        await first.wait()
    await second.wait()
    assert disk.durable == ["mine"]


def test_a_result_that_nobody_waits_for_is_written_in_a_moment(writer, disk: Disk):
    """Of a thread without an event loop, too, and though other work comes while it is held."""
    group, gate, written = writer(unacknowledged=64), threading.Event(), threading.Event()
    group.submit_aside(lambda _: gate.wait())
    group.submit_result(lambda _: written.set())
    # While the writer waits a moment for more, there is this at once.
    group.submit_aside(lambda _: group.submit_aside(lambda _: None))
    gate.set()
    assert written.wait(60)


@pytest.mark.parametrize("mode", list(Mode))
async def test_after_a_failed_commit_nothing_is_to_begin(writer, disk: Disk, mode: Mode):
    """Its result could not be recorded, in whatever mode; who asks is told why."""
    group = writer(mode)
    disk.broken = True
    assert not group.full
    await group.submit_result(lambda to: to.write("a")).settled()
    assert group.full
    with pytest.raises(StoreError, match="full"):
        await group.room()
    with pytest.raises(StoreError, match="full"):
        group.block_for_room()
    assert disk.durable == []


async def test_who_waits_for_room_hears_that_the_disk_failed(writer, disk: Disk):
    """In tasks and in threads; nobody waits for ever."""
    group = writer()
    disk.gate.clear()
    results = [group.submit_result(lambda to: to.write("a")) for _ in range(3)]
    waits = [group.room(), group.room(), results[2].accepted(), results[2].wait()]
    blocks = [group.block_for_room, results[2].block_accepted, results[2].block]
    tasks = [asyncio.ensure_future(each) for each in waits]
    tasks += [asyncio.ensure_future(asyncio.to_thread(each)) for each in blocks]
    await anyio.wait_all_tasks_blocked()
    assert not any(each.done() for each in tasks)
    disk.broken = True
    disk.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in outcomes] == [StoreError] * len(tasks)
    assert len({id(each) for each in outcomes}) == len(tasks)  # each its own, with its own traceback


async def test_a_wait_for_room_can_be_given_up(writer, disk: Disk):
    """By a deadline, say: others go on when there is room, and so does the writer."""
    group = writer()
    disk.gate.clear()
    results = [group.submit_result(lambda to: to.write("a")) for _ in range(2)]
    first, second = asyncio.ensure_future(group.room()), asyncio.ensure_future(group.room())
    await anyio.wait_all_tasks_blocked()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    disk.gate.set()
    await second
    await results[-1].wait()
    assert disk.durable == ["a", "a"]


async def test_tasks_are_let_through_one_after_the_other(writer, disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """In the order they came, and none is woken each time there is room for another."""
    group, made_way = writer(), Pending.made_way
    begun: list[int] = []
    waits: list[None] = []

    async def counted(self: Pending) -> None:
        waits.append(None)
        await made_way(self)

    async def begin(number: int) -> None:
        await group.room()
        begun.append(number)
        group.submit_result(lambda to: to.write(str(number)))

    monkeypatch.setattr(Pending, "made_way", counted)
    disk.gate.clear()
    for _ in range(2):
        group.submit_result(lambda to: to.write("before"))
    tasks = [asyncio.ensure_future(begin(number)) for number in range(100)]
    await anyio.wait_all_tasks_blocked()
    given_up = {0, 50, 51}
    for number in given_up:
        tasks[number].cancel()
    disk.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert begun == [number for number in range(100) if number not in given_up]
    assert len(waits) <= 200


async def test_event_loops_wait_for_one_writer(writer, disk: Disk):
    """Each is woken in its own thread."""
    group = writer()
    disk.gate.clear()
    pending = group.submit_result(lambda to: to.write("a"))
    began = threading.Semaphore(0)

    async def elsewhere() -> None:
        task = asyncio.ensure_future(pending.wait())
        await asyncio.sleep(0)
        began.release()
        await task

    others = [asyncio.ensure_future(asyncio.to_thread(asyncio.run, elsewhere())) for _ in range(2)]
    for _ in others:
        await asyncio.to_thread(began.acquire)
    disk.gate.set()
    await pending.wait()
    await asyncio.gather(*others)
    assert disk.durable == ["a"]


async def test_closing_lets_go_of_who_waits(writer, disk: Disk):
    """What was submitted is written first; later work is refused."""
    group = writer()
    disk.gate.clear()
    results = [group.submit_result(lambda to: to.write("a")) for _ in range(2)]
    waiting = asyncio.ensure_future(group.room())
    closing = asyncio.ensure_future(asyncio.to_thread(group.close))
    await anyio.wait_all_tasks_blocked()
    disk.gate.set()
    await waiting
    await closing
    assert [each.error for each in results] == [None, None]
    assert disk.durable == ["a", "a"]
    for submit in (group.submit, group.submit_result, group.submit_aside):
        with pytest.raises(StoreError, match="it is closed"):
            submit(lambda to: to.write("b"))
