"""The simulator against runs of real engines: how far its predictions are off.

    python -m benchmarks.validation gpu --traces DIR
    python -m benchmarks.validation replay --items 400

`gpu` predicts recorded runs of vLLM on two GPUs (`vllm_real_*.csv`: arrival, tokens, first
and last token of each request) with step times fitted to operator profiles of
those GPUs, not to the runs (`step_time_models.json`). `replay` compares with vLLM's own
scheduler and KV manager on the same step times. Runs of your own: `benchmarks.validation_runs`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentvm_serving.goodput import ServedRequest, goodput
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.models import form_of
from agentvm_serving.sim.profiles import VLLM_OVERHEAD
from agentvm_serving.sim.simulator import simulate
from agentvm_serving.workload import Call, Item

GPUS = {
    # KV tokens as the recordings show them: the most that was in use while requests waited (RTX 4090, 24 GB),
    # or more than ever was (RTX PRO 6000, 96 GB). At most 128 ran at once; prompts went in chunks of 2,048.
    "rtx4090": ("lss_rtx4090", Engine(None, 128, 2048, 8192, 43_000)),  # type: ignore[arg-type]
    "rtxpro6000": ("lss_rtxpro6000", Engine(None, 128, 2048, 8192, 500_000)),  # type: ignore[arg-type]
}
DEADLINES = (20.0, 40.0, 80.0)
"""Seconds: goodput is of the tokens of requests that are done within so many."""


@dataclass(frozen=True)
class Recorded:
    """One request of a real run. Seconds from the run's start."""

    arrival: float
    input_tokens: int
    output_tokens: int
    first: float
    last: float


@dataclass(frozen=True)
class Summary:
    """A run in short."""

    ttft: float
    tpot: float
    latency: float
    seconds: float
    """Until the last token."""
    in_time: dict[float, float]
    """By deadline: share of the output tokens that belong to requests that met it."""


def summary(requests: Sequence[Recorded]) -> Summary:
    """Means over requests; time per output token of those that have more than one."""
    tokens = sum(each.output_tokens for each in requests)
    return Summary(
        statistics.fmean(each.first - each.arrival for each in requests),
        statistics.fmean(
            (each.last - each.first) / (each.output_tokens - 1) for each in requests if each.output_tokens > 1
        ),
        statistics.fmean(each.last - each.arrival for each in requests),
        max(each.last for each in requests) - min(each.arrival for each in requests),
        {
            within: sum(e.output_tokens for e in requests if e.last - e.arrival <= within) / tokens
            for within in DEADLINES
        },
    )


def as_recorded(items: Sequence[Item], served: Iterable[ServedRequest]) -> list[Recorded]:
    """What a simulation served, call by call."""
    return [
        Recorded(
            call.arrival, call.input_tokens, len(call.token_times), call.token_times[0], call.token_times[-1]
        )
        for request in served
        for call in request.calls
    ]


def items_of(requests: Sequence[Recorded]) -> list[Item]:
    """The workload of a run."""
    return [
        Item(str(n), "deadline", e.arrival, ((Call(e.input_tokens, e.output_tokens),),), "real", within=60.0)
        for n, e in enumerate(requests)
    ]


def predicted(requests: Sequence[Recorded], engine: Engine, policy: str = "stock") -> Summary:
    """What the simulator makes of a run's workload."""
    items = items_of(requests)
    return summary(as_recorded(items, simulate(items, engine, policy).requests))


def errors(real: Summary, found: Summary) -> dict[str, float]:
    """Signed relative errors; of shares in time, differences."""
    named = {
        name: getattr(found, name) / getattr(real, name) - 1
        for name in ("ttft", "tpot", "latency", "seconds")
    }
    return named | {f"in {at:g} s": found.in_time[at] - real.in_time[at] for at in DEADLINES}


def gpu(traces: Path) -> list[dict[str, Any]]:
    """Recorded runs of vLLM 0.19 on two GPUs, by form of the step model and engine overhead."""
    models = json.loads((traces / "step_time_models.json").read_text(encoding="utf-8"))["models"]
    rows = []
    for name, (model, engine) in GPUS.items():
        with (traces / f"vllm_real_{name}_llama31_8b.csv").open(encoding="utf-8") as file:
            real = [
                Recorded(
                    float(row["arrival_s"]),
                    int(row["input_tokens"]),
                    int(row["output_tokens"]),
                    float(row["first_token_s"]),
                    float(row["last_token_s"]),
                )
                for row in csv.DictReader(file)
            ]
        for form in ("table", "knee"):
            for overhead, (constant, per_request) in {"none": (0.0, 0.0), "vllm": VLLM_OVERHEAD}.items():
                made = replace(
                    engine,
                    step=form_of(models[model][form]),
                    overhead=constant,
                    overhead_per_request=per_request,
                )
                truth, found = summary(real), predicted(real, made)
                row = {
                    "run": name,
                    "form": form,
                    "overhead": overhead,
                    "real": vars(truth),
                    "simulated": vars(found),
                }
                rows.append(row | {"errors": errors(truth, found)})
    return rows


def replayed(count: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The simulator against vLLM's own scheduler and KV manager in virtual time."""
    from agentvm_serving.bench.engines import engine_named
    from agentvm_serving.workload.mixes import Mix

    rows = []
    mix = Mix({"chat": 1.0, "deadline": 1.0, "research": 1.0})
    for spec, rate in (("a100", 3.0), ("a100?kv=60000&seqs=64", 3.0), ("h100?cache=1", 8.0)):
        judge, tried = engine_named(f"replay:{spec}"), engine_named(f"sim:{spec}")
        for policy in ("stock", "edf", "jit"):
            for seed in seeds:
                items = mix.draw(count, rate, seed)
                real, found = judge.serve(items, policy), tried.serve(items, policy)
                one, other = goodput(real.requests).tokens, goodput(found.requests).tokens
                rows.append(
                    {
                        "engine": spec,
                        "policy": policy,
                        "seed": seed,
                        "steps": [real.steps, found.steps],
                        "preemptions": [real.preemptions, found.preemptions],
                        "goodput": [one, other],
                        "error": other / one - 1 if one else 0.0,
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="How far the simulator is off.")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    what = parser.add_subparsers(dest="what", required=True)
    with_gpu = what.add_parser("gpu")
    with_gpu.add_argument("--traces", type=Path, required=True)
    with_replay = what.add_parser("replay")
    with_replay.add_argument("--items", type=int, default=600)
    with_replay.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    if arguments.what == "gpu":
        rows = gpu(arguments.traces)
        for row in rows:
            found = "  ".join(f"{name} {error:+.1%}" for name, error in row["errors"].items())
            print(f"{row['run']:<11} {row['form']:<6} overhead {row['overhead']:<5} {found}")
    else:
        rows = replayed(arguments.items, arguments.seeds)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
