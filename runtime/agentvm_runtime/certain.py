"""What is certain of a value, whatever process it is in.

Comparing, hashing and writing a *plain* value runs no code of a user's and comes out the same
everywhere. Sets are not gone through: their order differs between processes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from .slots import CHANGEABLE

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_BY_CONTENT = ATOMS - {float, complex}
ORDERED = ATOMS | {list, tuple, range}
"""What always gives its parts in the same order, if it has any."""
DICTS = frozenset({dict, defaultdict, Counter, OrderedDict})
SETS = frozenset({set, frozenset})
BUILTIN = ATOMS | CHANGEABLE | SETS | {tuple, range}
VIEWS = frozenset(map(type, ({}.keys(), {}.values(), {}.items())))
FACTORIES: frozenset[Any] = frozenset({list, dict, set, int, str, float, bool, tuple, bytes, deque})
"""What makes an empty value, and nothing else."""


class Unfit(Exception):
    """What is done, or with what, is not certain to be the same everywhere."""


def is_plain(value: Any) -> bool:
    """Whether comparing and hashing a value runs no code of a user's, and its text is always the same."""
    cls = type(value)
    return cls in ATOMS or (cls is tuple and all(map(is_plain, value)))


def are_plain(values: Any) -> bool:
    """The same of all parts; where none has parts itself it is found out quickly."""
    kinds = set(map(type, values))
    return kinds <= ATOMS or (kinds <= ATOMS | {tuple} and all(map(is_plain, values)))


def is_comparable(value: Any) -> bool:
    """Whether a plain value equals what it was recorded as. NaN does not: it only equals the same object."""
    cls = type(value)
    if cls is float or cls is complex:
        return bool(value == value)
    return cls in ATOMS or (cls is tuple and all(map(is_comparable, value)))


def are_comparable(values: Any) -> bool:
    """The same of all parts."""
    return set(map(type, values)) <= _BY_CONTENT or all(map(is_comparable, values))


def key(value: Any) -> Any:
    if not is_plain(value):
        raise Unfit
    return value


def plain(value: Any) -> Any:
    """The value, which has no parts either."""
    if type(value) not in ATOMS:
        raise Unfit
    return value


def in_order(value: Any) -> Any:
    """The value, whose parts always come in the same order."""
    cls = type(value)
    if cls in ORDERED or cls in VIEWS or cls in DICTS or cls is deque:
        return value
    raise Unfit


def few(value: Any, most: int) -> Any:
    """The same, if it has not many."""
    if len(in_order(value)) > most:
        raise Unfit
    return value
