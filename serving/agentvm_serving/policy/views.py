"""What a policy may know of a request and of the engine, and what it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from agentvm_compiler.wire import Hints
from agentvm_serving.estimate.lengths import Length, LengthEstimator, Lengths
from agentvm_serving.slo import deadline_of, pace_of

from .later import Later, later_of

Rank: TypeAlias = tuple[int, float, float]
"""Tier, place in it, and the arrival's ordinal, which makes ranks unique and every order deterministic."""

WAITS: Final = 1_000_000
"""Tier of requests that must not start now, though there be a slot."""


@dataclass(slots=True, eq=False)
class RequestView:
    """What is known of one request; the adapter keeps it up to date."""

    ordinal: float
    """How many requests came before it; unique. Calls with a common prefix follow the first by fractions."""
    arrival: float
    """Unix seconds."""
    hints: Hints | None = None
    """`None` for a plain client."""
    prompt_tokens: int = 0
    limit: int | None = None
    """Most output tokens the client allows."""
    output_tokens: int = 0
    """Produced so far."""
    cached_tokens: int = 0
    """Of its prompt and output, those whose KV is in the cache."""
    running: bool = False
    true_length: int | None = None
    """Output tokens it will have in all, where a benchmark tells; for `oracle` alone."""
    rank: Rank = (0, 0.0, 0)
    """Where the policy put it last."""
    deadline: float = field(init=False)
    """When it is due: Unix seconds, virtual if the client named no time."""
    site: str = field(init=False)
    """The place in a program that makes the call; empty for a plain client."""
    program: str = field(init=False)
    """The run that makes the call; empty for a plain client."""
    later: Later = field(init=False)
    """What its hints forecast."""

    def __post_init__(self) -> None:
        self.change(self.hints)

    def change(self, hints: Hints | None) -> None:
        """Take other hints."""
        self.hints = hints
        self.deadline = deadline_of(hints, self.arrival)
        self.site = hints.site if hints is not None else ""
        self.program = hints.run if hints is not None else ""
        self.later = later_of(hints)

    @property
    def has_objective(self) -> bool:
        """Whether somebody minds when it is served."""
        return self.hints is not None and self.hints.slo != "best_effort"

    @property
    def next_due(self) -> float:
        """When its next token is due (`latency`), else its last: Unix seconds."""
        return deadline_of(self.hints, self.arrival, self.output_tokens)

    @property
    def pace(self) -> float:
        """Seconds wanted between two tokens (`latency`)."""
        assert self.hints is not None
        return pace_of(self.hints)


@dataclass(frozen=True, slots=True)
class EngineView:
    """What is known of the engine."""

    now: float
    """Unix seconds."""
    requests: int = 0
    """Requests that there are. A plan for fewer is for new or changed ones alone."""
    last_tier: int = 0
    """The first part of the last rank of those that wait."""
    slots: int = 1
    """Requests that may run at once."""
    step: float = 0.05
    """Seconds of one step at the present load: the time between two tokens of a request."""
    base: float = 0.04
    """Seconds of a step with next to nothing in it."""
    decode: float = 0.05
    """Seconds of a step in which all that runs decodes, and no prompt is worked on."""
    marginal: float = 0.001
    """Seconds that one more decoding request adds to a step."""
    per_prefill: float = 0.0005
    """Seconds that one prompt token adds to a step."""
    budget: int = 2048
    """Most tokens of a step."""
    kv_tokens: int = 0
    """Tokens that the KV cache holds; 0 if unknown."""
    lengths: LengthEstimator = field(default_factory=Lengths)
    attained: Mapping[str, int] = field(default_factory=dict)
    """Output tokens of a program's finished calls."""

    def length(self, view: RequestView) -> Length:
        """How long the request will be, given the tokens it has."""
        return self.lengths.of(view.site, view.output_tokens, view.limit, view.prompt_tokens)

    def chance(self, view: RequestView, within: int) -> float:
        """Probability that the request ends with at most so many tokens, given those it has."""
        return self.lengths.chance(view.site, view.output_tokens, within, view.limit, view.prompt_tokens)


class Policy(Protocol):
    """An order of requests."""

    @property
    def every(self) -> int:
        """Steps after which ranks are found anew; 0 if they never change."""
        ...

    def plan(self, views: Collection[RequestView], engine: EngineView) -> int | None:
        """Set the rank of each view.

        Called with all requests every so often, and with a new one alone when it comes.

        Returns:
            Most prompt tokens that a step should work on until the next plan; `None` as many as it may.
        """
        ...
