"""Goodput of policies by load: the same workloads under each, several seeds.

Load 1 is saturation: the rate at which the engine ends requests when all are
there at once, under vLLM's own order.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from agentvm_serving.goodput import goodput
from agentvm_serving.workload import Item, faster, mixed, relaxed
from agentvm_serving.workload.traces import Traced, items_of

from .engines import BenchEngine, Served

STUDENT_95: Final = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided 95 % quantile of Student's t by degrees of freedom, from 1."""

Draw = Callable[[float, int], Sequence[Item]]
"""A workload of a rate, items a second, and a seed."""


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
    scheduling_us: float | None
    """Microseconds of scheduling in a step, on average."""


def drawn(count: int) -> Draw:
    """The mixed workload with so many items."""
    return lambda rate, seed: mixed(count, rate, seed)


def traced(trace: Sequence[Traced], count: int) -> Draw:
    """So many requests in a row of a trace, from where the seed says."""
    return lambda rate, seed: items_of(trace, count, rate, seed)


def from_items(items: Sequence[Item]) -> Draw:
    """A given workload, faster or slower; its seeds are all the same."""
    span = max((each.arrival for each in items), default=0.0)
    return lambda rate, seed: faster(items, rate * span / len(items)) if span else list(items)


def with_time(draw: Draw, factor: float) -> Draw:
    """The workloads with so much more time for their objectives."""
    return lambda rate, seed: relaxed(draw(rate, seed), factor)


def saturation(engine: BenchEngine, draw: Draw, seeds: Sequence[int]) -> float:
    """Items a second that the engine ends when all are there at once."""
    rates = []
    for seed in seeds:
        items = [replace(each, arrival=0.0) for each in draw(1.0, seed)]
        rates.append(len(items) / engine.serve(items, "stock").seconds)
    return statistics.median(rates)


def compare(
    engine: BenchEngine,
    draw: Draw,
    policies: Sequence[str],
    loads: Sequence[float],
    seeds: Sequence[int],
    saturated: float,
) -> Iterator[Row]:
    """One row for each policy, load and seed; policies alternate, so that drift meets them alike."""
    for load in loads:
        for seed in seeds:
            items = draw(load * saturated, seed)
            for policy in policies:
                yield row(policy, load, seed, items, engine.serve(items, policy))


def row(policy: str, load: float, seed: int, items: Sequence[Item], served: Served) -> Row:
    """Account for one workload."""
    total = goodput(served.requests)
    span = max(each.arrival for each in items) - min(each.arrival for each in items) or served.seconds
    classes = dict.fromkeys(each.slo for each in served.requests)
    met: dict[str, float] = {"all": total.attainment}
    met |= {slo: goodput(each for each in served.requests if each.slo == slo).attainment for slo in classes}
    return Row(
        policy,
        load,
        seed,
        token_goodput=total.tokens / span,
        weighted_goodput=total.weighted / span,
        request_goodput=total.requests / span,
        throughput=total.served_tokens / served.seconds,
        token_share=total.tokens / sum(each.tokens for each in items),
        attainment=met,
        preemptions=served.preemptions,
        scheduling_us=None if served.scheduling is None else served.scheduling * 1e6,
    )


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(each) for each in rows]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval."""

    mean: float
    half: float
    """Half its width; 0 for a single value, of which nothing is known."""


def interval(values: Sequence[float]) -> Interval:
    """Mean and confidence interval by Student's t."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, 0.0)
    quantile = STUDENT_95[len(values) - 2] if len(values) - 2 < len(STUDENT_95) else 1.96
    return Interval(mean, quantile * statistics.stdev(values) / len(values) ** 0.5)


def summarised(rows: Sequence[Row]) -> Mapping[tuple[float, str], Mapping[str, Interval]]:
    """By load and policy: token goodput, request goodput and throughput over the seeds."""
    groups: dict[tuple[float, str], list[Row]] = {}
    for each in rows:
        groups.setdefault((each.load, each.policy), []).append(each)
    return {
        key: {
            "token_goodput": interval([each.token_goodput for each in group]),
            "request_goodput": interval([each.request_goodput for each in group]),
            "throughput": interval([each.throughput for each in group]),
        }
        for key, group in groups.items()
    }
