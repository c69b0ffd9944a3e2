"""`oracle`: `jit` told how long each answer will be.

What a policy would do with perfect estimates: the distance from `jit` is what
better estimates could still bring (JITServe, section 6.3). Only benchmarks can
tell (`RequestView.true_length`); where nobody does it is `jit`. Complexity as `jit`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields

from agentvm_serving.estimate.lengths import Length

from .jit import Jit
from .views import EngineView, RequestView


class Knowing(EngineView):
    """An engine on which lengths are known."""

    def length(self, view: RequestView) -> Length:
        if view.true_length is None:
            return EngineView.length(self, view)
        length = max(view.true_length, view.output_tokens + 1)
        return Length(length, length)

    def chance(self, view: RequestView, within: int) -> float:
        if view.true_length is None:
            return EngineView.chance(self, view, within)
        return 1.0 if within >= max(view.true_length, view.output_tokens + 1) else 0.0


@dataclass(frozen=True, slots=True)
class Oracle:
    """The policy."""

    jit: Jit = field(default_factory=Jit)

    @property
    def every(self) -> int:
        return self.jit.every

    def plan(self, views: Collection[RequestView], engine: EngineView) -> int | None:
        known = Knowing(**{each.name: getattr(engine, each.name) for each in fields(engine)})
        return self.jit.plan(views, known)
