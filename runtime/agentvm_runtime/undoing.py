"""What is put into a container where it is, and how that is taken back.

Only what certainly does one thing, and that at once or not at all: builtin containers,
keys that run no code of a user's. Anything else is an exception, and for ordinary code to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from .slots import Undo

Steps: TypeAlias = Sequence[tuple[str, tuple[Any, ...]]]
"""What was called, and what it was given."""


class Unfit(Exception):
    """What is put in, or how, is nothing that is done in place."""


def put_in(changes: Sequence[tuple[Any, Steps]]) -> list[Undo | None]:
    """Make the changes of containers, and say how to take them back. Texts are only looked at.

    Raises:
        Exception: something cannot be put in; then nothing is.
    """
    done: list[tuple[Any, list[Undo]]] = []
    try:
        for value, steps in changes:
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
        raise Unfit
    length = len(value)
    value.extend(items)

    def undo(newer: list[Any]) -> list[Any]:
        del newer[length:]
        return newer

    return undo


def _list_plus(value: list[Any], items: Any) -> Undo:
    if type(items) is not list:
        raise Unfit
    return _list_extend(value, items)


def _list_insert(value: list[Any], place: Any, item: Any) -> Undo:
    if type(place) is not int:
        raise Unfit
    at = max(0, place + len(value)) if place < 0 else min(place, len(value))
    value.insert(at, item)

    def undo(newer: list[Any]) -> list[Any]:
        del newer[at]
        return newer

    return undo


def _list_set(value: list[Any], place: Any, item: Any) -> Undo:
    if type(place) is not int:
        raise Unfit
    return _replaced(value, place, value[place], item)


def _dict_set(value: dict[Any, Any], key: Any, item: Any) -> Undo:
    if not _is_plain(key):
        raise Unfit
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
        raise Unfit
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
        raise Unfit  # something falls out at the other end
    return value


def _text_plus(value: str, part: Any) -> Undo:
    if type(part) is not str:
        raise Unfit
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
