"""What changes a builtin container where it is, and how that is taken back.

Each change is certain to do one thing, at once or not at all: only exact builtin types,
and keys that run no code of a user's. Anything else is an exception, and for ordinary code to do.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from .certain import DICTS, ORDERED, SETS, Unfit, are_comparable, are_plain, in_order, is_comparable, key
from .slots import Undo

Done: TypeAlias = "tuple[Any, Undo | None]"
"""What a change gives, and what takes it back; None if nothing has changed."""


def _pop_last(value: Any) -> Any:
    value.pop()
    return value


def _pop_first(value: deque[Any]) -> deque[Any]:
    value.popleft()
    return value


# -- lists -------------------------------------------------------------------------------


def _list_append(value: list[Any], item: Any) -> Done:
    value.append(item)
    return None, _pop_last


def _list_extend(value: list[Any], items: Any) -> Done:
    length = len(value)
    value.extend(in_order(items))

    def undo(newer: list[Any]) -> list[Any]:
        del newer[length:]
        return newer

    return None, undo


def _list_insert(value: list[Any], place: Any, item: Any) -> Done:
    if type(place) is not int:
        raise Unfit
    at = max(0, place + len(value)) if place < 0 else min(place, len(value))
    value.insert(at, item)

    def undo(newer: list[Any]) -> list[Any]:
        del newer[at]
        return newer

    return None, undo


def _list_set(value: list[Any], place: Any, item: Any) -> Done:
    if type(place) is not int:
        raise Unfit
    return None, _replaced(value, place, value[place], item)


def _list_pop(value: list[Any], place: Any = -1) -> Done:
    if type(place) is not int:
        raise Unfit
    at = place + len(value) if place < 0 else place
    item = value.pop(place)

    def undo(newer: list[Any]) -> list[Any]:
        newer.insert(at, item)
        return newer

    return item, undo


def _list_delete(value: list[Any], place: Any) -> Done:
    return None, _list_pop(value, place)[1]


def _list_remove(value: list[Any], item: Any) -> Done:
    if not (is_comparable(item) and are_comparable(value)):
        raise Unfit
    return _list_delete(value, value.index(item))


def _list_sort(value: list[Any], *, reverse: bool = False) -> Done:
    if type(reverse) is not bool or not are_plain(value):
        raise Unfit
    before = value.copy()
    try:
        value.sort(reverse=reverse)
    except BaseException:
        value[:] = before
        raise
    return None, _restored(before)


# -- dicts -------------------------------------------------------------------------------


def _dict_set(value: dict[Any, Any], place: Any, item: Any) -> Done:
    if key(place) in value:
        return None, _replaced(value, place, value[place], item)
    value[place] = item

    def undo(newer: dict[Any, Any]) -> dict[Any, Any]:
        del newer[place]
        return newer

    return None, undo


def _replaced(value: Any, place: Any, before: Any, item: Any) -> Undo:
    value[place] = item

    def undo(newer: Any) -> Any:
        newer[place] = before
        return newer

    return undo


def _dict_setdefault(value: dict[Any, Any], place: Any, item: Any = None) -> Done:
    if key(place) in value:
        return value[place], None
    return item, _dict_set(value, place, item)[1]


_ABSENT: Any = object()


def _dict_pop(value: dict[Any, Any], place: Any, default: Any = _ABSENT) -> Done:
    if key(place) not in value:
        if default is _ABSENT:
            raise KeyError(place)
        return default, None
    item = value[place]
    return item, _taken_out(value, place)


def _dict_delete(value: dict[Any, Any], place: Any) -> Done:
    return None, _dict_pop(value, place)[1]


def _taken_out(value: dict[Any, Any], place: Any) -> Undo:
    """Take an item out of a dict; taken back it is again where it was among the others."""
    for held, again in ((next(reversed(value)), _last), (next(iter(value)), _first)):
        if type(held) is type(place) and held == place:
            return partial(again, held, value.pop(held))
    before = value.copy()
    del value[place]
    return _restored(before)


def _last(place: Any, item: Any, newer: dict[Any, Any]) -> dict[Any, Any]:
    newer[place] = item
    return newer


def _first(place: Any, item: Any, newer: dict[Any, Any]) -> dict[Any, Any]:
    others = newer.copy()
    newer.clear()
    newer[place] = item
    _fill(newer, others)
    return newer


def _fill(newer: dict[Any, Any], items: dict[Any, Any]) -> None:
    """Put items in; a Counter's own `update` would count."""
    dict.update(newer, items) if type(newer) is Counter else newer.update(items)


