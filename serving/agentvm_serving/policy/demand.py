"""What a request asks of the engine: time, and by when.

Shared by the policies that follow a paper: the time to generate the rest (its
upper bound, since being late costs more than being early), the moment it is
due, and the minimum *bandwidth*, the share of one slot's time that it must get
from now on to be in time (JITServe, section 4.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .orders import prefill
from .views import EngineView, RequestView


@dataclass(frozen=True, slots=True)
class Demand:
    """What one request asks."""

    seconds: float
    """Of one slot, until its last token."""
    due: float
    """When its next token (`latency`) or its last one must be out, Unix seconds."""
    needed: float
    """Of one slot, seconds until the token that is due."""
    tokens: float
    """Output tokens that count if it is in time: all of them, or (`latency`) those to come."""

    def bandwidth(self, now: float) -> float:
        """Least share of one slot; above 1 it cannot be in time."""
        left = self.due - now
        return self.needed / left if left > 0 else math.inf


def demand(view: RequestView, engine: EngineView) -> Demand | None:
    """What the request asks; `None` if nothing was promised. O(1)."""
    hints = view.hints
    if hints is None or hints.slo == "best_effort":
        return None
    start = prefill(view, engine)
    left = engine.length(view).upper - view.output_tokens
    seconds = start + left * engine.step
    if hints.slo == "latency":
        return Demand(seconds, view.next_due, start + engine.step, float(left))
    later = view.later.outputs_in_a_row * engine.step + view.later.tool_seconds
    # A stage may take its share of the time that the program has left (JITServe, section 4.1).
    due = engine.now + (view.deadline - engine.now) * seconds / (seconds + later)
    done = engine.attained.get(view.program, 0) / hints.siblings
    return Demand(seconds, due, seconds, done + view.output_tokens + left + view.later.outputs)
