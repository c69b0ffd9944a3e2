"""What is equal is done once: calls side by side, runs side by side, and a second run."""

from __future__ import annotations

import asyncio

from agentvm import agent, tool

from .durable import machine
from .figures import EXECUTED, Asked, Case, Found, Place, Row, Taken, Watch
from .floors import point_reads

CALLS, RUNS = 100, 20
DELAY = 0.02
"""Seconds a call takes, so that equal ones are in flight together."""
made: list[str] = []
"""What was executed."""


@tool(effect="pure")
async def look(text: str) -> str:
    made.append(text)
    await asyncio.sleep(DELAY)
    return text.upper()


@tool(effect="pure")
async def add(number: int) -> int:
    return number + 1


@agent
async def side_by_side(texts: list[str]) -> int:
    found = [await look(text) for text in texts]
    return len(found)


@agent
async def one_look(text: str) -> str:
    return await look(text)


@agent
async def same(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await add(number)
    return number


async def calls(place: Place) -> Found:
    """Equal calls of one run, then of another."""
    async with machine(place.url) as vm:
        await vm.run(side_by_side, ["warm", "up"])
        first, took = await _executed(vm.run(side_by_side, ["same"] * CALLS))
        again, _ = await _executed(vm.run(side_by_side, ["same"] * CALLS))
    return {"calls": first, "took": took, "second run": again}


async def runs(place: Place) -> Found:
    """Equal runs at once."""
    async with machine(place.url) as vm:
        await vm.run(one_look, "warm up")
        executed, took = await _executed(asyncio.gather(*(vm.run(one_look, "same") for _ in range(RUNS))))
    return {"runs": executed, "took": took}


async def _executed(work: object) -> tuple[Taken, Taken]:
    """How many calls were executed meanwhile, and how many milliseconds it took."""
    made.clear()
    watch = Watch()
    await work  # type: ignore[misc]
    return Taken(len(made)), watch.each(1, 1e3)


async def one_call(_: Place) -> Found:
    """What has to be done in any case."""
    return dict.fromkeys(("calls", "runs"), Taken(1)) | {"took": (await _executed(look("same")))[1]}


def hit(count: int) -> Case:
    """Results that another run left."""

    async def bench(place: Place) -> Found:
        async with machine(place.url) as vm:
            await vm.run(same, count)
            watch = Watch()
            await vm.run(same, count)
            return {"each": watch.each(count)}

    row = Row("each", "memo hit", "us/hit", 40)
    return Case(
        [row], bench, point_reads(count, reads=2), {"langgraph": Asked("cache_hit", {"count": count})}
    )


def cases(thousand: int) -> list[Case]:
    """The cases; a thousand counts for memo hits."""
    both = {name: Asked("equal_calls", {"count": CALLS, "delay": DELAY}) for name in ("langgraph", "dbos")}
    concurrent = {
        name: Asked("equal_runs", {"count": RUNS, "delay": DELAY}) for name in ("langgraph", "dbos")
    }
    return [
        Case(
            [
                Row("calls", f"{CALLS} equal calls side by side", EXECUTED, 1),
                Row("took", f"the same, each of {DELAY * 1e3:.0f} ms", "ms"),
                Row("second run", "the same in a second run", EXECUTED, 0),
            ],
            calls,
            one_call,
            both,
        ),
        Case(
            [
                Row("runs", f"{RUNS} equal runs at once", EXECUTED, 1),
                Row("took", f"the same, each of {DELAY * 1e3:.0f} ms", "ms"),
            ],
            runs,
            one_call,
            concurrent,
        ),
        hit(thousand),
    ]