def _dict_update(value: dict[Any, Any], *others: Any, **named: Any) -> Done:
    for each in others:
        if type(each) not in DICTS or not are_plain(each):
            raise Unfit
    undone: list[Undo] = []
    for place, item in dict(*others, **named).items():
        undo = _dict_set(value, place, item)[1]
        if undo is not None:
            undone.append(undo)

    def back(newer: Any) -> Any:
        for each in reversed(undone):
            newer = each(newer)
        return newer

    return None, back


# -- sets and deques ---------------------------------------------------------------------


def _set_add(value: set[Any], item: Any) -> Done:
    if key(item) in value:
        return None, None
    value.add(item)

    def undo(newer: set[Any]) -> set[Any]:
        newer.remove(item)
        return newer

    return None, undo


def _set_discard(value: set[Any], item: Any) -> Done:
    if key(item) not in value:
        return None, None
    if type(item) is not str:  # 1 may be there as 1.0
        before = value.copy()
        value.discard(item)
        return None, _restored(before)
    value.discard(item)

    def undo(newer: set[Any]) -> set[Any]:
        newer.add(item)
        return newer

    return None, undo


def _set_remove(value: set[Any], item: Any) -> Done:
    if key(item) not in value:
        raise KeyError(item)
    return _set_discard(value, item)


def _set_update(value: set[Any], *others: Any) -> Done:
    added: list[Any] = []
    for each in others:
        if type(each) not in SETS | ORDERED or not are_plain(each):
            raise Unfit
        added += [item for item in each if item not in value]
    value.update(added)

    def undo(newer: set[Any]) -> set[Any]:
        newer.difference_update(added)
        return newer

    return None, undo


def _unbounded(value: deque[Any]) -> deque[Any]:
    if value.maxlen is not None:
        raise Unfit  # something falls out at the other end
    return value


def _deque_append(value: deque[Any], item: Any) -> Done:
    _unbounded(value).append(item)
    return None, _pop_last


def _deque_appendleft(value: deque[Any], item: Any) -> Done:
    _unbounded(value).appendleft(item)
    return None, _pop_first


def _deque_extend(value: deque[Any], items: Any) -> Done:
    length = len(value)
    _unbounded(value).extend(in_order(items))

    def undo(newer: deque[Any]) -> deque[Any]:
        while len(newer) > length:
            newer.pop()
        return newer

    return None, undo


def _deque_pop(value: deque[Any]) -> Done:
    item = value.pop()

    def undo(newer: deque[Any]) -> deque[Any]:
        newer.append(item)
        return newer

    return item, undo


def _deque_popleft(value: deque[Any]) -> Done:
    item = value.popleft()

    def undo(newer: deque[Any]) -> deque[Any]:
        newer.appendleft(item)
        return newer

    return item, undo


# -- whatever the container --------------------------------------------------------------


def _restored(before: Any) -> Undo:
    """Makes a container what another one is."""

    def undo(newer: Any) -> Any:
        newer.clear()
        if isinstance(newer, dict):
            _fill(newer, before)
        elif isinstance(newer, set):
            newer |= before
        else:
            newer.extend(before)
        return newer

    return undo


def _clear(value: Any) -> Done:
    before = value.copy()
    value.clear()
    return None, _restored(before)


def _reverse(value: Any) -> Done:
    value.reverse()
    return None, _reversed


def _reversed(newer: Any) -> Any:
    newer.reverse()
    return newer


CHANGES: Mapping[type, Mapping[str, Callable[..., Done]]] = {
    list: {
        "append": _list_append,
        "extend": _list_extend,
        "insert": _list_insert,
        "pop": _list_pop,
        "remove": _list_remove,
        "sort": _list_sort,
        "reverse": _reverse,
        "clear": _clear,
        "[]=": _list_set,
        "del": _list_delete,
    },
    dict: {
        "setdefault": _dict_setdefault,
        "pop": _dict_pop,
        "update": _dict_update,
        "clear": _clear,
        "[]=": _dict_set,
        "del": _dict_delete,
    },
    set: {
        "add": _set_add,
        "discard": _set_discard,
        "remove": _set_remove,
        "update": _set_update,
        "clear": _clear,
    },
    deque: {
        "append": _deque_append,
        "appendleft": _deque_appendleft,
        "extend": _deque_extend,
        "pop": _deque_pop,
        "popleft": _deque_popleft,
        "clear": _clear,
    },
}
"""By type and name, what changes a container."""

_COUNTED = {name: change for name, change in CHANGES[dict].items() if name not in ("update", "setdefault")}
ALL_CHANGES = {**CHANGES, defaultdict: CHANGES[dict], OrderedDict: CHANGES[dict], Counter: _COUNTED}
