"""What each mode of durability promises, seen from inside a run by somebody else who reads the database."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from agentvm import AgentVM, DeadlineExceeded, RunCancelled, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_compiler.errors import ConfigError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.store import group, pending
from agentvm_runtime.store.group import GroupWriter
from agentvm_runtime.store.pending import Pending
from agentvm_runtime.store.sqlite import SqliteTransaction
from agentvm_runtime.store.threads import limiter
from agentvm_runtime.store.transaction import Work

MODES = ["strict", "group", "exit"]
looks: list[Callable[[], None]] = []
"""What the tools below do when they run."""


@tool(effect="write")
async def send(text: str) -> str:
    for look in looks:
        look()
    return f"sent {text}"


@tool(effect="pure")
def count(text: str) -> int:
    for look in looks:
        look()
    return len(text)


@agent
async def correspond(topic: str) -> str:
    draft = await llm(f"Draft: {topic}")
    draft = await llm(f"Improve: {draft}")
    receipt = await send(draft)
    return await llm(f"Thank for {receipt}")


@agent
async def chain(topic: str) -> str:
    one = await llm(f"Next: {topic}")
    two = await llm(f"Next: {one}")
    three = await llm(f"Next: {two}")
    four = await llm(f"Next: {three}")
    five = await llm(f"Next: {four}")
    six = await llm(f"Next: {five}")
    seven = await llm(f"Next: {six}")
    return await llm(f"Next: {seven}")


class Observer:
    """Another process' view: what is on disk now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite+aiosqlite:///{path}"

    def events(self) -> list[str]:
        """Kind and path of every durable event, in order."""
        connection = sqlite3.connect(self.path)
        try:
            return [
                f"{kind} {path}"
                for kind, path in connection.execute("SELECT kind, path FROM events ORDER BY seq")
            ]
        finally:
            connection.close()

    def status(self) -> str:
        connection = sqlite3.connect(self.path)
        try:
            [(status,)] = connection.execute("SELECT status FROM runs").fetchall()
            return str(status)
        finally:
            connection.close()


@pytest.fixture
def disk(tmp_path: Path) -> Observer:
    return Observer(tmp_path / "runs.db")


@pytest.mark.parametrize("mode", MODES)
async def test_a_write_starts_when_all_it_depends_on_is_durable(disk: Observer, mode: str) -> None:
    """Output commit: the intent, and every result before it, can be read by others when the tool begins."""
    seen: list[list[str]] = []
    looks[:] = [lambda: seen.append(disk.events())]
    async with AgentVM(store=disk.url, llm=ScriptedLLM(lambda call: call.prompt[:12]), durability=mode) as vm:
        await vm.run(correspond, "tea")
    assert seen == [["done llm#1", "done llm#2", "intent send#1"]]


@pytest.mark.parametrize("mode", MODES)
async def test_a_machine_that_closes_writes_what_its_runs_have_done(disk: Observer, mode: str) -> None:
    """A run that is interrupted in order keeps all results, whatever the mode."""
    asked = anyio.Event()

    async def answer(call: object) -> str:
        prompt: str = call.prompt  # type: ignore[attr-defined]
        if prompt == "Next: 6":
            asked.set()
            await anyio.sleep_forever()
        return str(1 + int(prompt.rpartition(" ")[2]))

    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer), durability=mode) as vm:
        await vm.start(chain, "0")
        await asked.wait()
    assert disk.events() == [f"done llm#{number}" for number in range(1, 7)]


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_follows_a_write_before_its_result_is_durable(disk: Observer, mode: str) -> None:
    """The call after a write tool is made when nobody can forget that the write was done."""
    looks.clear()
    seen: dict[str, list[str]] = {}

    def answer(call: object) -> str:
        prompt: str = call.prompt  # type: ignore[attr-defined]
        seen[prompt.split()[0]] = disk.events()
        return prompt[:12]

    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer), durability=mode) as vm:
        await vm.run(correspond, "tea")
    assert seen["Thank"] == ["done llm#1", "done llm#2", "intent send#1", "done send#1"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_result_is_returned_when_the_whole_run_is_durable(disk: Observer, mode: str) -> None:
    """Who has the answer can rely on every event, and on the end, being there."""
    async with AgentVM(store=disk.url, llm=ScriptedLLM(lambda call: "x"), durability=mode) as vm:
        run = await vm.start(chain, "tea")
        await run.result()
        assert len(disk.events()) == 8
        assert disk.status() == "completed"


async def test_strict_is_durable_after_every_call(disk: Observer) -> None:
    """When a call is made, the result of every call before it is on disk."""
    seen: list[int] = []

    def answer(_: object) -> str:
        seen.append(len(disk.events()))
        return "x"

    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer), durability="strict") as vm:
        await vm.run(chain, "tea")
    assert seen == list(range(8))


