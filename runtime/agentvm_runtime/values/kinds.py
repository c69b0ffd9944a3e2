"""Kinds: how a value that is not a plain container is taken apart and rebuilt.

A kind gives a value's *head* (what must be known to make it) and, if the value
can change or take part in a cycle, its *body* (what it is filled with once it
exists). Encoding, hashing and copying all go through the same two parts.
Rebuilding never runs a constructor the user wrote.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Body = dict[Any, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to take values apart. `take` must give equal parts for equal values."""

    name: str
    """Recorded with every value: never change or reuse one."""
    head: Callable[[Any], tuple[Any, ...]]
    make: Callable[[type, tuple[Any, ...]], Any]
    """Class and head to a new value, empty if the kind has a body."""
    fits: Callable[[type], bool]
    """Whether a class found by name is one this kind may rebuild."""
    body: Callable[[Any], Body] | None = None
    fill: Callable[[Any, Any], None] | None = None
    named: bool = False
    """Whether the value's class is the user's and is recorded by reference."""
    atomic: bool = False
    """Immutable through and through: a copy is the value itself, and sharing it means nothing."""
    keyed: bool = False
    """Whether the body is a dict, not a list."""
    attributes: bool = False
    """Whether the body's keys are attribute names, `#` before those of a base (for error messages)."""
    ordered: bool = False
    """Whether the order of the body's keys is part of the value."""
    refuse: Callable[[Any], str | None] | None = None
    """Why this very value cannot be taken apart, if so."""


EXACT: dict[type, Kind] = {}
"""Kinds of exactly one class, by class."""
BY_NAME: dict[str, Kind] = {}
"""Every kind, by its recorded name."""
FAMILIES: list[tuple[Callable[[type], bool], Kind]] = []
"""Kinds of many classes, with the test for membership; the first that fits is taken."""

_found: weakref.WeakKeyDictionary[type, Kind] = weakref.WeakKeyDictionary()


def exact(cls: type, name: str, head: Callable[[Any], tuple[Any, ...]], make: Any, **more: Any) -> None:
    """Register the kind of exactly one class; `make` takes the head only."""
    kind = Kind(name, head, lambda _cls, parts: make(*parts), lambda c: c is cls, **more)
    EXACT[cls] = kind
    BY_NAME[name] = kind


def family(fits: Callable[[type], bool], kind: Kind) -> None:
    """Register a kind for all classes that fit."""
    FAMILIES.append((fits, kind))
    BY_NAME[kind.name] = kind


def kind_of(cls: type) -> Kind | None:
    """The kind of a class' instances, or `None` if they have none."""
    kind = EXACT.get(cls)
    if kind is not None:
        return kind
    kind = _found.get(cls)
    if kind is None:
        kind = next((k for fits, k in FAMILIES if fits(cls)), None)
        if kind is not None:
            _found[cls] = kind
    return kind
