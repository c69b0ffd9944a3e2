"""The simulator against your own runs of an engine: fitted to half of them, it predicts the other half.

    AGENTVM_SCHEDULER_LOG=edf-1.jsonl agentvm bench serving --engine vllm:MODEL --policies edf ...
    python -m benchmarks.validation_runs --option seqs=16 edf=edf-1.jsonl edf=edf-2.jsonl ...

A run is `POLICY=FILE`: a scheduler's event log, or CSV with `arrival_s`, `input_tokens`,
`output_tokens`, `last_token_s` and perhaps `first_token_s` and `within_s` (seconds to the
deadline). Of the runs, the first, third and so on are fitted to: three factors of the profile's step
times (each step, prompts, decoding), so that requests take as long as they did. The others are then
predicted: their arrivals and lengths are given, nothing else.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentvm_serving.bench.specs import virtual
from agentvm_serving.estimate.steps import StepModel
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.workload import Call, Item

FACTORS = 3
MOVES = 60
"""Of a simplex."""
_Corner = tuple[float, list[float]]
"""Its cost, and where it is."""


@dataclass(frozen=True)
class Served:
    """One request of a real run. Seconds from the run's start."""

    arrival: float
    input_tokens: int
    output_tokens: int
    last: float
    first: float | None = None
    within: float | None = None
    latency: bool = False
    """Whether its class is `latency`."""


@dataclass(frozen=True)
class Run:
    """One run of an engine."""

    name: str
    policy: str
    requests: Sequence[Served]


def read_run(spec: str) -> Run:
    """Read `POLICY=FILE`."""
    policy, _, file = spec.partition("=")
    path = Path(file)
    lines = path.read_text(encoding="utf-8").splitlines()
    requests = _logged(lines) if lines[0].startswith("{") else _table(lines)
    return Run(path.name, policy, sorted(requests, key=lambda each: each.arrival))


