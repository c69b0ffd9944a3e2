"""`slos_serve`: which requests to admit, by dynamic programming.

SLOs-Serve (arXiv 2504.08784), section 3: requests are taken in the order in which their
prompts must be done. Each one admitted reserves the rate at which it must
produce tokens from there on; what rates leave over is the *budget* for prompts.
For each number of admitted requests the programme keeps the largest budget that
is left, and at the end takes the largest number. Who is declined runs as far as
there is room.

Rates here end with the requests that run now, by their expected lengths; those
that the plan admits keep theirs, since the next plan knows better. A request
that is due at its end must produce at the engine's own pace.

O(N log N) for N requests, and the square of `CONSIDERED` for the programme.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from .demand import demand
from .orders import REPLAN, prefill
from .views import EngineView, RequestView

ADMITTED, DECLINED = 0, 1
"""Tiers of the rank."""
CONSIDERED: Final = 64
"""Waiting requests that a plan looks at: the most urgent ones. The programme takes the square of it."""


class _Ask(NamedTuple):
    """What one waiting request asks."""

    start_by: float
    """When its prompt must be done, Unix seconds."""
    view: RequestView
    prefill: float
    """Seconds of the engine."""
    rate: float
    """Share of the engine that its tokens take from then on."""


_Chosen: TypeAlias = "tuple[_Ask, _Chosen] | None"
"""The newest admitted request, and those before it."""


class _State(NamedTuple):
    budget: float
    """Seconds of the engine left for prompts."""
    rate: float
    """Reserved by the admitted."""
    chosen: _Chosen


@dataclass(frozen=True, slots=True)
class SlosServe:
    """The policy."""

    every: int = REPLAN

    def plan(self, views: Collection[RequestView], engine: EngineView) -> None:
        asks = []
        for view in views:
            view.rank = (DECLINED, view.arrival, view.ordinal)
            if view.running:
                view.rank = (ADMITTED, view.arrival, view.ordinal)
            elif (ask := _ask(view, engine)) is not None:
                asks.append(ask)
        asks.sort(key=lambda each: (each.start_by, each.view.ordinal))
        chosen = admitted(asks[:CONSIDERED], _ends(views, engine), engine)
        while chosen is not None:
            ask, chosen = chosen
            ask.view.rank = (ADMITTED, ask.start_by, ask.view.ordinal)


def admitted(asks: Sequence[_Ask], ends: Sequence[float], engine: EngineView) -> _Chosen:
    """The most requests whose prompts and tokens can all be in time.

    Args:
        asks: in the order in which their prompts must be done.
        ends: when the running ones will be done, in order.
    """
    states = [_State(0.0, 0.0, None)]  # by the number admitted
    before = engine.now
    for ask in asks:
        at = max(before, ask.start_by)
        states = [_later(state, _free(before, ends, engine), at - before) for state in states]
        before, free = at, _free(at, ends, engine)
        if ask.start_by < engine.now + ask.prefill:
            continue
        for number in reversed(range(len(states))):
            state = states[number]
            taken = _State(state.budget - ask.prefill, state.rate + ask.rate, (ask, state.chosen))
            if taken.budget < 0 or taken.rate > free + 1e-9:
                continue
            if number + 1 == len(states):
                states.append(taken)
            elif taken.budget > states[number + 1].budget:
                states[number + 1] = taken
    return states[-1].chosen


def _later(state: _State, free: float, seconds: float) -> _State:
    return state._replace(budget=state.budget + max(0.0, free - state.rate) * seconds)


def _free(at: float, ends: Sequence[float], engine: EngineView) -> float:
    """Share of the engine that those that run now leave then."""
    return 1 - (len(ends) - bisect_right(ends, at)) / engine.slots


def _ends(views: Collection[RequestView], engine: EngineView) -> list[float]:
    running = [view for view in views if view.running]
    left = (engine.length(view).expected - view.output_tokens for view in running)
    return sorted(engine.now + each * engine.step for each in left)


def _ask(view: RequestView, engine: EngineView) -> _Ask | None:
    asks = demand(view, engine)
    if asks is None or view.hints is None:
        return None
    start = prefill(view, engine)
    if view.hints.slo == "latency":
        share = min(1.0, engine.step / view.pace) if view.pace > 0 else 1.0
        return _Ask(asks.due - engine.step, view, start, share / engine.slots)
    return _Ask(asks.due - (asks.seconds - start), view, start, 1 / engine.slots)
