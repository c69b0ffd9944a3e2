"""The simulator against real vLLM on this machine: fitted to half of the runs, it predicts the other half.

    python -m benchmarks.validation_cpu [--minutes 10] [--logs FOLDER]  # the machine should do nothing else
    python -m benchmarks.validation_cpu --predict                       # from the runs there are

The same workloads (chats, deadlines and programs, small) are served by vLLM on the CPU under each
policy, interleaved, at two loads. The first seed's runs are fitted to: three factors of the step times.
Those of the others are predicted from the workload alone: programs ask for their next stage when the
simulated engine is done with the one before. What was served and what was predicted is in
benchmarks/results/validation_cpu.json. No run is begun that would not be over in time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from agentvm_serving.bench.engines import engine_named
from agentvm_serving.bench.sources import Source
from agentvm_serving.bench.specs import virtual
from agentvm_serving.goodput import ServedCall, ServedRequest, goodput_of
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.vllm import LOG_VARIABLE

from .validation_runs import FACTORS, scaled, searched

RESULT: Final = Path(__file__).parent / "results" / "validation_cpu.json"
POLICIES: Final = "fcfs,edf,jit"
LOADS: Final = (1.0, 1.6)
SEEDS: Final = (11, 12, 13)
ITEMS: Final = 36
SATURATED: Final = 2.4
"""Requests a second at load 1: what saturates the model on one core with AVX-512."""
SLOTS: Final = 32
LEAST: Final = 0.001
"""Seconds: what is shorter counts as long."""


@dataclass
class Run:
    """A workload as the engine served it."""

    policy: str
    load: float
    seed: int
    rate: float
    """Requests a second."""
    items: int
    seconds: float
    """That it took."""
    speeds: list[float]
    """Of the machine, before and after."""
    calls: list[list[list[Any]]]
    """By item and call: arrival, input tokens, when its tokens came; seconds, to the millisecond."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all runs")
    parser.add_argument("--items", type=int, default=ITEMS, help="requests of a run")
    parser.add_argument("--rate", type=float, default=SATURATED, help="requests a second at load 1")
    parser.add_argument("--policies", default=POLICIES, metavar="A,B")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--logs", type=Path, help="keep the scheduler's event log in this folder")
    parser.add_argument("--json", type=Path, default=RESULT)
    parser.add_argument("--predict", action="store_true", help="serve nothing: predict the runs of the file")
    arguments = parser.parse_args()
    if arguments.predict:
        found = json.loads(arguments.json.read_text(encoding="utf-8"))
        machine, runs = found["machine"], [Run(**each) for each in found["runs"]]
    else:
        machine, runs = described(), list(served(arguments))
    write(arguments.json, {"machine": machine, **predicted(runs), "runs": [asdict(each) for each in runs]})


def served(arguments: argparse.Namespace) -> Iterator[Run]:
    """Serve the workloads, policy by policy, while there is time."""
    from agentvm.models import resolve

    until = time.monotonic() + 60 * arguments.minutes
    if arguments.logs is not None:
        arguments.logs.mkdir(parents=True, exist_ok=True)
        os.environ[LOG_VARIABLE] = str(
            arguments.logs / "scheduler.jsonl"
        )  # of the one engine for all policies
    longest = 0.0
    with closing(engine_named(f"vllm:{arguments.model}", lambda name: str(resolve(name)))) as engine:
        for seed in SEEDS:
            for load in LOADS:
                rate = load * arguments.rate
                items = Source(arguments.items).draw(rate, seed)
                for policy in arguments.policies.split(","):
                    if time.monotonic() + longest > until:
                        print("no time for more", flush=True)
                        return
                    began = time.monotonic()
                    found = engine.serve(items, policy)
                    took = time.monotonic() - began
                    # An engine's start is no part of a run.
                    longest = max(longest, found.seconds + 5.0)
                    print(f"{policy}, load {load:g}, seed {seed}: {took:.0f} s", flush=True)
                    calls = plain(found.requests)
                    yield Run(policy, load, seed, rate, len(items), found.seconds, [*found.speeds], calls)


def plain(requests: Sequence[ServedRequest]) -> list[list[list[Any]]]:
    """Calls as lists of numbers."""
    return [
        [
            [round(call.arrival, 3), call.input_tokens, [round(at, 3) for at in call.token_times]]
            for call in each.calls
        ]
        for each in requests
    ]


