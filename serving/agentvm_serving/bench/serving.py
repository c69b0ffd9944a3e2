"""Goodput of policies by load: the same workloads under each, several seeds.

Load 1 is saturation: the rate at which the engine ends requests when all are
there at once, under vLLM's own order.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentvm_serving.goodput import ServedCall, ServedRequest, goodput
from agentvm_serving.workload import Item

from .engines import BenchEngine, Served
from .sources import Draws, all_at_once

STUDENT_95: Final = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided 95 % quantile of Student's t by degrees of freedom, from 1."""
SLACK_STEPS: Final = 20
"""Slack is told by so many quantiles and one more."""
SAMPLES: Final = 120
"""Moments of a timeline."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one policy made of one workload. Goodputs are per second of the arrivals' span."""

    policy: str
    load: float
    """Arrival rate as a multiple of saturation."""
    seed: int
    token_goodput: float
    weighted_goodput: float
    request_goodput: float
    throughput: float
    """Output tokens a second, from the first arrival to the last token."""
    token_share: float
    """Of the output tokens asked for, those that count."""
    attainment: dict[str, float]
    """By class, and of `all`: the share of requests whose objective was met."""
    preemptions: int
    scheduling_us: float | None = None
    """Microseconds of scheduling in a step, on average."""
    goodput: dict[str, float] = field(default_factory=dict)
    """By class: tokens in time a second."""
    slack: list[float] = field(default_factory=list)
    """Quantiles of the time left at the end, as a share of that to the deadline; late is negative."""
    timeline: list[list[float]] = field(default_factory=list)
    """Seconds, calls that have given tokens and are not done, calls that have given none yet."""
    engine: str = ""
    """Its spec."""
    workload: str = ""
    forecast: str = "profile"
    """What hints told."""
    rate: float = 0.0
    """Items a second."""
    stretch: float = 1.0
    """How much longer than drawn the objectives were."""
    speeds: list[float] = field(default_factory=list)
    """How fast the machine was before and after, in the unit of `drift` (real engines)."""


def saturation(engine: BenchEngine, source: Draws, seeds: Sequence[int]) -> float:
    """Items a second that the engine ends when all are there at once."""
    rates = []
    for seed in seeds:
        items = all_at_once(source.draw(1.0, seed))
        rates.append(len(items) / engine.serve(items, "stock").seconds)
    return statistics.median(rates)


def row(
    policy: str, load: float, seed: int, items: Sequence[Item], served: Served, *, timeline: bool = False
) -> Row:
    """Account for one workload."""
    total = goodput(served.requests)
    span = max(each.arrival for each in items) - min(each.arrival for each in items) or served.seconds
    classes = dict.fromkeys(each.slo for each in served.requests)
    by_class = {slo: goodput(each for each in served.requests if each.slo == slo) for slo in classes}
    return Row(
        policy,
        load,
        seed,
        token_goodput=total.tokens / span,
        weighted_goodput=total.weighted / span,
        request_goodput=total.requests / span,
        throughput=total.served_tokens / served.seconds,
        token_share=total.tokens / sum(each.tokens for each in items),
        attainment={"all": total.attainment, **{slo: each.attainment for slo, each in by_class.items()}},
        preemptions=served.preemptions,
        scheduling_us=None if served.scheduling is None else served.scheduling * 1e6,
        goodput={slo: each.tokens / span for slo, each in by_class.items()},
        slack=_slack(served.requests),
        timeline=_timeline(served.requests) if timeline else [],
        speeds=list(served.speeds),
    )


def _slack(requests: Sequence[ServedRequest]) -> list[float]:
    left = sorted(
        (each.deadline - max(call.token_times[-1] for call in each.calls))
        / (each.deadline - min(call.arrival for call in each.calls))
        for each in requests
        if each.deadline is not None and all(call.token_times for call in each.calls) and each.calls
    )
    places = (round(step * (len(left) - 1) / SLACK_STEPS) for step in range(SLACK_STEPS + 1))
    return [round(left[place], 3) for place in places] if left else []


def _timeline(requests: Sequence[ServedRequest]) -> list[list[float]]:
    calls = [call for each in requests for call in each.calls if call.token_times]
    first = min(call.arrival for call in calls)
    last = max(call.token_times[-1] for call in calls)
    moments = [first + (last - first) * number / SAMPLES for number in range(SAMPLES + 1)]
    return [[round(at - first, 2), *_at(calls, at)] for at in moments]


def _at(calls: Sequence[ServedCall], at: float) -> tuple[int, int]:
    running = sum(call.token_times[0] <= at < call.token_times[-1] for call in calls)
    return running, sum(call.arrival <= at < call.token_times[0] for call in calls)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval."""

    mean: float
    half: float
    """Half its width; 0 for a single value, of which nothing is known."""

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def interval(values: Sequence[float]) -> Interval:
    """Mean and confidence interval by Student's t."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, 0.0)
    quantile = STUDENT_95[len(values) - 2] if len(values) - 2 < len(STUDENT_95) else 1.96
    return Interval(mean, quantile * statistics.stdev(values) / len(values) ** 0.5)


def summarised(rows: Sequence[Row]) -> Mapping[tuple[float, str], Mapping[str, Interval]]:
    """By load and policy, loads in order: token goodput, request goodput and throughput over the seeds."""
    groups: dict[tuple[float, str], list[Row]] = {}
    for each in sorted(rows, key=lambda each: each.load):
        groups.setdefault((each.load, each.policy), []).append(each)
    return {
        key: {
            "token_goodput": interval([each.token_goodput for each in group]),
            "request_goodput": interval([each.request_goodput for each in group]),
            "throughput": interval([each.throughput for each in group]),
        }
        for key, group in groups.items()
    }
