"""`tempo`: largest service density first.

Tempo (arXiv 2504.20068v1, the first version of JITServe) serves what gains most
for the time it takes: all of a request's tokens while it can be in time, fewer
the later it will be. The paper leaves the form of the decline to the operator;
here the gain falls with the ratio of the time allowed to the time taken.

O(1) a request, beside the stages that its hints name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .demand import demand
from .orders import REPLAN
from .views import EngineView, RequestView

PLAIN = 1
"""Tier of requests that were promised nothing."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """The policy."""

    decay: float = 2.0
    """Power with which the gain falls once a request is late."""
    every: int = REPLAN

    def plan(self, views: Collection[RequestView], engine: EngineView) -> None:
        for view in views:
            asks = demand(view, engine)
            if asks is None:
                view.rank = (PLAIN, view.arrival, view.ordinal)
                continue
            allowed = max(0.0, asks.due - view.arrival)
            taken = max(engine.step, engine.now + asks.needed - view.arrival)
            gain = asks.tokens * min(1.0, allowed / taken) ** self.decay
            view.rank = (0, -gain / asks.seconds, view.ordinal)
