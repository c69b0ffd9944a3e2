"""`past_future`: admit while the KV cache will hold what is running to its end.

The Past-Future scheduler (Gong et al., ASPLOS'25), section 3: a request's length is
estimated from the distribution of past ones, given the tokens it has (`engine.lengths`).
The memory that running requests will need peaks at one of their ends; a
request may start, first come, first served, if the peak with it still fits.
Neither preemptions, from starting too many, nor idle memory, from counting each
at its limit.

A request that must wait has the tier `WAITS`: the adapter starts no such one,
unless nothing else runs. Decided at every step. O(N log N) for N requests, and
O(R) for each that starts, R running.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .views import WAITS, EngineView, RequestView

Load: TypeAlias = tuple[int, int]
"""Tokens that a request will still add to the KV cache, and those it holds once its prompt is read."""


def future_peak(loads: Sequence[Load]) -> int:
    """Most tokens that are in the cache at once, if no other request comes. O(R).

    Args:
        loads: by falling tokens to come. When one ends, those before it have grown by as much as it has.
    """
    held = peak = 0
    for number, (to_come, holds) in enumerate(loads, 1):
        held += holds
        peak = max(peak, held + number * to_come)
    return peak


@dataclass(frozen=True, slots=True)
class PastFuture:
    """The policy."""

    reserve: float = 0.05
    """Share of the cache that is kept free, since estimates err."""
    every: int = 1

    def plan(self, views: Collection[RequestView], engine: EngineView) -> None:
        room = (1 - self.reserve) * engine.kv_tokens
        loads = sorted((_load(view, engine) for view in views if view.running), reverse=True)
        full = len(views) == 1  # a new one alone: the others are not to be seen, the next plan decides
        for view in sorted(views, key=lambda each: each.ordinal):
            view.rank = (0, view.arrival, view.ordinal)
            if view.running or not engine.kv_tokens:
                continue
            if not full:
                load = _load(view, engine)
                insort(loads, load, key=lambda each: (-each[0], -each[1]))
                full = len(loads) > 1 and future_peak(loads) > room
            if full:
                view.rank = (WAITS, view.arrival, view.ordinal)


def _load(view: RequestView, engine: EngineView) -> Load:
    return engine.length(view).upper - view.output_tokens, view.prompt_tokens + view.output_tokens