def _table(lines: Sequence[str]) -> list[Served]:
    def number(row: dict[str, str], name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    return [
        Served(
            float(row["arrival_s"]),
            int(row["input_tokens"]),
            int(row["output_tokens"]),
            float(row["last_token_s"]),
            number(row, "first_token_s"),
            number(row, "within_s"),
        )
        for row in csv.DictReader(lines)
    ]


def _logged(lines: Sequence[str]) -> list[Served]:
    ended = [each for each in map(json.loads, lines) if each["event"] == "finished"]
    began = min(each["arrival"] for each in ended)
    return [
        Served(
            each["arrival"] - began,
            each["prompt_tokens"],
            each["output_tokens"],
            each["at"] - began,
            within=each["deadline"] - each["arrival"] if each["slo"] == "deadline" else None,
            latency=each["slo"] == "latency",
        )
        for each in ended
        if each["output_tokens"]
    ]


def served_again(run: Run, engine: Engine) -> list[Served]:
    """What the simulator makes of a run's requests."""
    items = []
    for number, each in enumerate(run.requests):
        stages = ((Call(each.input_tokens, each.output_tokens),),)
        item = Item(str(number), "deadline", each.arrival, stages, "run", within=each.within or 60.0)
        if each.latency:
            item = replace(item, slo="latency", within=None, ttft=2.0, tbt=0.1)
        items.append(item)
    found = simulate(items, engine, run.policy).requests
    times = [request.calls[0].token_times for request in found]
    return [replace(each, first=at[0], last=at[-1]) for each, at in zip(run.requests, times, strict=True)]


def scaled(engine: Engine, factors: Sequence[float]) -> Engine:
    """The engine with other step times."""
    model = engine.step
    if not isinstance(model, StepModel):
        raise SystemExit(
            "give a profile with the linear form, such as cpu135m: GPU profiles are not fitted to runs"
        )
    step, prompts, decoding = factors
    fitted = StepModel(
        model.base * step,
        model.per_prefill * prompts,
        model.per_pair * prompts,
        model.per_decode * decoding,
        model.per_context * decoding,
    )
    return replace(engine, step=fitted)


def off(runs: Sequence[Run], engine: Engine) -> float:
    """Mean square of the logarithm of how much longer requests take than they did."""
    errors = [
        math.log((made.last - made.arrival) / (real.last - real.arrival)) ** 2
        for run in runs
        for real, made in zip(run.requests, served_again(run, engine), strict=True)
    ]
    return statistics.fmean(errors)


def fitted(runs: Sequence[Run], engine: Engine) -> tuple[float, ...]:
    """The three factors, searched by their logarithms."""
    return searched(lambda logs: off(runs, scaled(engine, [math.exp(each) for each in logs])), FACTORS)


def searched(cost: Callable[[Sequence[float]], float], size: int) -> tuple[float, ...]:
    """Where the cost is least, near zero: by simplices, each begun where the last one ended."""
    at = [0.0] * size
    for step in (0.4, -0.3, 0.2, -0.1):
        at = _simplex(cost, at, step)
    return tuple(math.exp(each) for each in at)


def _simplex(cost: Callable[[Sequence[float]], float], at: Sequence[float], step: float) -> list[float]:
    """Nelder and Mead (1965): a step costs and another saves alike, so one at a time finds nothing."""
    corners = [list(at), *([*at[:n], at[n] + step, *at[n + 1 :]] for n in range(len(at)))]
    ranked = sorted((cost(each), each) for each in corners)
    for _ in range(MOVES):
        if ranked[-1][0] - ranked[0][0] < 1e-3 * ranked[0][0] + 1e-9:
            break
        middle = [statistics.fmean(axis) for axis in zip(*(each for _, each in ranked[:-1]), strict=True)]
        worst = ranked[-1][1]

        def moved(by: float, worst: Sequence[float] = worst, middle: Sequence[float] = middle) -> _Corner:
            there = [m + by * (m - w) for m, w in zip(middle, worst, strict=True)]
            return cost(there), there

        found = moved(1.0)
        if found < ranked[0]:
            found = min(found, moved(2.0))
        elif found[0] >= ranked[-2][0]:
            found = min(moved(0.5), moved(-0.5))
        if found < ranked[-1]:
            ranked[-1] = found
        else:
            best = ranked[0][1]
            nearer = [[(b + e) / 2 for b, e in zip(best, each, strict=True)] for _, each in ranked[1:]]
            ranked[1:] = [(cost(each), each) for each in nearer]
        ranked.sort()
    return ranked[0][1]


def compared(run: Run, engine: Engine) -> dict[str, float]:
    """Signed relative errors of means, and the share of tokens in time, real and predicted."""
    made = served_again(run, engine)
    real = run.requests

    def mean(of: Callable[[Served], float], among: Sequence[Served]) -> float:
        return statistics.fmean(map(of, among))

    row = {"latency": mean(_latency, made) / mean(_latency, real) - 1}
    if all(each.first is not None for each in real):
        row["ttft"] = mean(_ttft, made) / mean(_ttft, real) - 1
        long = [number for number, each in enumerate(real) if each.output_tokens > 1]
        tpot = [mean(_tpot, [among[number] for number in long]) for among in (made, real)]
        row["tpot"] = tpot[0] / tpot[1] - 1
    return row | {"in time, real": in_time(real), "in time, predicted": in_time(made)}


def _latency(each: Served) -> float:
    return each.last - each.arrival


def _ttft(each: Served) -> float:
    return (each.first or 0.0) - each.arrival


def _tpot(each: Served) -> float:
    return (each.last - (each.first or 0.0)) / (each.output_tokens - 1)


def in_time(requests: Sequence[Served]) -> float:
    """Share of the tokens of requests with a deadline that belong to those that met it."""
    due = [each for each in requests if each.within is not None]
    tokens = sum(each.output_tokens for each in due)
    good = sum(each.output_tokens for each in due if _latency(each) <= (each.within or 0.0))
    return good / tokens if tokens else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description="How far the simulator is off, on runs of your own.")
    parser.add_argument("--profile", default="cpu135m")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the engine")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("runs", nargs="+", metavar="POLICY=FILE")
    arguments = parser.parse_args()
    engine = virtual(f"{arguments.profile}?{'&'.join(arguments.option)}").engine
    runs = [read_run(each) for each in arguments.runs]
    factors = fitted(runs[::2], engine)
    print("factors of each step, prompts, decoding: " + ", ".join(f"{each:.3f}" for each in factors))
    rows = []
    for run in runs[1::2]:
        found = compared(run, scaled(engine, factors))
        rows.append({"run": run.name, "policy": run.policy, **found})
        said = "  ".join(f"{name} {value:+.1%}" for name, value in found.items())
        print(f"{run.name:<24} {run.policy:<10} {said}")
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({"factors": factors, "runs": rows}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
