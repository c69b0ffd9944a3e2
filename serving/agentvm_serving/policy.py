"""Scheduling policies: pure functions that rank requests.

A policy maps a small view of one request to its *rank*; smaller ranks go first.
Ranks are total (the arrival's ordinal breaks ties), so every order is
deterministic, and a rank depends on nothing but its view, so a queue ranks a
request once. The vLLM plug-in and the simulator call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from agentvm_compiler.errors import ConfigError
from agentvm_compiler.wire import Hints

from .slo import deadline_of


@dataclass(frozen=True, slots=True)
class RequestView:
    """What a policy may know of one request."""

    ordinal: int
    """How many requests came before it; unique."""
    arrival: float
    """Unix seconds."""
    hints: Hints | None = None
    """`None` for a plain client."""
    prompt_tokens: int = 0

    @property
    def deadline(self) -> float:
        """When it is due: Unix seconds, virtual if the client named none."""
        return deadline_of(self.hints, self.arrival)


Rank: TypeAlias = tuple[float, int]
Policy: TypeAlias = Callable[[RequestView], Rank]


def fcfs(view: RequestView) -> Rank:
    """First come, first served: vLLM's own order."""
    return (0.0, view.ordinal)


def edf(view: RequestView) -> Rank:
    """Earliest deadline first; requests without one are due a fixed time after arrival."""
    return (view.deadline, view.ordinal)


POLICIES: Final[Mapping[str, Policy]] = MappingProxyType({"edf": edf, "fcfs": fcfs})
DEFAULT_POLICY: Final = "edf"


def policy_named(name: str) -> Policy:
    """Look a policy up. Raises ConfigError listing those that exist."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ConfigError(
            f"no scheduling policy is called {name!r}. Choose one of: {', '.join(sorted(POLICIES))}"
        ) from None
