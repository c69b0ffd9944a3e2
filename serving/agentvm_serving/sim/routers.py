"""Routers: which replica a call goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from .clients import Asked
from .replica import Replica


class Router(Protocol):
    """Chooses a replica for each call."""

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        """The number of the replica that the call goes to, for ever."""
        ...


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._next = 0

    def choose(self, asked: Asked, replicas: Sequence[Replica]) -> int:
        chosen = self._next % len(replicas)
        self._next = chosen + 1
        return chosen


ROUTERS: Final[Mapping[str, Callable[[], Router]]] = MappingProxyType({"round": RoundRobin})
"""Routers by name."""


def router_named(name: str) -> Router:
    """A new router; `name` is one of `ROUTERS`."""
    return ROUTERS[name]()
