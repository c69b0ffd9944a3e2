"""DBOS with SQLite, or with PostgreSQL where the place is on it: calls are steps of a workflow."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbos import DBOS, SetWorkflowID

from benchmarks.runtime.figures import Found, Place, Taken, Watch
from benchmarks.runtime.floors import used
from benchmarks.runtime.killing import REACHED, as_party, kill_and_resume
from benchmarks.runtime.skew import CHAINS, CRITICAL_PATH, seconds
from benchmarks.runtime.space import ITEM, TEXT

made: list[Any] = []
"""What was executed."""
asked: list[float] = []
"""When steps began."""
reached: list[Callable[[], None]] = []
"""What is told that the step after the last one has begun."""


@DBOS.step()
async def step(number: int) -> int:
    made.append(number)
    asked.append(time.perf_counter())
    return number + 1


@DBOS.step()
async def carry(text: str) -> str:
    return text


@DBOS.step()
async def note(number: int) -> str:
    return f"{number:{ITEM}}"


@DBOS.step()
async def slow(duration: float) -> None:
    made.append(duration)
    await asyncio.sleep(duration)


@DBOS.step()
async def wait(number: int) -> int:
    for tell in reached:
        tell()
    await asyncio.Event().wait()
    return number


@DBOS.workflow()
async def steps(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return number


@DBOS.workflow()
async def many(count: int) -> int:
    return len(await asyncio.gather(*(step(number) for number in range(count))))


@DBOS.workflow()
async def carrying(count: int) -> int:
    text = TEXT
    for _ in range(count):
        text = await carry(text)
    return len(text)


@DBOS.workflow()
async def appending(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(await note(number))
    return len(notes)


@DBOS.workflow()
async def equal(count: int, duration: float) -> int:
    return len(await asyncio.gather(*(slow(duration) for _ in range(count))))


@DBOS.workflow()
async def one_chain(chain: int, unit: float) -> None:
    for stage in range(CHAINS):
        await slow(seconds(chain, stage, unit))


@DBOS.workflow()
async def all_chains(unit: float) -> None:
    handles = [await DBOS.start_workflow_async(one_chain, chain, unit) for chain in range(CHAINS)]
    for handle in handles:
        await handle.get_result()


@DBOS.workflow()
async def interrupted(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return await wait(number)


def open_on(url: str) -> None:
    """Launch DBOS with its tables in this database."""
    if url.startswith("postgresql"):
        database = url.split("schema=")[0].rstrip("?&").replace("+asyncpg", "")
    else:
        database = f"sqlite:///{Path(url.split('///')[1]).parent}/dbos.db"
    DBOS(config={"name": "bench", "system_database_url": database, "log_level": "ERROR"})
    DBOS.launch()


@contextmanager
def launched(url: str) -> Iterator[None]:
    """DBOS for a while."""
    open_on(url)
    try:
        yield
    finally:
        DBOS.destroy()


def _run(place: Place, main: Callable[[], Coroutine[Any, Any, Found]]) -> Found:
    async def launching() -> Found:
        with launched(place.url):
            return await main()

    return asyncio.run(launching())


def chain(place: Place, count: int) -> Found:
    return _run(place, lambda: _timed(steps, count))


def fan(place: Place, count: int) -> Found:
    return _run(place, lambda: _timed(many, count))


async def _timed(workflow: Callable[[int], Coroutine[Any, Any, int]], count: int) -> Found:
    await workflow(2)
    watch = Watch()
    await workflow(count)
    return {"each": watch.each(count)}


def constant(place: Place, count: int) -> Found:
    return _size(place, lambda: carrying(count))


def appended(place: Place, count: int) -> Found:
    return _size(place, lambda: appending(count))


def _size(place: Place, workflow: Callable[[], Coroutine[Any, Any, int]]) -> Found:
    async def main() -> Found:
        await workflow()
        return {}

    _run(place, main)
    return {"size": Taken((place.folder / "dbos.db").stat().st_size / 1e6)}


def skewed(place: Place, unit: float) -> Found:
    """A workflow for each chain."""

    async def main() -> Found:
        began = time.perf_counter()
        await all_chains(unit)
        return {"path": Taken((time.perf_counter() - began) / (CRITICAL_PATH * unit))}

    return _run(place, main)


def equal_calls(place: Place, count: int, delay: float) -> Found:
    async def main() -> Found:
        made.clear()
        watch = Watch()
        await equal(count, delay)
        took, first = watch.each(1, 1e3), len(made)
        await equal(count, delay)
        return {"calls": Taken(first), "took": took, "second run": Taken(len(made) - first)}

    return _run(place, main)


def equal_runs(place: Place, count: int, delay: float) -> Found:
    async def main() -> Found:
        made.clear()
        watch = Watch()
        await asyncio.gather(*(equal(1, delay) for _ in range(count)))
        return {"runs": Taken(len(made)), "took": watch.each(1, 1e3)}

    return _run(place, main)


def forks(place: Place, count: int) -> Found:
    """`fork_workflow` at the last step, which copies the others."""
    path = place.folder / "dbos.db"

    async def main() -> Found:
        with SetWorkflowID("parent"):
            await steps(count)
        taken: list[Taken] = []
        firsts: list[float] = []
        before = used(path)
        for _ in range(3):
            asked.clear()
            watch, began = Watch(), time.perf_counter()
            fork = await DBOS.fork_workflow_async("parent", count)
            taken.append(watch.each(1, 1e3))
            await fork.get_result()
            firsts.append((asked[0] - began) * 1e3)
        return {
            "fork": Taken(statistics.median(each.value for each in taken)),
            "bytes": Taken((used(path) - before) / len(taken)),
            "new": Taken(statistics.median(firsts)),
        }

    found = dict(_run(place, main))
    if place.url.startswith("postgresql"):
        del found["bytes"]
    return found


def resume(place: Place, count: int, after: float) -> Found:
    return kill_and_resume(__name__, place.url, count, after)


async def start(url: str, count: int) -> None:
    """Run until the process is killed."""
    reached[:] = [lambda: print(REACHED, flush=True)]
    with launched(url):
        await interrupted(count)


async def resumed(url: str) -> Found:
    """Launch DBOS, which goes on with what was pending, on a thread of its own."""
    new, loop = asyncio.Event(), asyncio.get_running_loop()
    reached[:] = [lambda: loop.call_soon_threadsafe(new.set)]
    watch = Watch()
    open_on(url)
    await new.wait()
    return {"took": watch.each(1, 1e3), "again": Taken(len(made))}


if __name__ == "__main__":
    as_party(start, resumed, sys.argv)
