"""Tables of the simulator's page: how fast it is, and how far it is off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .tables import head, line

Results = Sequence[Mapping[str, Any]]

WORKLOADS = {"batch64": "batch 64, 64 waiting", "hour": "an hour of 10,000 requests"}
GPUS = {"rtx4090": "RTX 4090", "rtxpro6000": "RTX PRO 6000"}
ERRORS = ("ttft", "tpot", "latency", "seconds")


def speed(rows: Results) -> Iterator[str]:
    yield from head("workload", "policy", "engine iterations", "CPU s", "iterations a second", "MB")
    for row in rows:
        cells = (
            f"{row['steps']:,}",
            f"{row['seconds']:.2f}",
            f"{row['per_second']:,.0f}",
            f"{row['megabytes']:.0f}",
        )
        yield line(WORKLOADS[row["workload"]], row["policy"], *cells)


def replayed(rows: Results) -> Iterator[str]:
    yield from head("engine", "policy", "steps", "preemptions", "tokens in time: replay", "simulator")
    for row in rows:
        numbers = (row["steps"][0], row["preemptions"][0], *row["goodput"])
        yield line(f"`{row['engine']}`", row["policy"], *(f"{each:,}" for each in numbers))


def recorded(rows: Results) -> Iterator[str]:
    names = ("TTFT", "time per token", "latency", "until the last token")
    yield from head("GPU", "form", "overhead", *names, "share of tokens within 20 / 40 / 80 s")
    for row in rows:
        errors = row["errors"]
        shares = " / ".join(f"{100 * errors[f'in {at} s']:+.1f}" for at in (20, 40, 80))
        signed = (f"{errors[name]:+.1%}" for name in ERRORS)
        yield line(GPUS[row["run"]], row["form"], row["overhead"], *signed, shares)


def predicted(found: Mapping[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    yield f"{machine['processor']}, vLLM {machine['vllm']}, {machine['date']}. Real, then predicted; seconds:"
    yield ""
    yield from head("policy", "load", "TTFT", "time per token", "latency", "tokens in time")
    for row in found["predicted"]:
        times = (f"{row[name][0]:.2f}, {row[name][1]:.2f}" for name in ("ttft", "tpot", "latency"))
        tokens = ", ".join(f"{each:,.0f}" for each in row["tokens in time"])
        yield line(f"`{row['policy']}`", f"{row['load']:g}", *times, tokens)
    yield ""
    errors = ", ".join(f"{name} {100 * error:+.1f} %" for name, error in found["errors"].items())
    factors = ", ".join(f"{each:.2f}" for each in found["factors"])
    yield f"Errors of the means of all: {errors}. Fitted factors of each step, prompts, decoding: {factors}."


def ranked(found: Results) -> Iterator[str]:
    yield from head("runs", "load", "in time", "policies", "real gap", "simulated")
    for runs in found:
        said = f"`{runs['runs']}`"
        for each in runs["gaps"]:
            mean, half = each["real"]
            policies = " over ".join(f"`{name}`" for name in each["policies"])
            cells = (f"{each['load']:g}", each["measure"], policies)
            yield line(said, *cells, f"{mean:+.2f} ± {half:.2f}", f"{each['simulated']:+.2f}")


def beside(found: Results) -> Iterator[str]:
    yield from head(
        "runs", "load", "policy", "tokens in time a second: real", "simulated", "requests", "simulated"
    )
    for runs in found:
        for each in runs["means"]:
            tokens = (f"{value:.0f}" for value in each["tokens"])
            requests = (f"{value:.2f}" for value in each["requests"])
            yield line(f"`{runs['runs']}`", f"{each['load']:g}", f"`{each['policy']}`", *tokens, *requests)
