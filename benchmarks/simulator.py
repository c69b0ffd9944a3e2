"""How fast the simulator is: engine iterations a second of CPU time, and what a long trace takes.

    python -m benchmarks.simulator

Batch 64 on one A100 (`sim:a100?seqs=64`): as many requests as it can just serve, so that the
batch is full and some wait, until all are done. Goals: 50,000 iterations a second with
`fcfs`, 10,000 with `jit`, and an hour of 10,000 requests in less than 60 s a policy.
CPU time: on a busy machine the wall clock tells of the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agentvm_serving.bench.engines import engine_named
from agentvm_serving.workload import Call, Item
from agentvm_serving.workload.mixes import Mix
from benchmarks.memory import peak

GOALS = {"fcfs": 50_000, "jit": 10_000}
"""Iterations a second."""
HOUR, REQUESTS, MOST = 3600.0, 10_000, 60.0
"""The long trace: seconds, requests, and the CPU seconds that it may take."""


@dataclass(frozen=True)
class Row:
    """One workload under one policy."""

    workload: str
    policy: str
    steps: int
    seconds: float
    """CPU time."""
    per_second: float
    """Engine iterations."""
    batch: float
    """Requests that ran, on average over the timeline."""
    waiting: float
    """Requests that waited."""
    megabytes: float
    """Most memory the process had so far."""


def full(count: int = 1280) -> list[Item]:
    """Chats and reports in turn, answers of 100 to 740 tokens."""
    items = []
    for number in range(count):
        call = Call(200 + 37 * number % 900, 100 + 97 * number % 640)
        name, at, stages = str(number), 0.132 * number, ((call,),)
        if number % 2:
            items.append(Item(name, "latency", at, stages, "chat", ttft=2.0, tbt=0.1))
        else:
            items.append(Item(name, "deadline", at, stages, "report", within=40.0))
    return items


def hour(seed: int = 1) -> list[Item]:
    """An hour of chats and deadline calls, lengths as Azure's and arXiv's, Poisson arrivals."""
    return Mix({"chat": 1.0, "deadline": 1.0}).draw(REQUESTS, REQUESTS / HOUR, seed)


def measured(workload: str, items: list[Item], spec: str, policy: str) -> Row:
    """Serve once."""
    engine = engine_named(spec)
    began = time.process_time()
    served = engine.serve(items, policy)
    seconds = time.process_time() - began
    batch = statistics.fmean(each.running for each in served.timeline)
    waiting = statistics.fmean(each.waiting for each in served.timeline)
    most = peak() / (1 << 20)
    return Row(workload, policy, served.steps, seconds, served.steps / seconds, batch, waiting, most)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the simulator is.")
    parser.add_argument("--policies", default="stock,fcfs,edf,jit,oracle", help="policies, with commas")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    rows = []
    print("workload  policy         steps   CPU s   steps/s  batch  wait    MB  goal")
    for workload, items, spec in (("batch64", full(), "sim:a100?seqs=64"), ("hour", hour(), "sim:a100")):
        for policy in arguments.policies.split(","):
            row = measured(workload, items, spec, policy)
            rows.append(asdict(row))
            goal = f"{GOALS.get(policy, '')}" if workload == "batch64" else f"{MOST:.0f} s"
            print(
                f"{row.workload:<9} {row.policy:<11} {row.steps:>8} {row.seconds:>7.2f} "
                f"{row.per_second:>9,.0f} {row.batch:>6.1f} {row.waiting:>5.0f} "
                f"{row.megabytes:>5.0f}  {goal}",
                flush=True,
            )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
