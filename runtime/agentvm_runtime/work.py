"""Work: something to do at a place in a run, and what came of doing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .budgets import Usage
from .records import Source
from .rooms import Room
from .sequencing import Ticket


@dataclass(slots=True)
class Outcome:
    """What executing some work gave."""

    value: Any
    detail: dict[str, Any] = field(default_factory=dict)
    """For the journal: token usage and the like."""
    source: Source = Source.EXECUTED


@dataclass(slots=True)
class Work:
    """Something to do at a place in the run. Never changed; not frozen, as it is made for every call."""

    path: str
    site: str
    node: str
    """Node kind."""
    key: str
    shared: str = ""
    """The key under which other runs may use the result; empty if they may not."""
    ttl: float | None = None
    """Seconds for which others may use the result, if not for ever."""
    write: bool = False
    idempotent: bool = False
    ticket: Ticket | None = None
    """Its place among the calls of a traced region, which must ask for the same again on resume."""
    looks: bool = False
    """Whether the result may depend on what was written before."""
    arguments: Any = None
    """What a traced region passed, which the callee may change in place."""
    rooms: tuple[Room, ...] = ()
    """Where it takes its turn, as only so many may be under way at once."""
    usage: Usage | None = None
    """Counts what its model calls take, until that is journaled; of a tool's, once it is called."""


WAITING = frozenset({"agent", "human"})
"""Kinds of work that by themselves only wait for other work, or for a person."""
