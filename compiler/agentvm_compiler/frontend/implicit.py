"""Special methods that Python calls where nothing in the source shows it, and what they do.

`{key: 1}` hashes, `if thing:` asks for a truth value, `total += thing` adds, copying a dictionary
hashes again: code of the user's runs, as often as Python sees fit. That can be told only
of code that nobody notices; a class with any other is *noticed*, and what handles
its instances is not taken apart.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from agentvm_compiler.calls import Effect

from .callees import subclasses
from .kinds import members, parts, plain
from .records import has_fields, is_generated, record_fields
from .scope import member_of
from .source import is_users
from .summary import is_under_way, summarise

_BINARY = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"),
    *("lshift", "rshift"),
)
OPERATORS = tuple(f"__{side}{name}__" for name in _BINARY for side in ("", "r"))
"""Special methods of the binary operators."""

_CHANGING = (
    *("setitem", "delitem", "setattr", "delattr", "next", "iter"),
    *(f"i{name}" for name in _BINARY),
)
_ASKING = (
    *("hash", "eq", "ne", "lt", "le", "gt", "ge", "bool", "len", "contains", "getitem", "missing"),
    *("index", "int", "float", "str", "repr", "format", "copy", "deepcopy", "reversed", "length_hint"),
    *("getattr", "getattribute", "del"),
)
_NAMES = (*(f"__{name}__" for name in (*_ASKING, *_CHANGING)), *OPERATORS)
_CHANGE_SELF = frozenset(f"__{name}__" for name in _CHANGING)
"""Special methods that are there to change the object itself."""


def noticed(kind: Any) -> str:
    """The name of a special method, of a class that values of the type may hold, whose calls can be told."""
    for function in _special(kind, ()):
        if is_under_way(function):
            continue  # it is being looked into: what it does shows there
        summary = summarise(function)
        alone = function.__name__ not in _CHANGE_SELF
        if summary.effect is Effect.WRITE or summary.calls or (alone and (summary.mutates or summary.keeps)):
            return function.__qualname__
    return ""


def is_its_own_equal(kind: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Whether values of the type may hold objects that equal nothing but themselves, copies neither."""
    for each in members(kind):
        cls = plain(each)
        inner = parts(each)
        if has_fields(cls) and is_users(cls) and cls not in seen:
            if cls.__eq__ is object.__eq__:
                return True
            inner = (*inner, *record_fields(cls).values())
        if any(is_its_own_equal(part, (*seen, cls)) for part in inner):
            return True
    return False


def _special(kind: Any, seen: tuple[Any, ...]) -> Iterator[types.FunctionType]:
    for each in members(kind):
        cls = plain(each)
        for part in parts(each):
            yield from _special(part, seen)
        if not isinstance(cls, type) or not is_users(cls) or cls in seen:
            continue
        for function in (member_of(sub, name) for sub in (cls, *subclasses(cls)) for name in _NAMES):
            if isinstance(function, types.FunctionType) and is_users(function) and not is_generated(function):
                yield function
        if has_fields(cls):
            for inner in record_fields(cls).values():
                yield from _special(inner, (*seen, cls))
