"""Exchange: a running request gives its slot to a waiting one, where that is worth the stall.

Most of the time it is not: the KV of whoever gives way must be computed again.
It is worth it for a request that counts for nothing any more, or for little, if
it would have kept its slot for longer than its KV takes to compute (JITServe,
section 4.2: preempt only if the gain exceeds the stall).
"""

from __future__ import annotations

from collections.abc import Sequence

from .admission import hopeless
from .views import EngineView, RequestView


def displaced(
    waiting: Sequence[RequestView], running: Sequence[RequestView], engine: EngineView
) -> list[RequestView]:
    """Which of the running requests, last of them first, give way to the first of those that wait.

    Args:
        waiting: first in rank order.
        running: last in rank order.
    """
    victims: list[RequestView] = []
    for wants, has in zip(waiting, running, strict=False):
        if wants.rank[0] > 0 or has.rank[0] <= 0 or hopeless(has, engine) is None:
            break
        if _left(has, engine) <= _stall(has, engine):
            break
        victims.append(has)
    return victims


def _left(view: RequestView, engine: EngineView) -> float:
    """Seconds for which it would keep its slot."""
    return (engine.length(view).expected - view.output_tokens) * engine.step


def _stall(view: RequestView, engine: EngineView) -> float:
    """Seconds of one slot that computing its KV again costs: all slots wait for it."""
    return (view.prompt_tokens + view.output_tokens) * engine.per_prefill * engine.slots