def requests_of(run: Run) -> list[ServedRequest]:
    """What clients got, as it was accounted for."""
    items = Source(run.items).draw(run.rate, run.seed)
    return [
        ServedRequest(
            item.slo,
            [ServedCall(*call) for call in calls],
            None if item.within is None else item.arrival + item.within,
            item.ttft,
            item.tbt,
        )
        for item, calls in zip(items, run.calls, strict=True)
    ]


def simulated(run: Run, engine: Engine) -> list[ServedRequest]:
    """What the simulator makes of the same workload."""
    return simulate(Source(run.items).draw(run.rate, run.seed), engine, run.policy).requests


def predicted(runs: Sequence[Run]) -> dict[str, Any]:
    """The factors by the first seed's runs, and what they predict of the others."""
    first = [run for run in runs if run.seed == SEEDS[0]]
    others = [run for run in runs if run.seed != SEEDS[0]]
    if not others:
        raise SystemExit("there was time for the first seed alone: give more --minutes, or fewer --items")
    engine = virtual(f"cpu135m?seqs={SLOTS}").engine

    def off(logs: Sequence[float]) -> float:
        made = scaled(engine, [math.exp(each) for each in logs])
        return fmean(_off(requests_of(run), simulated(run, made)) for run in first)

    factors = searched(off, FACTORS)
    made = scaled(engine, factors)
    pairs = [(run, requests_of(run), simulated(run, made)) for run in others]
    rows = [compared(real, found) for _, real, found in pairs]
    means = {}
    for name in ("ttft", "tpot", "latency"):
        one, other = (fmean(row[name][place] for row in rows) for place in (0, 1))
        means[name] = other / one - 1
    named = [
        {"policy": run.policy, "load": run.load, "seed": run.seed, **row}
        for run, row in zip(others, rows, strict=True)
    ]
    factors = tuple(round(each, 3) for each in factors)
    return {"factors": factors, "errors": means, "predicted": named}


def _off(real: Sequence[ServedRequest], found: Sequence[ServedRequest]) -> float:
    """Mean square of the logarithm of how much longer things take than they did."""
    return fmean(
        math.log(two / one) ** 2
        for pair in zip(real, found, strict=True)
        for one, two in zip(*map(_times, pair), strict=True)
    )


def _times(request: ServedRequest) -> tuple[float, float, float]:
    """Seconds of the whole, and of the first call until its first token, and after it for each; not 0."""
    first = min(request.calls, key=lambda call: call.arrival)
    times = first.token_times
    return (
        max(call.token_times[-1] for call in request.calls) - first.arrival,
        max(LEAST, times[0] - first.arrival),
        max(LEAST, (times[-1] - times[0]) / max(1, len(times) - 1)),
    )


def compared(real: Sequence[ServedRequest], found: Sequence[ServedRequest]) -> dict[str, list[float]]:
    """Means over calls, and tokens in time: real and predicted."""
    sides = (real, found)
    calls = [[call for each in side for call in each.calls] for side in sides]
    long = [[call for call in side if len(call.token_times) > 1] for side in calls]
    return {
        "ttft": [fmean(call.token_times[0] - call.arrival for call in side) for side in calls],
        "tpot": [
            fmean((call.token_times[-1] - call.token_times[0]) / (len(call.token_times) - 1) for call in side)
            for side in long
        ],
        "latency": [fmean(call.token_times[-1] - call.arrival for call in side) for side in calls],
        "tokens in time": [sum(goodput_of(each).tokens for each in side) for side in sides],
    }


def described() -> dict[str, str]:
    """The machine and the engine."""
    from agentvm_serving.vllm.environment import vllm_version

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    return {
        "processor": f"{cores} cores of {names[0] if names else platform.processor()}",
        "vllm": str(vllm_version()),
        "date": time.strftime("%Y-%m-%d"),
    }


def write(path: Path, found: dict[str, Any]) -> None:
    """What was found, a run a line; whatever was rounded is to five digits."""
    parts = [f'"{name}":{json.dumps(_rounded(value))}' for name, value in found.items() if name != "runs"]
    runs = ",\n".join(json.dumps(each, separators=(",", ":")) for each in found["runs"])
    path.write_text("{\n" + ",\n".join([*parts, f'"runs":[\n{runs}\n]']) + "\n}\n", encoding="utf-8")
    print("errors of means: " + ", ".join(f"{name} {error:+.1%}" for name, error in found["errors"].items()))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    main()
