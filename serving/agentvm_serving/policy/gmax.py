"""`gmax`: grouped margin goodput maximisation, as JITServe itself orders.

JITServe (NSDI'26, arXiv 2504.20068), section 4.2: a request's priority is its
goodput for the time its rest takes, nothing if its minimum bandwidth is more
than a slot has. Of N requests those count whose priority is at least `cut`
times that of the B-th, B being the batch. They are sorted by prompt length, so
that a batch is of like lengths, and the window of B with the largest sum runs.

Two things differ from the paper: a frame is shorter (on a slow engine 50 steps
are longer than a TTFT), and nothing that runs is swapped out for the window.

O(N log N).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate

from .demand import demand
from .orders import REPLAN
from .views import EngineView, RequestView

WINDOW, OUTSIDE = 0, 1
"""Tiers of the rank."""


@dataclass(frozen=True, slots=True)
class Gmax:
    """The policy."""

    cut: float = 0.95
    """Share of the B-th priority that makes a candidate (tuned online in the paper)."""
    every: int = REPLAN
    """Steps of a frame (50 in the paper)."""

    def plan(self, views: Collection[RequestView], engine: EngineView) -> None:
        for view in views:
            view.rank = (OUTSIDE, -_priority(view, engine), view.ordinal)
        # One that comes within a frame waits for the next, unless there is room.
        for view in self._window(sorted(views, key=lambda each: each.rank), engine.slots):
            view.rank = (WINDOW, *view.rank[1:])

    def _window(self, ordered: Sequence[RequestView], size: int) -> Sequence[RequestView]:
        """The window of at most so many that gains most, of views by falling priority."""
        if len(ordered) <= size:
            return ordered if len(ordered) > 1 else ()
        bar = self.cut * -ordered[size - 1].rank[1]
        candidates = [each for each in ordered if -each.rank[1] >= bar]
        candidates.sort(key=lambda each: (each.prompt_tokens, each.ordinal))
        sums = [0.0, *accumulate(-each.rank[1] for each in candidates)]
        best = max(range(len(candidates) - size + 1), key=lambda start: sums[start + size] - sums[start])
        return candidates[best : best + size]


def _priority(view: RequestView, engine: EngineView) -> float:
    """Tokens that would count for a second of one slot."""
    asks = demand(view, engine)
    if asks is None or asks.bandwidth(engine.now) > 1:
        return 0.0
    return asks.tokens / asks.seconds
