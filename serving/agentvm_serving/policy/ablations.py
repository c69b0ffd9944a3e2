"""Ablations: `jit` without one of its parts, so that a benchmark can say what the part is worth.

As in JITServe's study (NSDI'26, section 6.4). They are found by name and are not offered to users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Final

from agentvm_serving.estimate.lengths import Length

from .jit import Jit
from .views import EngineView, Policy, RequestView


class Ignorant(EngineView):
    """An engine on which nothing is known of a length but what the client allows."""

    def length(self, view: RequestView) -> Length:
        if view.limit is None:
            return EngineView.length(self, view)
        most = max(view.limit, view.output_tokens + 1)
        return Length(most, most)


@dataclass(frozen=True, slots=True)
class Unestimated:
    """`jit` without its request analyzer: every answer is as long as its client allows."""

    jit: Jit = field(default_factory=Jit)

    @property
    def every(self) -> int:
        return self.jit.every

    def plan(self, views: Collection[RequestView], engine: EngineView) -> int | None:
        known = Ignorant(**{each.name: getattr(engine, each.name) for each in fields(engine)})
        return self.jit.plan(views, known)


ABLATIONS: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "jit_no_analyzer": Unestimated(),
        "jit_no_density": Jit(dense=False),
        "jit_no_holding": Jit(holds=False),
        "jit_preempting": Jit(exchanges=True),
    }
)
"""`jit` itself stops nothing that runs; with `jit_preempting` late requests give way to those let in."""
