"""Growing in place: what is put into a large container goes into that container, not into a copy.

Value semantics gives each version of a container to whoever reads it. But in a loop
that gathers, hardly anybody reads the older ones, and copying each takes the square
of the loop's length. So a fold whose container nobody holds but the slot of its
older version changes it where it is, and leaves there what takes the change back.

Who holds it is what Python counts anyway. If anything else does (another name, an
object that it lies in, a call under way), the fold is done on a copy as any code.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Collection, Mapping
from typing import Any

from agentvm_compiler.codegen import Evaluate
from agentvm_compiler.ir import Node, base

from .folding import form_of
from .slots import CHANGEABLE, Slot, Undo, is_large
from .undoing import Steps, put_in


class _Stand:
    """Stands for a container where a fold's code runs, and notes what is put into it."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[tuple[str, tuple[Any, ...]]] = []

    def append(self, *given: Any) -> None:
        self.steps.append(("append", given))

    def appendleft(self, *given: Any) -> None:
        self.steps.append(("appendleft", given))

    def add(self, *given: Any) -> None:
        self.steps.append(("add", given))

    def insert(self, *given: Any) -> None:
        self.steps.append(("insert", given))

    def extend(self, *given: Any) -> None:
        self.steps.append(("extend", given))

    def __setitem__(self, *given: Any) -> None:
        self.steps.append(("[]=", given))

    def __iadd__(self, other: Any) -> _Stand:
        self.steps.append(("+=", (other,)))
        return self

    def __add__(self, other: Any) -> _Stand:
        self.steps.append(("+", (other,)))
        return self


def grow(node: Node, env: Mapping[str, Slot], evaluate: Evaluate) -> list[Any] | None:
    """Do a fold in place. Returns its results, or None if that cannot be; then nothing has happened.

    The slots of the new versions hold these when it returns; who waits for them has not been told.
    """
    form = form_of(node.code)
    if form is None:
        return None
    stands = {name: _Stand() for name in node.operands if base(name) in form.into and _grows(env[name])}
    if not stands or form.read.intersection(map(base, stands)):
        return None
    holders = {name: env[name].holder() for name in stands}
    if len(set(map(id, holders.values()))) < len(stands) or not all(map(_is_alone, holders.values())):
        return None
    inputs = [stands[name] if name in stands else env[name].value for name in node.operands]
    try:
        results = list(evaluate(inputs, {}))
        undone = put_in([(holders[name].value, stand.steps) for name, stand in stands.items()])
    except Exception:  # which the code itself raises again, on copies
        return None
    places = {base(name): (position, env[name]) for position, name in enumerate(node.results)}
    others = [name for name in node.operands if name not in stands and base(name) in places]
    for name in others:
        position, newer = places[base(name)]
        _pass_on(env[name], newer, results[position], holders.values())
    for name, undo in zip(stands, undone, strict=True):
        position, newer = places.get(base(name), (-1, Slot()))
        _hand_on(holders[name], newer, undo, stands[name].steps)
        if position >= 0:
            results[position] = newer.value
    return results


def _pass_on(older: Slot, newer: Slot, result: Any, growing: Collection[Slot]) -> None:
    """Let one slot hold a container that the code only gives on, as it shares something with the rest."""
    holder = older.holder()
    if holder not in growing and result is holder.value and is_large(result):
        holder.hand_on(newer, None)
        newer.value = result


def _grows(slot: Slot) -> bool:
    value = slot.value
    return type(value) in CHANGEABLE or (type(value) is str and is_large(value))


def _references(holder: Slot) -> int:
    return sys.getrefcount(holder.value)


def _count() -> int:
    slot = Slot([])
    alone, held = _references(slot), slot.value
    return alone if _references(slot) > alone and held is slot.value else -1


_ALONE = _count()
"""References to a container that only its slot holds, as they are counted here; -1 if they are not."""


def _is_alone(holder: Slot) -> bool:
    """Whether nothing but the slot refers to the container."""
    return _references(holder) == _ALONE and not weakref.getweakrefcount(holder.value)


def _hand_on(holder: Slot, newer: Slot, undo: Undo | None, steps: Steps) -> None:
    """Let the slot of the new version hold it."""
    value = holder.value
    holder.hand_on(newer, undo)
    if type(value) is str:
        # No other reference is left: Python makes this one longer where it is.
        for _, (part,) in steps:
            value += part
    newer.value = value
