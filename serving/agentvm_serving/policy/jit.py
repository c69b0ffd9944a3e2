"""`jit`: who can be in time together is let in, just in time; the others wait outside.

Just-in-time scheduling after JITServe (NSDI'26, arXiv 2504.20068). All that run share
each step, so whoever is let in makes everybody's steps longer, and under overload all are
late together. So a plan finds the set of requests that is in time together (`fitting`),
by what each needs (`need`):

- chats, what runs and programs that have begun come first: they need little, or are half paid for;
- then goes the largest *goodput density*, tokens at stake for the engine's time that they
  take (section 4.2 there): whole programs, with the stages that their hints forecast. A met
  objective itself counts as some tokens (`per_request`).

Among those let in, chats go first and the others by the moment at which they must go on at
the latest. Prompts are cut so that no step takes longer than the plan has it. Who was not
let in waits outside (`WAITS`) until there is room to spare; nothing that runs is stopped.

Where all fit, this is least laxity first with chats before the rest, and nobody waits;
without objectives it is first come, first served. O(N log N + K N) for K step lengths and N
requests, of which at most `SEEN` wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .fitting import FREE, LEAST, Fit, Margins, best_fit
from .need import Need, need_of
from .views import WAITS, EngineView, Rank, RequestView

LET_IN, LEFT_OUT, HOPELESS, UNSEEN = 0, 1, 2, 3
"""Tiers of the rank."""
SEEN: Final = 256
"""Waiting requests that a plan looks at, the soonest due."""
SPARE: Final = 0.15
"""Share of the room that may be reserved when one that was left out starts."""
SOON: Final = 10.0
"""Seconds in which the prompt of such a one is to be read."""
EARLIER: Final = 1e12
"""Seconds that put a chat before whatever has a deadline."""


@dataclass(frozen=True, slots=True)
class Jit:
    """The policy."""

    margins: Margins = field(default_factory=Margins)
    every: int = 10
    per_request: float = 100.0
    """Tokens that it is worth to meet an objective, beside its own: with more of them, more requests are in
    time and fewer tokens."""
    exchanges: bool = False
    """Whether running requests that are late give way to those let in (`exchange`)."""
    dense: bool = True
    """Whether the densest are taken first, and not who came first (ablation)."""
    holds: bool = True
    """Whether who is not let in waits outside, and prompts are cut (ablation)."""

    def plan(self, views: Collection[RequestView], engine: EngineView) -> int | None:
        most = self._plan(views, engine)
        if self.holds:
            return most
        for view in views:
            view.rank = (view.rank[0] % WAITS, *view.rank[1:])
        return None

    def _plan(self, views: Collection[RequestView], engine: EngineView) -> int | None:
        if len(views) < engine.requests:
            for view in views:
                view.rank = _at_first(need_of(view, engine, self.per_request), engine)
            return None
        needs = [need_of(view, engine, self.per_request) for view in _seen(views, engine)]
        minded = [need for need in needs if need.goodput]
        if not minded:
            for view in views:
                view.rank = (LET_IN, view.arrival, view.ordinal)
            return None
        minded.sort(key=_precedence if self.dense else _arrived)
        stay = not self.exchanges
        others = sum(need.view.running for need in needs if not need.goodput) if stay else 0
        fit = best_fit(minded, others, engine, self.margins, stay)
        if len(needs) < len(views):
            for view in views:
                view.rank = (WAITS + UNSEEN, view.arrival, view.ordinal)
        taken = set(map(id, fit.taken))
        _leave_out([need for need in needs if id(need) not in taken], fit, engine)
        for need in fit.taken:
            need.view.rank = _place(need, engine, fit.step)
        return max(LEAST, int((fit.step - engine.decode) / max(FREE, engine.per_prefill)))


def _precedence(need: Need) -> tuple[bool, bool, bool, float]:
    return (not need.view.running, not need.begun, not need.chat, -need.density)


def _arrived(need: Need) -> tuple[bool, bool, bool, float]:
    return (*_precedence(need)[:3], need.view.ordinal)


def _place(need: Need, engine: EngineView, step: float) -> Rank:
    """Of one that is let in."""
    place = need.due - EARLIER if need.chat else need.starts(engine, step)
    return (LET_IN, place, need.view.ordinal)


def _at_first(need: Need, engine: EngineView) -> Rank:
    """Of a new one, while the others are not to be seen: where more is to follow it waits for the plan."""
    view = need.view
    if not need.goodput:  # behind those that came before, if they were left outside
        outside = WAITS if engine.last_tier >= WAITS + LEFT_OUT else 0
        return (outside + HOPELESS, view.arrival, view.ordinal)
    place = _place(need, engine, engine.step)
    follows = view.hints is not None and bool(view.hints.remaining)
    return (WAITS + place[0], *place[1:]) if follows else place


def _leave_out(rest: Sequence[Need], fit: Fit, engine: EngineView) -> None:
    """Rank those that are not let in; who waits starts only where there is room to spare."""
    for need in rest:
        hopes = need.goodput and need.pace > engine.base
        place = (LEFT_OUT, -need.density) if hopes else (HOPELESS, need.view.arrival)
        need.view.rank = (*place, need.view.ordinal)
    full = False
    for view in sorted((need.view for need in rest if not need.view.running), key=lambda view: view.rank):
        rate = (view.prompt_tokens + view.output_tokens - view.cached_tokens) / SOON
        full = full or (bool(fit.taken) and not fit.has_room(rate, 1.0, SPARE, engine))
        fit.add(rate, 1.0, engine)
        if full:
            view.rank = (WAITS + view.rank[0], *view.rank[1:])


def _seen(views: Collection[RequestView], engine: EngineView) -> Iterable[RequestView]:
    """What runs, and of what waits as much as a plan can look at: the soonest due of those with hope."""
    waiting = [view for view in views if not view.running]
    if len(waiting) <= SEEN:
        return views
    hopeful = [view for view in waiting if view.deadline > engine.now and view.rank[0] != WAITS + HOPELESS]
    kept = heapq.nsmallest(SEEN, hopeful or waiting, key=lambda view: (view.deadline, view.ordinal))
    return [*(view for view in views if view.running), *kept]
