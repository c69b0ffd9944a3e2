"""How many calls are under way at once, of a tool and of a run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from agentvm import AgentVM, ConfigError, Retry, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime import tools
from agentvm_runtime.records import EventKind


class Crowd:
    """Counts who is inside."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def visit(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.inside -= 1


CROWD = Crowd()


@pytest.fixture(autouse=True)
def crowd() -> Crowd:
    CROWD.inside = CROWD.most = 0
    return CROWD


@tool(effect="read", limit=2)
async def narrow(number: int) -> int:
    await CROWD.visit()
    return number


@agent
async def fan(width: int) -> list[int]:
    return [await narrow(number) for number in range(width)]


@agent
async def ask_all(width: int) -> list[str]:
    return [await llm(f"part {number}") for number in range(width)]


async def answer(call):
    await CROWD.visit()
    return call.prompt


async def test_a_tool_with_a_limit_is_called_so_often_at_once(crowd):
    """Over all runs of the process; every call has its turn."""
    async with AgentVM(store="memory", llm=ScriptedLLM("")) as vm:
        runs = [await vm.start(fan, 6) for _ in range(2)]
        assert [await each.result() for each in runs] == [list(range(6))] * 2
    assert crowd.most == 2


async def test_a_run_with_a_limit_has_so_many_calls_under_way(crowd):
    """Model calls and tools alike."""
    async with AgentVM(store="memory", llm=ScriptedLLM(answer)) as vm:
        assert len(await vm.run(ask_all, 12)) == 12
        assert crowd.most == 12
        crowd.most = 0
        assert len(await vm.run(ask_all, 12, concurrency=3)) == 12
        assert crowd.most == 3


@tool(limit=1)
async def book(seat: str) -> str:
    if HELD and not HELD[0].is_set():
        HELD[0].set()
        await asyncio.Event().wait()
    return seat


HELD: list[anyio.Event] = []


@agent
async def one(seat: str) -> str:
    return await book(seat)


async def test_a_write_that_waits_for_its_turn_has_not_begun(tmp_path):
    """If its process dies then, it is not in doubt."""
    HELD.append(anyio.Event())
    store = f"sqlite:///{tmp_path}/runs.db"
    async with AgentVM(store=store, llm=ScriptedLLM("")) as vm:
        await vm.start(one, "first")
        await HELD[0].wait()
        waiting = await vm.start(one, "second")
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
    async with AgentVM(store=store, llm=ScriptedLLM("")) as vm:
        events = await vm.store.events(waiting.id)
        assert not [each for each in events if each.kind is EventKind.INTENT]
        assert await (await vm.resume(waiting.id)).result() == "second"


def test_a_limit_below_one_is_refused():
    """At the decorator."""
    with pytest.raises(ConfigError, match="limit=0: a whole number of at least 1"):
        tool(limit=0)(lambda: None)


RUNNING: list[str] = []
MOST: list[int] = []
STARTED, TRIED = threading.Event(), threading.Event()


class Seats(threading.Semaphore):
    """Tells when a second one asks for the one seat."""

    asked = 0

    def __enter__(self) -> bool:
        self.asked += 1
        if self.asked == 2:
            TRIED.set()
        return super().acquire()


@tool(effect="read", limit=1)
def busy(name: str) -> str:
    RUNNING.append(name)
    MOST.append(len(RUNNING))
    if name == "compiled":
        STARTED.set()
        TRIED.wait()
    RUNNING.remove(name)
    return name


@tool(effect="read")
async def compiled_has_begun() -> bool:
    return await anyio.to_thread.run_sync(STARTED.wait)


@contextlib.asynccontextmanager
async def around() -> AsyncIterator[None]:
    """What is within it is traced."""
    yield


@agent
async def compiled_part() -> str:
    return busy("compiled")


@agent
async def traced_part() -> str:
    async with around():
        await compiled_has_begun()
        return busy("traced")


async def test_traced_code_waits_for_its_turn_at_a_synchronous_tool(monkeypatch: pytest.MonkeyPatch):
    """Though it blocks the loop: the thread that has the turn ends without it."""
    seats = Seats(1)
    monkeypatch.setattr(tools, "seats_of", lambda tool: seats)
    async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: "")) as vm:
        runs = [await vm.start(each) for each in (compiled_part, traced_part)]
        assert [await each.result() for each in runs] == ["compiled", "traced"]
    assert MOST == [1, 1]


LET_GO = threading.Event()


@tool(effect="read", timeout=0.01)
def stuck(name: str) -> str:
    LET_GO.wait()
    return name


@agent
async def stuck_compiled() -> str:
    try:
        return stuck("compiled")
    except TimeoutError as error:
        return str(error)


@agent
async def stuck_traced() -> str:
    try:
        async with around():
            return stuck("traced")
    except TimeoutError as error:
        return str(error)


@pytest.mark.parametrize("program", [stuck_compiled, stuck_traced], ids=lambda each: each.name)
async def test_a_synchronous_tool_has_only_its_time(program):
    """Its thread cannot be stopped, but nobody waits for it, in compiled code and in traced code."""
    LET_GO.clear()
    try:
        async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: "")) as vm:
            assert await vm.run(program) == "not done within 0.01 s"
    finally:
        LET_GO.set()


async def test_what_a_synchronous_tool_raises_within_its_time_comes_from_traced_code():
    """As it is, a TimeoutError of its own included."""

    @tool(effect="read", timeout=500, limit=1)
    def fails(name: str) -> str:
        raise TimeoutError(f"{name} said so")

    for _ in range(2):
        with pytest.raises(TimeoutError, match="it said so"):
            tools.call_here(fails, ("it",), {})


@tool(effect="read", retries=Retry(attempts=2, backoff=3600.0, longest=3600.0))
def flaky(number: int) -> int:
    RUNNING.append("flaky")
    raise ConnectionError("down")


@tool(effect="read")
def sound(number: int) -> int:
    return number


@agent
async def tries(number: int) -> int:
    return flaky(number)


@agent
async def goes_well(number: int) -> int:
    return sound(number)


async def test_a_call_that_waits_to_be_tried_again_leaves_its_thread_to_others():
    """Though it may be long: others are called meanwhile."""
    RUNNING.clear()
    threads = anyio.to_thread.current_default_thread_limiter()
    before, threads.total_tokens = threads.total_tokens, 1
    try:
        async with AgentVM(store="memory", llm=ScriptedLLM(answer)) as vm:
            run = await vm.start(tries, 1)
            async for event in run.events():
                if event.kind is EventKind.ATTEMPT:
                    break
            with anyio.fail_after(60):
                assert await vm.run(goes_well, 2) == 2
    finally:
        threads.total_tokens = before
    assert RUNNING == ["flaky"]
