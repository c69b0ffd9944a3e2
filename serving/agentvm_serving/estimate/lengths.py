"""Output lengths: how many tokens a request will still produce, given those it has.

An empirical distribution for each *site* (place in a program) of the newest
finished requests, conditioned on the tokens so far: what is longer than that is
what the request may still become. Where a site has too few, all requests speak
for it, then the prior.

After JITServe, section 4.1 (an upper quantile, predicted again as tokens come).
The site, which names the prompt's template, stands for its quantile regression
forest, which is in `forest`.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

WINDOW: Final = 256
"""Finished requests kept for a site."""
ENOUGH: Final = 8
"""Longer ones that are needed for a site to speak for itself."""
ANSWERS: Final = 10_000
"""Answers kept between the ends of two requests."""
SITES: Final = 4096
"""Sites kept; the one that finished a request longest ago is forgotten first."""


class Length(NamedTuple):
    """Output tokens of a request in all, those it has included."""

    expected: int
    upper: int


class LengthEstimator(Protocol):
    """What policies ask. `tokens` are those so far; `prompt` are the prompt's."""

    def finished(self, site: str, tokens: int, limit: int | None = None, prompt: int = 0) -> None:
        """Learn the length of a request that came to its end by itself."""
        ...

    def of(self, site: str, tokens: int = 0, limit: int | None = None, prompt: int = 0) -> Length:
        """Estimate the length of a request that has so many tokens and may have `limit`."""
        ...

    def chance(self, site: str, tokens: int, within: int, limit: int | None = None, prompt: int = 0) -> float:
        """Probability that a request that has so many tokens ends with at most `within`."""
        ...


class Distribution:
    """Equally likely lengths, in order."""

    __slots__ = ("_sorted",)

    def __init__(self, lengths: Iterable[int] = ()) -> None:
        self._sorted = sorted(lengths)

    def beyond(self, tokens: int) -> int:
        """How many are longer."""
        return len(self._sorted) - bisect_right(self._sorted, tokens)

    def quantile(self, q: float, longest: int) -> int:
        """The q-quantile of so many of the longest; at least one, and q above 0."""
        return self._sorted[len(self._sorted) - longest + math.ceil(q * longest) - 1]


class Sample(Distribution):
    """The newest `WINDOW` lengths."""

    __slots__ = ("_by_age",)

    def __init__(self) -> None:
        super().__init__()
        self._by_age: deque[int] = deque()

    def add(self, length: int) -> None:
        """O(log WINDOW), and a move of at most WINDOW pointers."""
        self._by_age.append(length)
        insort(self._sorted, length)
        if len(self._by_age) > WINDOW:
            oldest = self._by_age.popleft()
            del self._sorted[bisect_right(self._sorted, oldest) - 1]


class _Known(NamedTuple):
    """What is known of a request by its place and its tokens so far."""

    length: Length
    """If nothing limits it."""
    speaks: Distribution | None
    """What speaks for it; `None` if nothing does."""
    longer: int
    """How many lengths there are longer than it is."""


class Lengths:
    """Estimates lengths by site, and learns from every request that finishes.

    Args:
        upper: the quantile that counts as upper bound.
        prior: tokens assumed where nothing is known.
    """

    def __init__(self, upper: float = 0.9, prior: int = 256) -> None:
        self._upper = upper
        self._prior = prior
        self._sites: dict[str, Sample] = {}
        self._all = Sample()
        self._answers: dict[tuple[str, int], _Known] = {}
        """Since the last request finished: those that wait ask the same again and again."""

    def finished(self, site: str, tokens: int, limit: int | None = None, prompt: int = 0) -> None:
        """Learn the length of a request that came to its end by itself."""
        self._answers.clear()
        self._all.add(tokens)
        if site:
            self._sites[site] = sample = self._sites.pop(site, None) or Sample()
            sample.add(tokens)
            if len(self._sites) > SITES:
                del self._sites[next(iter(self._sites))]

    def of(self, site: str, tokens: int = 0, limit: int | None = None, prompt: int = 0) -> Length:
        """Estimate the length of a request that has so many tokens and may have `limit`. O(log WINDOW)."""
        length = self._known_of(site, tokens, limit, prompt).length
        if limit is None or length.upper <= limit:
            return length
        upper = max(tokens + 1, limit)
        return Length(min(length.expected, upper), upper)

    def chance(self, site: str, tokens: int, within: int, limit: int | None = None, prompt: int = 0) -> float:
        """Probability that a request that has so many tokens ends with at most `within`. O(log WINDOW)."""
        if within <= tokens:
            return 0.0
        if limit is not None and within >= limit:
            return 1.0
        known = self._known_of(site, tokens, limit, prompt)
        if known.speaks is None:
            return float(1 - 0.5 ** ((within - tokens) / self._half(tokens)))
        return 1 - known.speaks.beyond(within) / known.longer

    def _known_of(self, site: str, tokens: int, limit: int | None, prompt: int) -> _Known:
        key = site, tokens  # the limit is what differs from request to request
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= ANSWERS:
                self._answers.clear()
            known = self._answers[key] = self._find(site, tokens, limit, prompt)
        return known

    def _find(self, site: str, tokens: int, limit: int | None, prompt: int) -> _Known:
        found, longer = self._speaks(site, tokens, limit, prompt)
        if found is not None:
            expected, upper = found.quantile(0.5, longer), found.quantile(self._upper, longer)
        else:
            half = self._half(tokens)
            expected, upper = tokens + half, tokens + round(-math.log2(1 - self._upper) * half)
        upper = max(tokens + 1, upper)
        return _Known(Length(max(tokens + 1, min(expected, upper)), upper), found, longer)

    def _speaks(
        self, site: str, tokens: int, limit: int | None, prompt: int
    ) -> tuple[Distribution | None, int]:
        """What speaks for a request, its site, or all requests, or nothing; and how many are longer there."""
        for sample in (self._sites.get(site), self._all):
            if sample is not None and (longer := sample.beyond(tokens)) >= ENOUGH:
                return sample, longer
        return None, 0

    def _half(self, tokens: int) -> int:
        """Where nothing is known, half of the requests end within so many more tokens."""
        return max(self._prior, tokens)
