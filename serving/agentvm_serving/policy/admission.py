"""Admission: which requests cannot meet their objective whatever is done for them.

Such a request must not spoil others' chances. It is judged by what it would need
if it were alone on the engine, and only on good evidence: an objective that is
merely unlikely is the policy's affair.
"""

from __future__ import annotations

from typing import Final

from .orders import prefill
from .views import EngineView, RequestView

LEAST_CHANCE: Final = 0.02
"""Chance under which an objective cannot be met."""


def hopeless(view: RequestView, alone: EngineView) -> str | None:
    """Why a request cannot meet its objective; `None` if it may, or has none. O(log lengths).

    Args:
        alone: the engine as it would be if it had nothing else to do.
    """
    hints = view.hints
    if hints is None or hints.slo == "best_effort":
        return None
    first = prefill(view, alone) + alone.step
    if hints.slo == "latency":
        # Late tokens may be caught up with, if the engine is faster than it was asked to be.
        if alone.now + first > view.next_due and alone.step >= view.pace:
            return f"its next token takes {first:.2f} s and is due in {view.next_due - alone.now:.2f} s"
        return None
    due = view.deadline - view.later.outputs_in_a_row * alone.step - view.later.tool_seconds
    within = int((due - alone.now - first) / alone.step) + 1 if due - alone.now >= first else 0
    if alone.chance(view, view.output_tokens + within) < LEAST_CHANCE:
        left = due - alone.now
        return f"it has {left:.2f} s, its prompt takes {first:.2f} s and its answer is too long for the rest"
    return None
