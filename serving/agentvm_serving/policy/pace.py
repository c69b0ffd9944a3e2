"""Pace: how much a step may work on, if running requests are to keep the pace they were promised.

A long prompt makes its step long, and everybody waits for it. Cut to what fits
between two tokens of the request with the tightest TBT, chat is smooth; but each
piece pays for a step, so that less is done in all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .views import EngineView, RequestView

LEAST: Final = 64
"""Prompt tokens that a step may always work on, so that prompts come to their end."""


def most_tokens(paced: Collection[RequestView], running: int, engine: EngineView) -> int | None:
    """Most tokens of one step; `None` where nothing bounds it. O(paced).

    Args:
        paced: the `latency` requests whose tokens are coming.
        running: requests that run, each with a token in the step.
    """
    if not paced or engine.per_prefill <= 0:
        return None
    spare = min(view.pace for view in paced) - engine.step
    return running + max(LEAST, int(spare / engine.per_prefill))
