"""The journal: what durability costs a node, how large a database gets, how long a resume takes.

Every figure stands beside its *floor*, measured in the same run on the same disk:
the least that SQLite alone, or asyncio alone, takes for the same. Runs are
repeated and interleaved with their floors; shown are the best and the median, and
the processor time of all threads (`cpu`), which the machine's other work hardly
touches. `goal` is what the project wants on an idle machine of two cores; a
shared or slow disk moves floors and figures alike, so look at the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from agentvm import AgentVM, agent, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.store import open_store

NODES = 1000
CONSTANT = "".join(chr(32 + n * n % 90) for n in range(10_000))
made: list[int] = []
"""Inputs of the steps that were executed."""
reached = asyncio.Event()


@tool(effect="read")
async def step(number: int) -> int:
    made.append(number)
    return number + 1


@tool(effect="pure")
async def shared(number: int) -> int:
    return number + 1


@tool(effect="read")
async def carry(text: str) -> str:
    return text


@tool(effect="read")
async def wait(number: int) -> int:
    reached.set()
    await asyncio.Event().wait()
    return number


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


@agent
async def same(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await shared(number)
    return number


@agent
async def carrying(count: int, text: str) -> int:
    for _ in range(count):
        text = await carry(text)
    return len(text)


@agent
async def interrupted(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return await wait(number)


@dataclass
class Figure:
    """One line of the table."""

    name: str
    unit: str
    goal: float | None = None
    taken: list[Taken] = field(default_factory=list)
    floors: list[Taken] = field(default_factory=list)

    @property
    def row(self) -> dict[str, str | float | None]:
        median = statistics.median(each.value for each in self.taken)
        floor = statistics.median(each.value for each in self.floors) if self.floors else None
        processor = [each.processor for each in self.taken if each.processor is not None]
        return {
            "name": self.name,
            "unit": self.unit,
            "best": round(min(each.value for each in self.taken), 2),
            "median": round(median, 2),
            "processor": round(statistics.median(processor), 2) if processor else None,
            "floor": None if floor is None else round(floor, 2),
            "ratio": None if not floor else round(median / floor, 2),
            "goal": self.goal,
        }


@dataclass(frozen=True, slots=True)
class Taken:
    """What one measurement gave."""

    value: float
    processor: float | None = None
    """The same counted in processor time of all threads, which the machine's other work hardly touches."""


Bench = Callable[[Path], Awaitable[Taken]]


def machine(url: str, mode: str | None = None) -> AgentVM:
    return AgentVM(store=url, llm=ScriptedLLM("unused"), durability=mode)


class Watch:
    """Wall-clock and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def each(self, count: int, scale: float = 1e6) -> Taken:
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        return Taken(wall / count * scale, processor / count * scale)


def sqlite_rows(folder: Path, *, commit: int) -> Taken:
    """Microseconds a row: bare SQLite, synchronous=FULL, so many rows a commit."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (run TEXT, seq INT, body TEXT, PRIMARY KEY (run, seq))")
    watch = Watch()
    for first in range(0, NODES, commit):
        connection.execute("BEGIN IMMEDIATE")
        for seq in range(first, first + commit):
            connection.execute("INSERT INTO events VALUES ('run', ?, ?)", (seq, "x" * 150))
        connection.execute("COMMIT")
    taken = watch.each(NODES)
    connection.close()
    return taken


async def asyncio_tasks(_: Path) -> Taken:
    """Microseconds a task: made and awaited, one after the other."""

    async def nothing() -> None: ...

    watch = Watch()
    for _ in range(NODES):
        await asyncio.create_task(nothing())
    return watch.each(NODES)


