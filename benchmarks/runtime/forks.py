"""What a fork costs, in time and bytes, and how soon it does something new.

A chain of so many model calls is run, then forked near its end again and again. A
*fork* is planned and made durable; the time to its first new call counts from
`vm.fork` to the model.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from agentvm import AgentVM, agent, llm
from agentvm.forks import Planner
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import RunRecord

from .figures import Asked, Case, Found, Place, Row, Taken
from .floors import database, insert, used

FORKS = 50
"""Whose median counts; of the forks that run, and of each peer's, fewer."""
RUNNING = 15


@agent
async def chain(length: int) -> str:
    """So many calls, each on the answer of the one before."""
    text = "start"
    for number in range(length):
        text = await llm(f"{number} {text}")
    return text


async def forks(place: Place, length: int) -> Found:
    """Forks of one run: their rows, then some that run."""
    asked: list[float] = []

    def script(_: Any) -> str:
        asked.append(time.perf_counter())
        return "answer"

    path = place.folder / "runs.db"
    at = f"for#1[{length - 2}]/llm#1"
    async with AgentVM(store=place.url, llm=ScriptedLLM(script)) as vm:
        run = await vm.start(chain, length)
        await run.result()
        await one_row(vm, run.record, at, "first")
        before = used(path)
        rows = [await one_row(vm, run.record, at, number) for number in range(FORKS)]
        grown = used(path) - before
        firsts = []
        for number in range(RUNNING):
            asked.clear()
            began = time.perf_counter()
            fork = await vm.fork(run.id, set={at: f"another {number}"})
            await fork.result()
            firsts.append((asked[0] - began) * 1e3)
    found = {"fork": median(rows), "new": Taken(statistics.median(firsts))}
    return found | ({"bytes": Taken(grown / FORKS)} if path.exists() else {})


async def one_row(vm: AgentVM, parent: RunRecord, at: str, number: object) -> Taken:
    """Milliseconds to plan a fork and make its row durable."""
    wall, processor = time.perf_counter(), time.process_time()
    record = RunRecord(
        f"row-{number}", parent.agent, parent.program, parent.inputs, time.time(), parent=parent.id
    )
    plan = await Planner(vm.store, await vm.get(parent.id), chain).plan(record, None, {at: f"row {number}"})
    await vm.store.create_run(plan.record, plan.values)
    return Taken((time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3)


def median(found: list[Taken]) -> Taken:
    """The median of each of wall clock and processor."""
    return Taken(
        statistics.median(each.value for each in found),
        statistics.median(each.processor for each in found if each.processor is not None),
    )


async def floor(place: Place) -> Found:
    """Committing one row that names a run, its parent and what is new."""
    times = []
    with database(place.folder) as connection:
        before = used(place.folder / "floor.db")
        for number in range(FORKS):
            wall, processor = time.perf_counter(), time.process_time()
            insert(connection, number, 1)
            times.append(Taken((time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3))
        grown = used(place.folder / "floor.db") - before
    return {"fork": median(times), "new": median(times), "bytes": Taken(grown / FORKS)}


def case(length: int, *, peers: bool) -> Case:
    """Forks of a run of so many calls."""

    async def bench(place: Place) -> Found:
        return await forks(place, length)

    rows = [
        Row("fork", f"fork at {length:,} nodes", "ms", 1),
        Row("bytes", f"bytes of a fork at {length:,}", "bytes", 1024),
        Row("new", f"fork at {length:,} to its first new node", "ms", 10),
    ]
    asked = Asked("forks", {"count": length})
    return Case(rows, bench, floor, {"langgraph": asked, "dbos": asked} if peers else {}, varies=False)


def cases(thousand: int) -> list[Case]:
    """A run of a thousand, and one of ten."""
    return [case(thousand, peers=True), case(10 * thousand, peers=False)]
