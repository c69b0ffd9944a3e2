"""Looking at values: operations of known code that change nothing."""

from __future__ import annotations

import operator
import types
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .certain import (
    BUILTIN,
    DICTS,
    SETS,
    Unfit,
    are_comparable,
    are_plain,
    in_order,
    is_comparable,
    is_plain,
    key,
    plain,
)
from .objects import is_made_plainly, is_record

_NUMBERS = frozenset({bool, int, float})
_INDEXED = frozenset({list, tuple, str, bytes, range, deque})
_SLICED = frozenset({list, tuple, str, bytes, range})


def item(container: Any, place: Any) -> Any:
    """`container[place]`."""
    cls = type(container)
    if cls in _INDEXED:
        if type(place) is not int:
            raise Unfit
        return container[place]
    if cls in DICTS:
        return container[key(place)]
    raise Unfit


def part(value: Any, *ends: Any) -> Any:
    """A slice of a sequence."""
    if type(value) not in _SLICED or not {type(None), int}.issuperset(map(type, ends)):
        raise Unfit
    return value[slice(*ends)]


# -- operators ---------------------------------------------------------------------------


def truth(value: Any) -> Any:
    """The value, which can be asked whether it is true."""
    cls = type(value)
    if cls in BUILTIN or (is_record(cls) and not hasattr(cls, "__bool__") and not hasattr(cls, "__len__")):
        return value
    raise Unfit


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
    "BitOr": operator.or_,
    "BitAnd": operator.and_,
}
_OF_LIKE = {"Add": frozenset({str, bytes, list, tuple}), "BitOr": SETS | {dict}, "BitAnd": SETS, "Sub": SETS}
"""Types of which an operator takes two, besides numbers."""


def operate(name: str, left: Any, right: Any) -> Any:
    one, other = type(left), type(right)
    numbers = one in _NUMBERS and other in _NUMBERS
    like = one is other and one in _OF_LIKE.get(name, ())
    repeated = name == "Mult" and one in (str, list, tuple) and other is int
    if not (numbers or like or repeated) or name not in _OPERATORS:
        raise Unfit
    return _OPERATORS[name](left, right)


_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
}


def compare(name: str, left: Any, right: Any) -> bool:
    if name in ("In", "NotIn"):
        return _is_in(left, right) is (name == "In")
    if not (_is_comparable(left) and _is_comparable(right)):
        raise Unfit
    return bool(_COMPARISONS[name](left, right))


def _is_comparable(value: Any) -> bool:
    return is_comparable(value) or (type(value) in (list, deque, *SETS) and are_comparable(value))


def _is_in(value: Any, container: Any) -> bool:
    cls = type(container)
    if cls in DICTS or cls in SETS:
        return key(value) in container
    if cls in (str, bytes) and type(value) is cls:
        return value in container
    if cls in (list, tuple, deque, range) and is_comparable(value) and are_comparable(container):
        return value in container
    raise Unfit


# -- functions and methods ---------------------------------------------------------------


def _sorted_parts(value: Any) -> Any:
    """The same where the order plays no part, as all are comparable and equal ones are alike."""
    if type(value) in SETS:
        kinds = set(map(type, value))
        if len(kinds) > 1 or not kinds <= {str, int}:
            raise Unfit
    elif not are_plain(in_order(value)):
        raise Unfit
    return value


def _of_parts(function: Any) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        if set(named) - {"reverse", "default", "start"}:
            raise Unfit
        first, *rest = given
        if not all(map(is_plain, rest)):
            raise Unfit
        if rest and function in (min, max):
            return function(first, *rest, **named) if is_plain(first) else _unfit()
        return function(_sorted_parts(first), *rest, **named)

    return call


def _unfit() -> Any:
    raise Unfit


def _of_atoms(function: Any) -> Callable[..., Any]:
    return lambda *given: function(*map(plain, given))


def _of_ordered(function: Any) -> Callable[..., Any]:
    return lambda *given: function(*map(in_order, given))


def _set_of(*given: Any) -> Any:
    if not all(are_plain(in_order(each)) for each in given):
        raise Unfit
    return set(*given)


def _dict_of(*given: Any, **named: Any) -> Any:
    if not all(type(each) in DICTS for each in given):
        raise Unfit
    return dict(*given, **named)


def _is_instance(value: Any, classes: Any) -> bool:
    several = classes if type(classes) is tuple else (classes,)
    if not all(type(each) is type for each in several) or value.__class__ is not type(value):
        raise Unfit
    return issubclass(type(value), classes)


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    len: lambda value: len(value) if type(value) in BUILTIN else _unfit(),
    bool: lambda value=False: bool(truth(value)),
    isinstance: _is_instance,
    set: _set_of,
    dict: _dict_of,
    **{each: _of_atoms(each) for each in (str, repr, int, float, abs, round)},
    **{each: _of_parts(each) for each in (min, max, sum, sorted)},
    **{each: _of_ordered(each) for each in (list, tuple, deque, range)},
}
"""Functions that are known, with what is done for them."""


def function(called: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """`called(*given, **named)`."""
    if isinstance(called, type | types.BuiltinFunctionType):
        known = FUNCTIONS.get(called)
        if known is not None:
            return known(*given, **named)
        if is_made_plainly(called):
            return called(*given, **named)
    raise Unfit


_TEXT = frozenset(
    [
        "lower",
        "upper",
        "strip",
        "lstrip",
        "rstrip",
        "split",
        "rsplit",
        "splitlines",
        "startswith",
        "endswith",
        "replace",
        "find",
        "rfind",
        "index",
        "count",
        "title",
        "capitalize",
        "casefold",
        "partition",
        "rpartition",
        "removeprefix",
        "removesuffix",
        "zfill",
        "ljust",
        "rjust",
        "center",
        "isdigit",
        "isalpha",
        "isalnum",
        "isspace",
        "islower",
        "isupper",
        "isnumeric",
        "isdecimal",
        "encode",
        "format",
    ]
)
_METHODS: Mapping[type, frozenset[str]] = {
    str: _TEXT,
    list: frozenset({"copy"}),
    deque: frozenset({"copy"}),
    set: frozenset({"copy"}),
    **dict.fromkeys(DICTS, frozenset({"copy", "get"})),
}


def method(value: Any, name: str, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """`value.name(*given, **named)`."""
    cls = type(value)
    if named:
        raise Unfit
    if cls is str and name == "join" and len(given) == 1:
        return value.join(in_order(given[0]))
    if cls in DICTS and name in ("keys", "values", "items") and not given:
        return getattr(value, name)()
    if name not in _METHODS.get(cls, ()):
        raise Unfit
    if cls in DICTS:
        given = [key(each) for each in given[:1]] + list(given[1:])
    elif not all(map(is_plain, given)):
        raise Unfit
    return getattr(value, name)(*given)
