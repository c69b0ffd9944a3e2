"""Items: the requests of clients, each a call or a program's stages of calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from agentvm_serving.goodput import SloClass

Part: TypeAlias = tuple[str, int]
"""The beginning of a prompt that others share: its name, and how many tokens of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One model call."""

    input_tokens: int
    output_tokens: int
    """How many the model produces: forced."""
    prefix: tuple[Part, ...] = ()
    """What the prompt begins with, in parts; what they leave of it is the call's own text. Prompts are
    equal as far as their parts are: of two parts with one name as far as the shorter. If the parts
    cover the whole prompt, the answer continues the last one, as in a session of many turns."""
    hints: Mapping[str, Any] | None = None
    """What a compiled program told with this call (fields of `Hints`), where one made it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a client."""

    id: str
    slo: SloClass
    arrival: float
    """Seconds after the workload's start."""
    stages: tuple[tuple[Call, ...], ...]
    """The calls of a stage are made together, when those of the stage before are done."""
    site: str = ""
    """The application; with the stage's number it names the place that makes a call."""
    within: float | None = None
    """Seconds from arrival to the deadline (`deadline` and `compound`)."""
    ttft: float | None = None
    """Seconds (`latency`)."""
    tbt: float | None = None
    """Seconds (`latency`)."""
    gap: float = 0.0
    """Seconds of tools between two stages, where `gaps` does not tell."""
    limit: int | None = None
    """Most output tokens that its client allows a call; `None` for as many as the engine does."""
    gaps: tuple[float, ...] = ()
    """Seconds of tools before each stage but the first."""

    @property
    def tokens(self) -> int:
        """Output tokens of all its calls."""
        return sum(call.output_tokens for stage in self.stages for call in stage)

    def gap_before(self, stage: int) -> float:
        """Seconds of tools between a stage and the one before it."""
        return self.gaps[stage - 1] if self.gaps else self.gap


def faster(items: Iterable[Item], factor: float) -> list[Item]:
    """The same items arriving so much faster."""
    return [replace(each, arrival=each.arrival / factor) for each in items]


def relaxed(items: Iterable[Item], factor: float) -> list[Item]:
    """The same items with so much more time for their objectives."""

    def longer(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * factor

    return [
        replace(each, within=longer(each.within), ttft=longer(each.ttft), tbt=longer(each.tbt))
        for each in items
    ]
