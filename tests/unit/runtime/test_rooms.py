"""How many calls are under way at once, of a tool and of a run."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from agentvm import AgentVM, ConfigError, agent, llm, tool
from agentvm.testing import ScriptedLLM
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
