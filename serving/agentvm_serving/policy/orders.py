"""Policies that rank each request by itself. All are O(1) a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from .views import EngineView, RequestView

REPLAN: Final = 10
"""Steps between plans of an order that changes as requests run."""
QUANTUM: Final = 256
"""Tokens of attained service at which a program leaves the first level of `plas`."""


@dataclass(frozen=True, slots=True)
class Order:
    """A policy made of a rank."""

    rank: Callable[[RequestView, EngineView], tuple[int, float]]
    every: int = 0

    def plan(self, views: Collection[RequestView], engine: EngineView) -> None:
        for view in views:
            tier, place = self.rank(view, engine)
            view.rank = (tier, place, view.ordinal)


def remaining(view: RequestView, engine: EngineView) -> float:
    """Seconds the request still needs at the engine's pace, if it is as long as expected."""
    return prefill(view, engine) + (engine.length(view).expected - view.output_tokens) * engine.step


def prefill(view: RequestView, engine: EngineView) -> float:
    """Seconds of work on what is not in the cache yet; 0 for one that is decoding."""
    missing = view.prompt_tokens + view.output_tokens - view.cached_tokens
    return missing * engine.per_prefill if missing > 1 else 0.0


def _edf_drop(view: RequestView, engine: EngineView) -> tuple[int, float]:
    least = prefill(view, engine) + engine.step
    return (0, view.deadline) if engine.now + least <= view.deadline else (1, view.arrival)


def _plas(view: RequestView, engine: EngineView) -> tuple[int, float]:
    attained = engine.attained.get(view.program, 0) + view.output_tokens
    return (int(math.log2(attained / QUANTUM)) + 1 if attained >= QUANTUM else 0, view.arrival)


FCFS: Final = Order(lambda view, engine: (0, 0.0))
"""First come, first served: vLLM's own order."""

EDF: Final = Order(lambda view, engine: (0, view.deadline))
"""Earliest deadline first (Liu and Layland, 1973); who has none is due a fixed time after arrival."""

EDF_DROP: Final = Order(_edf_drop, REPLAN)
"""The same, and what cannot be in time any more goes last."""

LLF: Final = Order(lambda view, engine: (0, view.deadline - engine.now - remaining(view, engine)), REPLAN)
"""Least laxity first (Mok, 1983): least time to spare, by the expected length."""

SJF: Final = Order(lambda view, engine: (0, engine.length(view).expected))
"""Shortest job first, by the expected length at arrival."""

SRTF: Final = Order(lambda view, engine: (0, remaining(view, engine)), REPLAN)
"""Shortest remaining time first, by the expected length."""

PLAS: Final = Order(_plas, REPLAN)
"""Program-level least attained service, in levels that double (Autellix, arXiv 2502.13965, section 4.2)."""
