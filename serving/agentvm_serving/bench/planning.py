"""Capacity: how much one engine carries under each policy, and how many a demand takes.

Attainment falls as the rate rises, so the highest rate with enough of it is found by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PRECISION: Final = 0.03
"""Bisection ends when the bounds are so close, as a share of the rate."""
HIGHEST: Final = 16.0
"""No policy carries so many times what saturates an engine."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one engine carries under a policy."""

    engine: str
    policy: str
    rate: float
    """Requests a second with enough of them in time."""
    attainment: float
    """At that rate."""
    load: float
    """That rate as a multiple of saturation: beyond it the policy breaks."""

    def replicas(self, demand: float) -> int:
        """Engines for so many requests a second, if many carry as much more as there are; 0 if none can."""
        return math.ceil(demand / self.rate - 1e-9) if self.rate else 0


def with_replicas(engine: str, count: int, router: str = "least") -> str:
    """The spec of so many simulated engines behind a router."""
    name, _, options = engine.partition("?")
    return f"{name}?{options}&replicas={count}&router={router}".replace("?&", "?")


def fewest(attains: Callable[[int], float], wanted: float, guess: int) -> int:
    """The smallest number of engines with the wanted attainment, found from a guess on."""
    count = guess
    if attains(count) >= wanted:
        while count > 1 and attains(count - 1) >= wanted:
            count -= 1
        return count
    while attains(count := count + 1) < wanted:
        if count >= 2 * guess + 2:
            return 0
    return count


def highest(attains: Callable[[float], float], wanted: float, start: float) -> tuple[float, float]:
    """The highest rate with the wanted attainment, and the attainment there; (0, 0) if there is none.

    Args:
        attains: attainment at a rate.
        start: a rate to begin at.
    """
    low, at_low, high = 0.0, 0.0, start
    while (found := attains(high)) >= wanted:
        low, at_low, high = high, found, 2 * high
        if high > HIGHEST * start:
            return low, at_low
    if not low:  # even the first one was too much
        low = start / 2
        while (at_low := attains(low)) < wanted:
            low, high = low / 2, low
            if low < start / HIGHEST:
                return 0.0, 0.0
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        if (found := attains(middle)) >= wanted:
            low, at_low = middle, found
        else:
            high = middle
    return low, at_low
