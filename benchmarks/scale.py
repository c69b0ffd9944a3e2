"""Long runs: what a node costs, and how much memory a process takes, as a run grows.

Each program is run at several lengths, each in a process of its own, on SQLite
(synchronous=FULL). Shown are microseconds a call, by the clock and by the
processor (all threads), the largest memory the process ever took, and the bytes a
call of the database. `last/first` compares the processor time of a call late and early in
one run: of the cheapest of its last three tenths, and of its first three, as the
machine's other work makes some dearer. Goals: 500 MB at 10,000 nodes, and no growth with the
length.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agentvm import AgentVM, agent, tool
from agentvm.testing import ScriptedLLM

LENGTHS = (1000, 3000, 10_000)
MEGABYTES = 500
"""The goal for memory."""
called: list[float] = []
"""Processor time at each call."""


@tool(effect="read")
async def step(number: int) -> int:
    called.append(time.process_time())
    return number + 1


@tool(effect="read")
async def note(number: int) -> str:
    called.append(time.process_time())
    return f"{number:200}"


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
async def gather(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(await note(number))
    return len(notes)


PROGRAMS = {"chain": chain, "map": fan, "list of 200 B each": gather}


async def run(name: str, count: int, path: Path) -> dict[str, Any]:
    async with AgentVM(store=f"sqlite+aiosqlite:///{path}", llm=ScriptedLLM("unused")) as vm:
        await vm.run(PROGRAMS[name], 10)  # compiles
        called.clear()
        wall, processor = time.perf_counter(), time.process_time()
        await vm.run(PROGRAMS[name], count)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "program": name,
        "calls": count,
        "wall_us": round(wall / count * 1e6, 1),
        "cpu_us": round(processor / count * 1e6, 1),
        "last_by_first": growth(),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1),
    }


def growth() -> float:
    """What a call costs late in the run, in calls early in it."""
    tenth = len(called) // 10
    tenths = [called[n + tenth - 1] - called[n] for n in range(0, tenth * 10, tenth)]
    return round(min(tenths[7:]) / min(tenths[:3]), 2)


def measure(name: str, count: int) -> dict[str, Any]:
    """In this process, which must be new: its memory is measured."""
    with tempfile.TemporaryDirectory(prefix="agentvm-bench-") as folder:
        path = Path(folder) / "runs.db"
        row = asyncio.run(run(name, count, path))
        return {**row, "bytes": round(path.stat().st_size / count)}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="nodes of a run, ascending")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    chosen = options.parse_args()
    lengths = [int(each) for each in chosen.lengths.split(",")]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        rows = [processes.apply(measure, (name, count)) for name in PROGRAMS for count in lengths]
    if chosen.json:
        print(json.dumps({"goal_mb": MEGABYTES, "rows": rows}, indent=2))
        return
    print(
        f"{'':20}{'calls':>8}{'us/call':>10}{'cpu':>10}{'last/first':>12}{'MB':>8}{'goal':>7}{'bytes/call':>12}"
    )
    for row in rows:
        print(
            f"{row['program']:20}{row['calls']:8,}{row['wall_us']:10,}{row['cpu_us']:10,}{row['last_by_first']:12}"
            f"{row['memory_mb']:8}{MEGABYTES:7}{row['bytes']:12,}"
        )


if __name__ == "__main__":
    main()
