"""Numbers to draw: token counts and seconds, as distributions fitted to what was seen."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token counts: lognormal by median and spread, cut to a range."""

    median: float
    sigma: float
    """Standard deviation of the logarithm."""
    most: int
    least: int = 4

    def draw(self, random: random.Random) -> int:
        drawn = random.lognormvariate(math.log(self.median), self.sigma)
        return max(self.least, min(self.most, round(drawn)))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution by its quantiles, straight between them."""

    at: Sequence[float]
    """Probabilities, from 0 to 1."""
    values: Sequence[float]

    def value(self, probability: float) -> float:
        """The quantile of a probability."""
        number = min(max(1, bisect.bisect_left(self.at, probability)), len(self.at) - 1)
        low, high = self.at[number - 1], self.at[number]
        share = (probability - low) / (high - low)
        return self.values[number - 1] + share * (self.values[number] - self.values[number - 1])

    def draw(self, draws: random.Random) -> float:
        return self.value(draws.random())


@dataclass(frozen=True, slots=True)
class Pair:
    """Prompt and answer of a call, correlated by a Gaussian copula."""

    input: Quantiles
    output: Quantiles
    correlation: float = 0.0
    """Of the normal variables behind the two."""

    def draw(self, draws: random.Random) -> tuple[int, int]:
        """Input and output tokens."""
        one, other = draws.gauss(), draws.gauss()
        second = self.correlation * one + math.sqrt(1 - self.correlation**2) * other
        return _tokens(self.input, _NORMAL.cdf(one)), _tokens(self.output, _NORMAL.cdf(second))


def pair_of(found: Mapping[str, Any], at: Sequence[float]) -> Pair:
    """A fitted pair."""
    return Pair(Quantiles(at, found["input"]), Quantiles(at, found["output"]), found.get("correlation", 0.0))


def _tokens(of: Quantiles, probability: float) -> int:
    return max(1, round(of.value(probability)))
