"""What a node costs, by durability: chains of calls, and a fan-out."""

from __future__ import annotations

from agentvm import AgentVM, agent, tool
from agentvm.testing import ScriptedLLM

from .figures import Asked, Bench, Case, Found, Place, Row, Watch
from .floors import asyncio_tasks, sqlite_rows


@tool(effect="read")
async def step(number: int) -> int:
    return number + 1


@agent
async def chain(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return number


@agent
async def fan(count: int) -> int:
    found = [await step(number) for number in range(count)]
    return len(found)


def machine(url: str, mode: str | None = None) -> AgentVM:
    """A machine whose model is never asked."""
    return AgentVM(store=url, llm=ScriptedLLM("unused"), durability=mode)


def timed(program: object, count: int, mode: str | None = None, *, memory: bool = False) -> Bench:
    """Time for a node of a program that was run before, so that it is compiled."""

    async def bench(place: Place) -> Found:
        async with machine("memory" if memory else place.url, mode) as vm:
            await vm.run(program, 2)
            watch = Watch()
            await vm.run(program, count)
            return {"each": watch.each(count)}

    return bench


def cases(thousand: int) -> list[Case]:
    """The cases, with so many nodes for a thousand."""

    def case(name: str, goal: float | None, ours: Bench, floor: Bench, **peers: Asked) -> Case:
        return Case([Row("each", name, "us/node", goal)], ours, floor, peers)

    def langgraph(function: str, durability: str | None) -> Asked:
        return Asked(function, {"count": thousand, "durability": durability})

    def dbos(function: str) -> Asked:
        return Asked(function, {"count": thousand})

    many = f"{thousand:,}"
    return [
        case(
            f"chain of {many}, in memory",
            60,
            timed(chain, thousand, memory=True),
            asyncio_tasks(thousand),
            langgraph=langgraph("chain", None),
        ),
        case(
            f"chain of {many}, group",
            120,
            timed(chain, thousand, "group"),
            sqlite_rows(thousand, commit=100),
            langgraph=langgraph("chain", "async"),
            dbos=dbos("chain"),
        ),
        case(
            f"chain of {many}, strict",
            400,
            timed(chain, thousand, "strict"),
            sqlite_rows(thousand, commit=1),
            langgraph=langgraph("chain", "sync"),
            dbos=dbos("chain"),
        ),
        case(
            f"chain of {many}, exit",
            None,
            timed(chain, thousand, "exit"),
            sqlite_rows(thousand, commit=thousand),
            langgraph=langgraph("chain", "exit"),
        ),
        case(
            f"fan-out of {many}, group",
            80,
            timed(fan, thousand, "group"),
            sqlite_rows(thousand, commit=100),
            langgraph=langgraph("fan", "async"),
            dbos=dbos("fan"),
        ),
    ]
