"""The starvation guard: whatever the policy, what is long overdue is served in the end.

Some orders let a request wait for as long as others come that suit them better
(`sjf`, `plas`, and every order that puts late requests last). A few of those that
run are therefore the ones that are overdue the longest.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import Final

from .views import EngineView, RequestView

OVERDUE: Final = -2
"""Tier of the requests that the guard lets go first."""
PATIENCE: Final = 60.0
"""Seconds past its deadline, virtual if the client named none, after which a request goes first."""
SHARE: Final = 1 / 32
"""Share of those that run that such requests may be, at least one."""


def feed_overdue(views: Collection[RequestView], engine: EngineView) -> bool:
    """Put the requests that are overdue the longest first; whether there were any. O(N).

    Call it after the policy's plan. Tiers below zero are a policy's own guard, and count.
    """
    limit = engine.now - PATIENCE
    seen = [view for view in views if view.deadline < limit or view.rank[0] < 0]
    overdue = [view for view in seen if view.rank[0] >= 0]
    if not overdue:
        return False
    # Of those that run, not of the slots: where these are many, so many overdue ones would slow all others.
    running = min(engine.slots, sum(view.running for view in views))
    room = max(1, int(SHARE * running)) - (len(seen) - len(overdue))
    if room <= 0:
        return False
    for view in heapq.nsmallest(room, overdue, key=lambda view: (view.deadline, view.ordinal)):
        view.rank = (OVERDUE, view.deadline, view.ordinal)
    return True
