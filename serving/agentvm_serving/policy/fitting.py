"""Who fits: the requests that are in time together, and how long steps may be for that.

Requests that run at steps of `s` seconds leave room for
`(s - decode) / (per_prefill * s)` prompt tokens a second. For each of some step lengths
those with that pace are taken while their rates fit into that room and their shares into the
slots; the length whose set is worth most is the one. O(K N) for K lengths and N requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .need import Need
from .views import EngineView

STEPS: Final = 10
"""Step lengths that are tried, from that of a small piece of a prompt to that of as many tokens as may be."""
LEAST: Final = 64
"""Prompt tokens that a step may always work on, so that prompts come to their end."""
FREE: Final = 1e-7
"""Seconds of a prompt token below which it costs nothing that could be reckoned with."""
OVER: Final = 1.1
"""Share of the room that what is firm may have reserved: beyond it, steps are too short for its prompts."""


@dataclass(frozen=True, slots=True)
class Margins:
    """How much is left for what is not known."""

    going: float = 0.8
    """Least pace of what is firm, in steps: it is half paid for, and lengths are estimates."""
    fresh: float = 1.4
    """Least pace of what is not."""
    filled: float = 0.7
    """Share of the room for prompts that is given away to what is not firm."""
    fresh_worth: float = 0.3
    """What a token of what is not firm is worth: it can be let in later, what has begun is lost."""


@dataclass(slots=True)
class Fit:
    """Who is let in at a step length, and what that takes."""

    step: float
    decode: float
    """Seconds of a step in which all that run, and those let in, decode."""
    decoding: float = 0.0
    """How many those are."""
    reserved: float = 0.0
    """Prompt tokens a second."""
    worth: float = 0.0
    taken: list[Need] = field(default_factory=list)

    def room(self, engine: EngineView, more: float = 0.0) -> float:
        """Prompt tokens a second beside the decoding, of so many more."""
        spare = self.step - self.decode - more * engine.marginal
        return max(0.0, spare) / (max(FREE, engine.per_prefill) * self.step)

    def add(self, rate: float, share: float, engine: EngineView) -> None:
        """Reserve for one more."""
        self.reserved += rate
        self.decoding += share
        self.decode += share * engine.marginal

    def has_room(self, rate: float, share: float, filled: float, engine: EngineView) -> bool:
        """Whether one more fits."""
        if self.decoding + share > engine.slots:
            return False
        return self.reserved + rate <= filled * self.room(engine, share)


def best_fit(
    needs: Sequence[Need], others: int, engine: EngineView, margins: Margins, stay: bool = True
) -> Fit:
    """The set of most worth over all step lengths; of equals, the longest.

    Args:
        needs: all with something at stake; what is firm is taken first, and each kind in this order.
        others: how many run beside them.
        stay: whether what runs and is late keeps its place.
    """
    firm = [need for need in needs if need.firm]
    fresh = [need for need in needs if not need.firm]
    least = engine.base + LEAST * engine.per_prefill
    most = max(engine.decode, engine.base) + engine.budget * engine.per_prefill
    best: Fit | None = None
    for number in range(STEPS):
        step = least * (most / least) ** (number / (STEPS - 1))
        fit = Fit(step, engine.base + others * engine.marginal, others)
        _let_firm_in(firm, fit, engine, margins.going * step, stay)
        if fit.reserved > OVER * fit.room(engine) and number < STEPS - 1:
            continue
        _let_fresh_in(fresh, fit, engine, margins)
        if best is None or fit.worth >= best.worth:
            best = fit
    assert best is not None
    return best


def _let_firm_in(needs: Iterable[Need], fit: Fit, engine: EngineView, least: float, stay: bool) -> None:
    """Reserve for what has at least that pace, and for what runs all the same."""
    # Written out, with few calls: it is done ten times a plan with all that run.
    step, marginal, taken = fit.step, engine.marginal, fit.taken
    reserved, decoding, decode, worth = fit.reserved, fit.decoding, fit.decode, fit.worth
    for need in needs:
        if need.pace >= least:
            share = need.share(step)
            reserved += need.rate(step)
            decoding += share
            decode += share * marginal
            worth += need.goodput
            taken.append(need)
        elif stay and need.view.running:  # it is late
            decoding += 1.0
            decode += marginal
    fit.reserved, fit.decoding, fit.decode, fit.worth = reserved, decoding, decode, worth


def _let_fresh_in(needs: Iterable[Need], fit: Fit, engine: EngineView, margins: Margins) -> None:
    """Reserve for what has the pace and fits."""
    if not fit.has_room(0.0, 0.0, margins.filled, engine):
        return
    step, least = fit.step, margins.fresh * fit.step
    for need in needs:
        if need.pace < least:
            continue
        rate, share = need.rate(step), need.share(step)
        if fit.has_room(rate, share, margins.filled, engine):
            fit.add(rate, share, engine)
            fit.worth += margins.fresh_worth * need.goodput
            fit.taken.append(need)
