"""Arrivals: when requests come."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from agentvm_compiler.errors import ConfigError

Arrivals: TypeAlias = Callable[[int, float, random.Random], list[float]]
"""So many arrivals at a rate, on average: seconds, in order."""


def poisson(count: int, rate: float, draws: random.Random) -> list[float]:
    """A Poisson process: gaps are exponential."""
    return _summed(draws.expovariate(rate) for _ in range(count))


def gamma(deviation: float) -> Arrivals:
    """Bursts: gaps are Gamma-distributed.

    Args:
        deviation: of a gap, as a multiple of its mean; 1 is a Poisson process, more is burstier.
    """
    shape = 1 / deviation**2
    return lambda count, rate, draws: _summed(
        draws.gammavariate(shape, 1 / (shape * rate)) for _ in range(count)
    )


def traced(times: Sequence[float]) -> Arrivals:
    """As in a trace, which keeps its shape at another rate.

    A seed says where in the trace the arrivals begin. A trace that is too short goes round.
    """
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps) if gaps else 0.0
    if mean <= 0:
        raise ConfigError("a trace gives arrivals only if it tells times, at least two")

    def arrivals(count: int, rate: float, draws: random.Random) -> list[float]:
        start = draws.randrange(len(gaps))
        chosen = [gaps[(start + number) % len(gaps)] for number in range(count - 1)]
        span = sum(chosen) or mean
        stretch = (count - 1) / rate / span
        return _summed([0.0, *(gap * stretch for gap in chosen)])[:count]

    return arrivals


def arrivals_named(spec: str) -> Arrivals:
    """`poisson`, `gamma:CV`, or `trace:FILE`.

    Raises:
        ConfigError: there is none of that name.
        InputError: the file is no trace.
    """
    from pathlib import Path

    from .traces import read_trace

    kind, _, rest = spec.partition(":")
    if kind == "poisson" and not rest:
        return poisson
    if kind == "gamma" and (deviation := _positive(rest)):
        return gamma(deviation)
    if kind == "trace" and rest:
        return traced([each.at for each in read_trace(Path(rest)) if each.at is not None])
    raise ConfigError(
        f"no arrivals are called {spec!r}. Choose poisson, gamma:CV (such as gamma:3), or trace:FILE"
    )


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1000 else None


def _summed(gaps: Iterable[float]) -> list[float]:
    return list(itertools.accumulate(gaps))
