"""Copying: value semantics within one process.

What has a kind is copied deeply, its class need not be findable by name; the
rest (functions, classes, clients, locks, bare `object()`s) is passed through.
Parts shared before the copy are shared after it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, TypeVar

from .kinds import Kind, kind_of

T = TypeVar("T")
_KEPT = -1  # no object's id
_ATOMS = frozenset({type(None), bool, int, float, str, bytes, type, complex})
_COPIED: frozenset[Any] = frozenset({list, dict, set, deque, defaultdict, Counter, OrderedDict})


def copy_value(value: T) -> T:
    """A deep copy with value semantics; copy several values together as a tuple.

    A tuple, frozenset or named tuple with nothing to copy inside is itself returned.
    """
    cls = type(value)
    if cls in _ATOMS or (cls is tuple and _ATOMS.issuperset(map(type, value))):  # type: ignore[call-overload]
        return value
    copied: T = _copy(value, {})
    return copied


def shallow_copy(value: T) -> T:
    """A copy that has the same parts; the value itself if it cannot change."""
    cls = type(value)
    if cls in _COPIED:
        return value.copy()  # type: ignore[attr-defined, no-any-return]
    kind = None if cls in _ATOMS else kind_of(cls)
    if kind is None or kind.body is None or kind.fill is None:
        return value
    copied: T = kind.make(cls, kind.head(value))
    kind.fill(copied, kind.body(value))
    return copied


def _copy(value: Any, done: dict[int, Any]) -> Any:
    cls = type(value)
    if cls in _ATOMS:
        return value
    known = done.get(id(value), done)
    if known is not done:
        return known
    copy = _COPIERS.get(cls)
    if copy is not None:
        return copy(value, done)
    kind = kind_of(cls)
    if kind is None or kind.atomic or (kind.refuse and kind.refuse(value)):
        return value
    return _by_kind(value, kind, done)


def _list(value: list[Any], done: dict[int, Any]) -> list[Any]:
    if _ATOMS.issuperset(map(type, value)):
        done[id(value)] = flat = value.copy()
        return flat
    result: list[Any] = []
    done[id(value)] = result
    for item in value:
        result.append(item if type(item) in _ATOMS else _copy(item, done))
    return result


def _dict(value: dict[Any, Any], done: dict[int, Any]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    done[id(value)] = result
    for key, item in value.items():
        result[key if type(key) in _ATOMS else _copy(key, done)] = _copy(item, done)
    return result


def _set(value: set[Any], done: dict[int, Any]) -> set[Any]:
    result: set[Any] = set()
    done[id(value)] = result
    result.update([_copy(item, done) for item in value])
    return result


def _bytearray(value: bytearray, done: dict[int, Any]) -> bytearray:
    done[id(value)] = result = bytearray(value)
    return result


def _rebuilt(value: Any, parts: Any, done: dict[int, Any], make: Callable[[list[Any]], Any]) -> Any:
    """Copy something immutable: itself if no part changed."""
    parts = list(parts)
    copies = [_copy(part, done) for part in parts]
    # A cycle through the value has copied it already.
    if id(value) not in done:
        same = all(a is b for a, b in zip(parts, copies, strict=True))
        done[id(value)] = value if same else make(copies)
    return done[id(value)]


def _tuple(value: tuple[Any, ...], done: dict[int, Any]) -> Any:
    if _ATOMS.issuperset(map(type, value)):
        return value
    return _rebuilt(value, value, done, tuple)


def _frozenset(value: frozenset[Any], done: dict[int, Any]) -> Any:
    return _rebuilt(value, value, done, frozenset)


def _by_kind(value: Any, kind: Kind, done: dict[int, Any]) -> Any:
    cls = type(value)
    if kind.body is None:
        return _rebuilt(value, kind.head(value), done, lambda parts: kind.make(cls, tuple(parts)))
    parts = kind.head(value)
    head = tuple(_copy(part, done) for part in parts)
    result = kind.make(cls, head)
    done[id(value)] = result
    body = kind.body(value)
    # Parts made for the occasion must outlive the copying, or another object could get their id.
    done.setdefault(_KEPT, []).extend((parts, body))
    assert kind.fill is not None
    if isinstance(body, dict):
        kind.fill(result, {_copy(k, done): _copy(v, done) for k, v in body.items()})
    else:
        kind.fill(result, [_copy(item, done) for item in body])
    if isinstance(value, BaseException):
        # The traceback is not part of the value, but a copy within the process may as well keep it.
        for name in ("__traceback__", "__context__", "__suppress_context__"):
            BaseException.__setattr__(result, name, getattr(value, name))
    return result


_COPIERS: dict[type, Callable[[Any, dict[int, Any]], Any]] = {
    list: _list,
    dict: _dict,
    set: _set,
    bytearray: _bytearray,
    tuple: _tuple,
    frozenset: _frozenset,
}