async def sqlite_point_reads(folder: Path) -> Taken:
    """Microseconds to find one row by its key, and another by what it says."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("CREATE TABLE memo (key TEXT PRIMARY KEY, value TEXT)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO memo VALUES (?, ?)", [(f"{n:040}", f"{n:040}") for n in range(NODES)])
    connection.execute("COMMIT")
    watch = Watch()
    for number in range(NODES):
        for _ in range(2):
            connection.execute("SELECT * FROM memo WHERE key = ?", (f"{number:040}",)).fetchone()
    taken = watch.each(NODES)
    connection.close()
    return taken


def durable(program: object, mode: str | None, *, memory: bool = False) -> Bench:
    async def bench(folder: Path) -> Taken:
        url = "memory" if memory else f"sqlite+aiosqlite:///{folder}/runs.db"
        async with machine(url, mode) as vm:
            await vm.run(program, 10)  # compiles
            watch = Watch()
            await vm.run(program, NODES)
            return watch.each(NODES)

    return bench


async def memo_hit(folder: Path) -> Taken:
    async with machine(f"sqlite+aiosqlite:///{folder}/runs.db") as vm:
        await vm.run(same, NODES)
        watch = Watch()
        await vm.run(same, NODES)
        return watch.each(NODES)


def size(count: int) -> Bench:
    async def bench(folder: Path) -> Taken:
        path = folder / "runs.db"
        async with machine(f"sqlite+aiosqlite:///{path}") as vm:
            await vm.run(carrying, count, CONSTANT)
        return Taken(path.stat().st_size / 1e6)

    return bench


async def resume(folder: Path) -> Taken:
    """Milliseconds from `resume` to the first new call; complains if more than one step is made again."""
    url = f"sqlite+aiosqlite:///{folder}/runs.db"
    reached.clear()
    async with machine(url) as vm:
        run = await vm.start(interrupted, NODES)
        await reached.wait()
    made.clear()
    reached.clear()
    async with machine(url) as vm:
        watch = Watch()
        await vm.resume(run.id)
        await reached.wait()
        taken = watch.each(1, 1e3)
    if len(made) > 1:
        print(f"resume: {len(made)} steps were made again, not at most one", file=sys.stderr)
    return taken


async def read_journal(folder: Path) -> Taken:
    """Milliseconds to read and decode that journal, which is the least a resume does."""
    store = open_store(folder / "runs.db")
    await store.open()
    [record] = await store.list_runs()
    watch = Watch()
    events = await store.events(record.id)
    await store.values([event.value for event in events if event.value is not None])
    taken = watch.each(1, 1e3)
    await store.aclose()
    return taken


def in_thread(work: Callable[[Path], Taken]) -> Bench:
    async def bench(folder: Path) -> Taken:
        return work(folder)

    return bench


PLAN: list[tuple[Figure, Bench, Bench | None]] = [
    (Figure("chain, in memory", "us/node", 60), durable(chain, None, memory=True), asyncio_tasks),
    (
        Figure("chain, group", "us/node", 120),
        durable(chain, "group"),
        in_thread(lambda folder: sqlite_rows(folder, commit=100)),
    ),
    (
        Figure("chain, strict", "us/node", 400),
        durable(chain, "strict"),
        in_thread(lambda folder: sqlite_rows(folder, commit=1)),
    ),
    (
        Figure("chain, exit", "us/node"),
        durable(chain, "exit"),
        in_thread(lambda folder: sqlite_rows(folder, commit=NODES)),
    ),
    (
        Figure("fan-out, group", "us/node", 80),
        durable(fan, "group"),
        in_thread(lambda folder: sqlite_rows(folder, commit=100)),
    ),
    (Figure("memo hit", "us/hit", 40), memo_hit, sqlite_point_reads),
    (Figure("size, 1,000 x the same 10 KB", "MB", 0.8), size(1000), None),
    (Figure("size, 10,000 x the same 10 KB", "MB", 8.0), size(10_000), None),
    (Figure("resume of 1,000 to the first new", "ms", 50), resume, read_journal),
]


async def measure(runs: int, wanted: str) -> list[Figure]:
    plan = [each for each in PLAN if wanted in each[0].name]
    for _ in range(runs):
        for figure, bench, floor in plan:
            if figure.unit == "MB" and figure.taken:
                continue  # does not vary
            with tempfile.TemporaryDirectory(prefix="agentvm-bench-") as name:
                figure.taken.append(await bench(Path(name)))
                if floor is not None:
                    figure.floors.append(await floor(Path(name)))
    return [figure for figure, _, _ in plan]


COLUMNS = {"best": 10, "median": 10, "processor": 10, "floor": 10, "ratio": 9, "goal": 8}
"""Of the table, with their widths."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--runs", type=int, default=7, help="runs of each measurement (default: 7)")
    options.add_argument("--only", default="", help="measurements whose name has this text")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    chosen = options.parse_args()
    rows = [figure.row for figure in asyncio.run(measure(chosen.runs, chosen.only))]
    if chosen.json:
        print(json.dumps({"runs": chosen.runs, "figures": rows}, indent=2))
        return
    print(f"{'':34}{'unit':>9}{'best':>10}{'median':>10}{'cpu':>10}{'floor':>10}{'x floor':>9}{'goal':>8}")
    for row in rows:
        cells = ["" if row[key] is None else f"{row[key]:,}" for key in COLUMNS]
        told = "".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True))
        print(f"{row['name']:34}{row['unit']:>9}{told}")


if __name__ == "__main__":
    main()
