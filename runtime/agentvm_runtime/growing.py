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
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from agentvm_compiler.codegen import Evaluate
from agentvm_compiler.ir import Node, base

from .folding import form_of
from .slots import CHANGEABLE, Slot, Undo, is_large

_Steps: TypeAlias = Sequence[tuple[str, tuple[Any, ...]]]
"""What was called, and what it was given."""


class _Unfit(Exception):
    """What is put in, or how, is nothing that is done in place."""


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
    if form is None or form.into & form.read:
        return None
    stands = {name: _Stand() for name in node.operands if base(name) in form.into and _grows(env[name])}
    holders = {name: env[name].holder() for name in stands}
    if not stands or len(set(map(id, holders.values()))) < len(stands):
        return None
    if not all(map(_is_alone, holders.values())):
        return None
    inputs = [stands[name] if name in stands else env[name].value for name in node.operands]
    try:
        results = list(evaluate(inputs, {}))
        undone = _put_in([(holders[name], stand.steps) for name, stand in stands.items()])
    except Exception:  # which the code itself raises again, on copies
        return None
    places = {base(name): position for position, name in enumerate(node.results)}
    for name, undo in zip(stands, undone, strict=True):
        position = places.get(base(name))
        newer = Slot() if position is None else env[node.results[position]]
        _hand_on(holders[name], newer, undo, stands[name].steps)
        if position is not None:
            results[position] = newer.value
    return results


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


# -- what is put in, by the type of the container -----------------------------------------

def _put_in(changes: Sequence[tuple[Slot, _Steps]]) -> list[Undo | None]:
    """Make the changes of containers, and say how to take them back. Texts are only looked at.

    Raises:
        Exception: something cannot be put in; then nothing is.
    """
    done: list[tuple[Any, list[Undo]]] = []
    try:
        for holder, steps in changes:
            value = holder.value
            undone: list[Undo] = []
            done.append((value, undone))
            for name, given in steps:
                undo = _STEPS[type(value), name](value, *given)
                if undo is not None:
                    undone.append(undo)
    except Exception:
        for value, undone in reversed(done):
            _back(undone, value)
        raise
    return [partial(_back, undone) if undone else None for _, undone in done]


def _back(undone: Sequence[Undo], value: Any) -> Any:
    for undo in reversed(undone):
        value = undo(value)
    return value


def _hand_on(holder: Slot, newer: Slot, undo: Undo | None, steps: _Steps) -> None:
    """Let the slot of the new version hold it."""
    value = holder.value
    holder.hand_on(newer, undo)
    if type(value) is str:
        # No other reference is left: Python makes this one longer where it is.
        for _, (part,) in steps:
            value += part
    newer.value = value


def _pop(value: Any) -> Any:
    value.pop()
    return value


def _popleft(value: deque[Any]) -> deque[Any]:
    value.popleft()
    return value


def _list_append(value: list[Any], item: Any) -> Undo:
    value.append(item)
    return _pop


def _list_extend(value: list[Any], items: Any) -> Undo:
    if type(items) not in (list, tuple):
        raise _Unfit
    length = len(value)
    value.extend(items)

    def undo(newer: list[Any]) -> list[Any]:
        del newer[length:]
        return newer

    return undo


def _list_plus(value: list[Any], items: Any) -> Undo:
    if type(items) is not list:
        raise _Unfit
    return _list_extend(value, items)


def _list_insert(value: list[Any], place: Any, item: Any) -> Undo:
    if type(place) is not int:
        raise _Unfit
    at = max(0, place + len(value)) if place < 0 else min(place, len(value))
    value.insert(at, item)

    def undo(newer: list[Any]) -> list[Any]:
        del newer[at]
        return newer

    return undo


def _list_set(value: list[Any], place: Any, item: Any) -> Undo:
    if type(place) is not int:
        raise _Unfit
    return _replaced(value, place, value[place], item)


def _dict_set(value: dict[Any, Any], key: Any, item: Any) -> Undo:
    if not _is_plain(key):
        raise _Unfit
    if key in value:
        return _replaced(value, key, value[key], item)
    value[key] = item

    def undo(newer: dict[Any, Any]) -> dict[Any, Any]:
        del newer[key]
        return newer

    return undo


def _replaced(value: Any, place: Any, before: Any, item: Any) -> Undo:
    value[place] = item

    def undo(newer: Any) -> Any:
        newer[place] = before
        return newer

    return undo


def _set_add(value: set[Any], item: Any) -> Undo | None:
    if not _is_plain(item):
        raise _Unfit
    if item in value:
        return None
    value.add(item)

    def undo(newer: set[Any]) -> set[Any]:
        newer.remove(item)
        return newer

    return undo


def _deque_append(value: deque[Any], item: Any) -> Undo:
    _unbounded(value).append(item)
    return _pop


def _deque_appendleft(value: deque[Any], item: Any) -> Undo:
    _unbounded(value).appendleft(item)
    return _popleft


def _unbounded(value: deque[Any]) -> deque[Any]:
    if value.maxlen is not None:
        raise _Unfit  # something falls out at the other end
    return value


def _text_plus(value: str, part: Any) -> Undo:
    if type(part) is not str:
        raise _Unfit
    length = len(value)
    return lambda newer: newer[:length]


_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})


def _is_plain(key: Any) -> bool:
    """Whether a key runs no code of a user's when it is looked for."""
    return type(key) in _PLAIN or (type(key) is tuple and all(map(_is_plain, key)))


_STEPS: Mapping[tuple[type, str], Callable[..., Undo | None]] = {
    (list, "append"): _list_append,
    (list, "extend"): _list_extend,
    (list, "insert"): _list_insert,
    (list, "+="): _list_extend,
    (list, "+"): _list_plus,
    (list, "[]="): _list_set,
    (dict, "[]="): _dict_set,
    (set, "add"): _set_add,
    (deque, "append"): _deque_append,
    (deque, "appendleft"): _deque_appendleft,
    (str, "+="): _text_plus,
    (str, "+"): _text_plus,
}
"""Each changes a container, and returns what takes that back: None if nothing has changed."""