async def test_exit_writes_nothing_before_the_end(disk: Observer) -> None:
    """A run without writes is one transaction, made when it ends."""
    seen: list[int] = []

    def answer(_: object) -> str:
        seen.append(len(disk.events()))
        return "x"

    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer), durability="exit") as vm:
        await vm.run(chain, "tea")
    assert seen == [0] * 8
    assert len(disk.events()) == 8


async def test_what_is_held_is_written_as_soon_as_a_run_waits(
    disk: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `group`, results that nobody waits for need no clock to become durable."""
    monkeypatch.setattr(group, "LINGER", 3600.0)
    commit, loop, written = SqliteTransaction.commit, asyncio.get_running_loop(), asyncio.Event()

    def committed(self: SqliteTransaction) -> None:
        commit(self)
        if len(disk.events()) == 6:
            loop.call_soon_threadsafe(written.set)

    async def answer(call: object) -> str:
        prompt: str = call.prompt  # type: ignore[attr-defined]
        if prompt == "Next: 6":
            await anyio.sleep_forever()
        return str(1 + int(prompt.rpartition(" ")[2]))

    monkeypatch.setattr(SqliteTransaction, "commit", committed)
    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer)) as vm:
        await vm.start(chain, "0")
        await written.wait()


@tool(effect="read")
async def bump(number: int) -> int:
    return number + 1


@tool(effect="read")
async def crash(number: int) -> int:
    """A call that ends its process, perhaps."""
    for look in looks:
        look()
    return number


@agent
async def bumpy(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await bump(number)
    return await crash(number)


async def test_the_first_call_of_a_tool_begins_when_all_before_it_is_durable(
    disk: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `group`, a process that is ended by a call it never made before loses no result."""
    monkeypatch.setattr(group, "LINGER", 3600.0)
    monkeypatch.setattr(pending, "MOMENT", 3600.0)
    seen: list[list[str]] = []
    looks[:] = [lambda: seen.append(disk.events())]
    async with AgentVM(store=disk.url, llm=ScriptedLLM("x")) as vm:
        assert await vm.run(bumpy, 20) == 20
    assert [sum("bump" in each for each in events) for events in seen] == [20]


@agent
async def crowd(count: int) -> list[int]:
    from asyncio import gather as together  # traced code, whose calls all begin at once

    number = await bump(0)
    return await together(*[crash(number + each) for each in range(count)])


async def test_first_calls_that_begin_at_once_all_wait(
    disk: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any of them may end the process."""
    monkeypatch.setattr(group, "LINGER", 3600.0)
    monkeypatch.setattr(pending, "MOMENT", 3600.0)
    seen: list[list[str]] = []
    looks[:] = [lambda: seen.append(disk.events())]
    async with AgentVM(store=disk.url, llm=ScriptedLLM("x")) as vm:
        assert await vm.run(crowd, 3) == [1, 2, 3]
    assert len(seen[0]) >= 1


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk on which results wait until the event is set."""
    ready = threading.Event()
    ready.set()
    begin = SqliteTransaction.begin

    def slow(self: SqliteTransaction) -> None:
        ready.wait()
        begin(self)

    monkeypatch.setattr(SqliteTransaction, "begin", slow)
    return ready


@pytest.mark.parametrize(
    ("mode", "calls"),
    [("strict", 1), ("group&unacknowledged=1", 1), ("group&unacknowledged=4", 4), ("group", 8), ("exit", 8)],
)
async def test_a_run_is_only_so_far_ahead_of_the_disk(
    disk: Observer, stalled: threading.Event, mode: str, calls: int
) -> None:
    """Back-pressure: while nothing becomes durable, calls are made up to the bound and then wait."""
    asked: list[str] = []

    def answer(_: object) -> str:
        if not asked:
            stalled.clear()
        asked.append("x")
        return "x"

    async with AgentVM(store=f"{disk.url}?durability={mode}", llm=ScriptedLLM(answer)) as vm:
        try:
            run = await vm.start(chain, "tea")
            await anyio.wait_all_tasks_blocked()
            assert len(asked) == calls
        finally:
            stalled.set()
        await run.result()
    assert len(asked) == 8


async def test_a_disk_that_stands_still_puts_a_first_call_off_for_a_moment_only(
    disk: Observer, stalled: threading.Event
) -> None:
    """The call is made while nothing before it is durable."""
    called = asyncio.Event()
    looks[:] = [called.set]
    async with AgentVM(store=disk.url, llm=ScriptedLLM("x")) as vm:
        run = await vm.start(bumpy, 3)
        stalled.clear()
        await called.wait()
        stalled.set()
        assert await run.result() == 3


AT_ONCE = 8
"""Calls under way at a time of those below that are limited."""
BOUND = 16
"""Results that may be unacknowledged in the tests below."""


@tool(effect="read")
async def quick(number: int) -> int:
    return finished(number)


@tool(effect="read", limit=AT_ONCE)
async def narrow(number: int) -> int:
    await asyncio.sleep(0)  # so that another call may begin
    return finished(number)


@tool(effect="read", limit=AT_ONCE)
def narrow_in_a_thread(number: int) -> int:
    return finished(number)


@tool(effect="read")
def in_a_thread(number: int) -> int:
    return finished(number)


@tool(effect="read")
async def slow(number: int) -> int:
    await asyncio.sleep(0)
    return finished(number)


def finished(number: int) -> int:
    for look in looks:
        look()
    return number


@agent
async def map_quick(width: int) -> list[int]:
    return [await quick(number) for number in range(width)]


@agent
async def map_narrow(width: int) -> list[int]:
    return [await narrow(number) for number in range(width)]


@agent
async def map_narrow_in_a_thread(width: int) -> list[int]:
    return [narrow_in_a_thread(number) for number in range(width)]


@agent
async def map_in_a_thread(width: int) -> list[int]:
    return [in_a_thread(number) for number in range(width)]


@agent
async def map_slow(width: int) -> list[int]:
    return [await slow(number) for number in range(width)]


@agent
async def map_of_two(width: int) -> list[int]:
    return [await quick(await slow(number)) for number in range(width)]


@agent
async def traced_calls(width: int) -> list[int]:
    from asyncio import gather as together  # traced code

    return await together(*[quick(number) for number in range(width)])


@agent
async def traced_synchronous_calls(width: int) -> list[int]:
    found: list[int] = []

    def call(number: int) -> None:
        found.append(in_a_thread(number))

    for number in range(width):
        (call if number >= 0 else print)(number)  # traced code
    return found


@agent
async def mostly_python(width: int) -> int:
    found = 0
    for number in range(width):
        if number % 50 == 0:
            found += await quick(number)
    return found


async def stands_still() -> None:
    """Return when no task of this event loop can go on, and no thread works for one."""
    tools = anyio.to_thread.current_default_thread_limiter()
    await anyio.wait_all_tasks_blocked()
    while tools.borrowed_tokens or limiter().borrowed_tokens:
        await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("program", "under_way", "concurrency"),
    [
        (map_quick, 0, None),
        (traced_calls, 0, None),
        (map_narrow, AT_ONCE, None),
        (map_narrow_in_a_thread, AT_ONCE, None),
        (map_in_a_thread, 40, None),
        (map_slow, AT_ONCE, AT_ONCE),
        (map_of_two, AT_ONCE, AT_ONCE),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
async def test_back_pressure_holds_for_what_runs_at_once(
    disk: Observer, stalled: threading.Event, program: Any, under_way: int, concurrency: int | None
) -> None:
    """While nothing becomes durable, no call begins beyond the bound, and those that had begun end."""
    calls: list[None] = []
    looks[:] = [stalled.clear, lambda: calls.append(None)]
    async with AgentVM(store=f"{disk.url}?unacknowledged={BOUND}", llm=ScriptedLLM("x")) as vm:
        try:
            run = await vm.start(program, 200, concurrency=concurrency)
            await stands_still()
            assert BOUND // 2 <= len(calls) <= BOUND + under_way
        finally:
            looks.clear()
            stalled.set()
        assert await run.result() == list(range(200))


async def test_back_pressure_holds_for_python_between_calls(
    disk: Observer, stalled: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of plain code count like those of calls: a loop that hardly calls waits for the disk, too."""
    ahead: list[Pending] = []
    submit = GroupWriter.submit_result

    def submitted(self: GroupWriter, work: Work, *, large: bool = False) -> Pending:
        ahead.append(submit(self, work, large=large))
        return ahead[-1]

    monkeypatch.setattr(GroupWriter, "submit_result", submitted)
    looks[:] = [stalled.clear]
    async with AgentVM(store=f"{disk.url}?unacknowledged={BOUND}", llm=ScriptedLLM("x")) as vm:
        try:
            run = await vm.start(mostly_python, 400)
            await stands_still()
            assert BOUND // 2 <= sum(not each.done for each in ahead) <= BOUND + 4
        finally:
            looks.clear()
            stalled.set()
        assert await run.result() == sum(range(0, 400, 50))


async def test_back_pressure_holds_for_synchronous_tools_of_traced_code(
    disk: Observer, stalled: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They block the event loop, which the disk does not need to go on."""
    calls: list[None] = []
    ahead: list[int] = []
    looks[:] = [stalled.clear, lambda: calls.append(None)]
    block = GroupWriter.block_for_room

    def blocks(self: GroupWriter) -> None:
        ahead.append(len(calls))
        looks.pop(0)  # the disk goes on, and for good
        monkeypatch.setattr(GroupWriter, "block_for_room", block)
        stalled.set()
        block(self)

    monkeypatch.setattr(GroupWriter, "block_for_room", blocks)
    async with AgentVM(store=f"{disk.url}?unacknowledged={BOUND}", llm=ScriptedLLM("x")) as vm:
        try:
            assert await vm.run(traced_synchronous_calls, 200) == list(range(200))
        finally:
            looks.clear()
            stalled.set()
    assert len(ahead) == 1
    assert BOUND // 2 <= ahead[0] <= BOUND


@pytest.mark.parametrize("how", ["cancelled", "late"])
@pytest.mark.parametrize("program", [map_quick, traced_calls, mostly_python], ids=lambda each: each.__name__)
async def test_a_run_that_waits_for_the_disk_can_be_stopped(
    disk: Observer, stalled: threading.Event, how: str, program: Any
) -> None:
    """Nothing more of it begins then; it has ended when the disk is there again. So by a missed deadline."""
    calls: list[None] = []
    looks[:] = [stalled.clear, lambda: calls.append(None)]
    async with AgentVM(store=f"{disk.url}?unacknowledged={BOUND}", llm=ScriptedLLM("x")) as vm:
        async with anyio.create_task_group() as tasks:
            try:
                run = await vm.start(program, 200)
                await stands_still()
                began = len(calls)
                tasks.start_soon(run.cancel) if how == "cancelled" else tasks.start_soon(run.tighten, 1e-6)
                while not run._session.halted:
                    await anyio.lowlevel.checkpoint()
                await stands_still()
            finally:
                looks.clear()
                stalled.set()
            with pytest.raises(RunCancelled if how == "cancelled" else DeadlineExceeded):
                await run.result()
        assert len(calls) == began
        if how == "late":  # it can go on, and finds what it did
            expected = sum(range(0, 200, 50)) if program is mostly_python else list(range(200))
            assert await (await vm.resume(run.id)).result() == expected


async def test_runs_that_wait_for_the_disk_hear_that_it_failed(
    disk: Observer, stalled: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not begin for want of room ends with the store's error, and begins nothing."""
    calls: list[None] = []
    looks[:] = [stalled.clear, lambda: calls.append(None)]

    def full(self: SqliteTransaction) -> None:
        self.rollback()
        raise sqlite3.OperationalError("database or disk is full")

    async with AgentVM(store=f"{disk.url}?unacknowledged={BOUND}", llm=ScriptedLLM("x")) as vm:
        try:
            run = await vm.start(map_quick, 200)
            await stands_still()
            monkeypatch.setattr(SqliteTransaction, "commit", full)
        finally:
            stalled.set()
        with pytest.raises(StoreError, match="full"):
            await run.result()
        monkeypatch.undo()
    assert len(calls) <= BOUND


@pytest.mark.parametrize("mode", MODES)
async def test_a_run_whose_results_cannot_be_written_makes_no_more_calls(
    disk: Observer, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Though in `group` and `exit` it waits for none of them: what it did would be done again."""
    asked: list[str] = []

    async def answer(call: object) -> str:
        asked.append(call.prompt)  # type: ignore[attr-defined]
        if len(asked) == 3:
            monkeypatch.setattr(SqliteTransaction, "commit", full)
            await store._opened().submit(lambda _: None).settled()  # type: ignore[attr-defined]
        return "x"

    def full(self: SqliteTransaction) -> None:
        self.rollback()
        raise sqlite3.OperationalError("database or disk is full")

    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer), durability=mode) as vm:
        store = vm.store
        run = await vm.start(chain, "tea")
        with pytest.raises(StoreError, match="full"):
            await run.result()
        monkeypatch.undo()
    assert len(asked) == 3


async def test_a_failing_disk_stops_a_run_that_waits_for_nothing(
    disk: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mode exit, too, an end that could not be recorded is an error, never a result."""

    def full(self: SqliteTransaction) -> None:
        self.rollback()
        raise sqlite3.OperationalError("database or disk is full")

    async with AgentVM(store=disk.url, llm=ScriptedLLM(lambda call: "x"), durability="exit") as vm:
        run = await vm.start(chain, "tea")
        monkeypatch.setattr(SqliteTransaction, "commit", full)
        with pytest.raises(StoreError, match="full"):
            await run.result()
        monkeypatch.undo()
    assert disk.events() == []


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("PRAGMA max_page_count=1", "the disk is full.*Free some space"),
        ("PRAGMA query_only=ON", "it is read-only.*writable"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
async def test_a_disk_that_fails_in_mid_run_stops_it_and_it_goes_on_later(
    disk: Observer, mode: str, trouble: str, says: str
) -> None:
    """The run fails with the cause and the remedy, no write tool starts, and resuming finishes it."""
    sent: list[str] = []
    looks[:] = [lambda: sent.append("x")]
    asked: list[str] = []

    def answer(call: object) -> str:
        prompt: str = call.prompt  # type: ignore[attr-defined]
        asked.append(prompt)
        if prompt.startswith("Improve") and len(asked) == 2:
            store = vm.store
            store._writer._transaction.connection.execute(trouble)  # type: ignore[attr-defined]
            return os.urandom(200_000).hex()  # does not compress
        return "short"

    async with AgentVM(store=disk.url, llm=ScriptedLLM(answer), durability=mode) as vm:
        run = await vm.start(correspond, "tea")
        with pytest.raises(StoreError, match=rf"runs\.db: cannot write to it: {says}"):
            await run.result()
        assert sent == []
    recorded = disk.events()
    llm_again = ScriptedLLM("short")
    async with AgentVM(store=disk.url, llm=llm_again) as again:
        assert await (await again.resume(run.id)).result() == "short"
    assert sent == ["x"]
    assert len(llm_again.calls) == 3 - len(recorded)


async def test_an_option_wins_over_the_url(disk: Observer) -> None:
    """`durability=` says what this machine does, whatever the store's URL says."""
    seen: list[int] = []

    def answer(_: object) -> str:
        seen.append(len(disk.events()))
        return "x"

    url = f"{disk.url}?durability=strict"
    async with AgentVM(store=url, llm=ScriptedLLM(answer), durability="exit") as vm:
        await vm.run(chain, "tea")
    assert seen == [0] * 8


@pytest.mark.parametrize(
    ("url", "mode", "says"),
    [
        ("memory", "always", "there is strict, group, exit"),
        ("runs.db", "always", "there is strict, group, exit"),
        ("sqlite:///runs.db?durability=none", None, "there is strict, group, exit"),
        ("sqlite:///runs.db?unacknowledged=0", None, "a number from 1"),
        ("postgresql://host/db?unacknowledged=x", None, "a number from 1"),
    ],
)
async def test_an_odd_mode_is_refused(url: str, mode: str | None, says: str) -> None:
    """A misspelt mode must not silently be another one."""
    with pytest.raises(ConfigError, match=says):
        async with AgentVM(store=url, llm=ScriptedLLM(lambda call: "x"), durability=mode):
            pass
