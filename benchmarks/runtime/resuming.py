"""How soon a killed run does something new, and how much it does again.

The run is in a process of its own, which is killed with SIGKILL when a thousand
nodes are done, in the middle of the next one or as it begins. Another process then resumes it: the
time counts from when all that is imported is imported to when the next node
begins (again). `python -m benchmarks.runtime.resuming start URL COUNT` is the first
process, `... resume URL` the second one.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable

from agentvm import agent, tool
from agentvm_runtime.store import open_store

from .durable import machine
from .figures import EXECUTED, Asked, Bench, Case, Found, Place, Row, Taken, Watch
from .killing import REACHED, as_party, kill_and_resume

CALL = 0.1
"""Seconds of a call that is cut off in its middle."""
LATER = (
    "agentvm.backends",
    "agentvm.config",
    "agentvm_compiler.serialise",
    "agentvm_runtime.store.sqlite",
    "anyio._backends._asyncio",
    "sqlalchemy.dialects.sqlite.aiosqlite",
)
"""Modules that are imported as a run goes."""
made: list[int] = []
"""Inputs of the steps that were executed."""
reached: list[Callable[[], None]] = []
"""What is told that the step after the last one has begun."""


@tool(effect="read")
async def step(number: int) -> int:
    made.append(number)
    return number + 1


@tool(effect="read")
async def wait(number: int) -> int:
    for tell in reached:
        tell()
    await asyncio.Event().wait()
    return number


@agent
async def interrupted(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return await wait(number)


async def resumed_here(url: str) -> Found:
    """Resume the store's one run."""
    new = asyncio.Event()
    made.clear()
    reached[:] = [new.set]
    watch = Watch()
    async with machine(url) as vm:
        [record] = await vm.list()
        await vm.resume(record.id)
        await new.wait()
        return {"took": watch.each(1, 1e3), "again": Taken(len(made))}


def warm(count: int) -> Bench:
    """In one process, which has compiled the program before."""

    async def bench(place: Place) -> Found:
        new = asyncio.Event()
        reached[:] = [new.set]
        async with machine(place.url) as vm:
            await vm.start(interrupted, count)
            await new.wait()
        return await resumed_here(place.url)

    return bench


def cold(count: int, *, after: float = 0.0, mode: str = "group") -> Bench:
    """In a new process, after SIGKILL so many seconds into the node after the last one."""

    async def bench(place: Place) -> Found:
        joint = "&" if "?" in place.url else "?"
        url = f"{place.url}{joint}durability={mode}"
        return await asyncio.to_thread(kill_and_resume, __name__, url, count, after)

    return bench


async def read_journal(place: Place) -> Found:
    """Milliseconds to read and decode that journal, which is the least a resume does."""
    store = open_store(place.url)
    await store.open()
    watch = Watch()
    [record] = await store.list_runs()
    events = await store.events(record.id)
    await store.values([event.value for event in events if event.value is not None])
    took = watch.each(1, 1e3)
    await store.aclose()
    return {"took": took}


def cases(thousand: int) -> list[Case]:
    """A process killed in the middle of a call, or as one begins; a run that was stopped in this one."""
    many = f"{thousand:,}"

    def case(name: str, again: str, ours: Bench, *peers: str, after: float = 0.0) -> Case:
        rows = [Row("took", name, "ms", 50), Row("again", again, EXECUTED, 1)]
        asked = Asked("resume", {"count": thousand, "after": after})
        return Case(rows, ours, read_journal, dict.fromkeys(peers, asked))

    return [
        case(
            f"resume of {many} to the first new node",
            "its nodes done again",
            cold(thousand, after=CALL),
            "langgraph",
            "dbos",
            after=CALL,
        ),
        case(
            "the same, killed as the node begins",
            "its nodes done again (group)",
            cold(thousand),
            "langgraph",
            "dbos",
        ),
        case(
            "the same, strict",
            "its nodes done again",
            cold(thousand, mode="strict"),
        ),
        case("the same, in a process that ran it before", "its nodes done again", warm(thousand)),
    ]


async def start(url: str, count: int) -> None:
    """Run until the process is killed."""
    reached[:] = [lambda: print(REACHED, flush=True)]
    async with machine(url) as vm:
        run = await vm.start(interrupted, count)
        await run.result()


async def resume(url: str) -> Found:
    """What the machine imports only when it needs it counts as imported before."""
    for name in LATER:
        importlib.import_module(name)
    return await resumed_here(url)


if __name__ == "__main__":
    as_party(start, resume, sys.argv)
