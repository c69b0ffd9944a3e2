"""Forking: what a fork costs, in time and bytes, and how soon it does something new.

A chain of so many nodes is run on SQLite (synchronous=FULL), then forked near its
end again and again. Prints the median and the best over the forks of: planning a
fork up to the row that is durable, beside its *floor*, what SQLite alone takes to
commit one row on the same disk at the same time; the row's bytes; and from
`vm.fork` to the first model call of the fork. Goals, on an idle machine: 1 ms and
1 KB whatever the length; 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentvm import AgentVM, agent, llm
from agentvm.forks import Planner
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import RunRecord

GOALS = {"fork_ms": 1.0, "row_bytes": 1024, "first_new_ms": 10.0}


@agent
async def chain(length: int) -> str:
    """So many calls, each on the answer of the one before."""
    text = "start"
    for number in range(length):
        text = await llm(f"{number} {text}")
    return text


def row_bytes(path: Path, run: str) -> int:
    """Bytes of the columns of a run's row, its indexes' copies included twice over."""
    with sqlite3.connect(path) as connection:
        row = connection.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
    return sum(len(str(each).encode()) for each in row if each is not None) + 3 * 2 * len(run)


async def measure(length: int, forks: int) -> dict[str, Any]:
    """Run a chain, fork it, and measure."""
    asked: list[float] = []

    def script(call: Any) -> str:
        asked.append(time.perf_counter())
        return "answer"

    rows: list[float] = []
    floors: list[float] = []
    firsts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        commit = floor(Path(folder) / "floor.db")
        async with AgentVM(store=f"sqlite+aiosqlite:///{path}", llm=ScriptedLLM(script)) as vm:
            run = await vm.start(chain, length)
            await run.result()
            at = f"for#1[{length - 2}]/llm#1"
            sizes = []
            for number in range(forks):
                floors.append(commit())
                rows.append(await one_row(vm, run.record, at, number))
                asked.clear()
                began = time.perf_counter()
                fork = await vm.fork(run.id, set={at: f"another {number}"})
                await fork.result()
                firsts.append((asked[0] - began) * 1000)
                sizes.append(row_bytes(path, fork.id))
    return {
        "nodes": length,
        "floor_ms": round(statistics.median(floors), 3),
        "fork_ms": round(statistics.median(rows), 3),
        "fork_best_ms": round(min(rows), 3),
        "row_bytes": round(statistics.median(sizes)),
        "first_new_ms": round(statistics.median(firsts), 2),
        "first_new_best_ms": round(min(firsts), 2),
    }


def floor(path: Path) -> Callable[[], float]:
    """What measures a commit of one row, in milliseconds."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE rows (text TEXT)")

    def commit() -> float:
        began = time.perf_counter()
        connection.execute("INSERT INTO rows VALUES (?)", ("x" * 500,))
        return (time.perf_counter() - began) * 1000

    return commit


async def one_row(vm: AgentVM, parent: RunRecord, at: str, number: int) -> float:
    """Milliseconds to plan a fork and make its row durable."""
    began = time.perf_counter()
    record = RunRecord(
        f"row-{number}", parent.agent, parent.program, parent.inputs, time.time(), parent=parent.id
    )
    plan = await Planner(vm.store, await vm.get(parent.id), chain).plan(record, None, {at: f"row {number}"})
    await vm.store.create_run(plan.record, plan.values)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--lengths", type=int, nargs="+", default=[1_000, 10_000], help="nodes of the chain")
    options.add_argument("--forks", type=int, default=15, help="forks of each (default: 15)")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    chosen = options.parse_args()
    found = [asyncio.run(measure(length, chosen.forks)) for length in chosen.lengths]
    if chosen.json:
        print(json.dumps({"goals": GOALS, "rows": found}, indent=2))
        return
    print(
        f"{'nodes':>8}{'floor ms':>10}{'fork ms':>10}{'best':>8}{'bytes':>8}{'first new ms':>14}{'best':>8}"
    )
    for row in found:
        print(
            f"{row['nodes']:8}{row['floor_ms']:10.2f}{row['fork_ms']:10.2f}{row['fork_best_ms']:8.2f}"
            f"{row['row_bytes']:8}{row['first_new_ms']:14.1f}{row['first_new_best_ms']:8.1f}"
        )
    print(f"goals:  {'':10}{GOALS['fork_ms']:10.2f}{'':8}{GOALS['row_bytes']:8}{GOALS['first_new_ms']:14.1f}")


if __name__ == "__main__":
    main()
