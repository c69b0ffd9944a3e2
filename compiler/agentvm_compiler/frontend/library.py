"""The types that builtins and the standard library give: of functions, methods and attributes.

A type is given only where it holds whatever the arguments are at run time.
"""

from __future__ import annotations

import base64
import collections
import copy
import dataclasses
import datetime
import decimal
import hashlib
import heapq
import html
import itertools
import json
import math
import operator
import pathlib
import re
import string
import textwrap
import typing
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .kinds import MAPPINGS, UNSEEN, Type, element, holding, item, join, parts, plain
from .records import is_model

HASH: type = type(hashlib.sha256())
NUMBERS = (int, float, bool)

_FIXED: Mapping[Any, Type] = {
    **dict.fromkeys((str, repr, chr, format, ascii, hex, oct, bin, json.dumps, html.escape), str),
    **dict.fromkeys((html.unescape, string.capwords, textwrap.dedent, textwrap.indent, textwrap.fill), str),
    **dict.fromkeys((textwrap.shorten, re.escape, urllib.parse.quote, urllib.parse.urlencode), str),
    **dict.fromkeys(
        (int, len, ord, hash, id, math.gcd, math.lcm, math.comb, math.factorial, math.isqrt), int
    ),
    **dict.fromkeys((bool, isinstance, issubclass, callable, hasattr, any, all), bool),
    **dict.fromkeys((math.isclose, math.isnan, math.isinf, math.isfinite), bool),
    **dict.fromkeys(
        (float, math.sqrt, math.exp, math.log, math.log2, math.log10, math.pow, math.fsum), float
    ),
    **dict.fromkeys((math.sin, math.cos, math.tan, math.atan2, math.hypot, math.dist, math.fabs), float),
    **dict.fromkeys((bytes, base64.b64encode, base64.b64decode, base64.urlsafe_b64encode), bytes),
    **dict.fromkeys((hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.sha512), HASH),
    range: range,
    textwrap.wrap: list[str],
    re.compile: re.Pattern[Any],
    operator.index: int,
}
"""Functions that give one type whatever they are called with."""

_STR: Mapping[str, Type] = {
    **dict.fromkeys(("split", "rsplit", "splitlines"), list[str]),
    **dict.fromkeys(("partition", "rpartition"), tuple[str, str, str]),
    **dict.fromkeys(("find", "rfind", "index", "rindex", "count"), int),
    "encode": bytes,
    "maketrans": Any,
}

_SPAN = tuple[int, int]
_MATCH_GROUPS = tuple[str | None, ...]
_DATE = ("year", "month", "day", "hour", "minute", "second", "microsecond", "days", "seconds")
_DATE_PARTS = dict.fromkeys(_DATE, int)
_PATH: Mapping[str, Type] = {
    **dict.fromkeys(("name", "stem", "suffix", "as_posix", "read_text", "as_uri"), str),
    **dict.fromkeys(("exists", "is_file", "is_dir", "is_absolute"), bool),
    "parts": tuple[str, ...],
    "read_bytes": bytes,
}

_MEMBERS: Mapping[Any, Mapping[str, Type]] = {
    bytes: {"decode": str, "hex": str},
    int: {"bit_length": int, "to_bytes": bytes},
    float: {"is_integer": bool, "hex": str},
    datetime.date: {
        **dict.fromkeys(("isoformat", "strftime", "ctime"), str),
        **dict.fromkeys(("weekday", "isoweekday", "toordinal"), int),
        **_DATE_PARTS,
    },
    datetime.datetime: {
        **dict.fromkeys(("isoformat", "strftime", "ctime"), str),
        **dict.fromkeys(("weekday", "isoweekday", "toordinal"), int),
        **dict.fromkeys(("astimezone", "replace"), datetime.datetime),
        **_DATE_PARTS,
        "timestamp": float,
        "date": datetime.date,
        "time": datetime.time,
    },
    datetime.time: {**dict.fromkeys(("isoformat", "strftime"), str), **_DATE_PARTS},
    datetime.timedelta: {"total_seconds": float, **_DATE_PARTS},
    decimal.Decimal: dict.fromkeys(("quantize", "normalize", "copy_abs", "sqrt"), decimal.Decimal),
    HASH: {"hexdigest": str, "digest": bytes},
    pathlib.PurePath: _PATH,
    pathlib.PurePosixPath: _PATH,
    pathlib.Path: _PATH,
    pathlib.PosixPath: _PATH,
}
"""Attributes of immutable classes, and what their methods give."""

_SAME_PATH = frozenset(["parent", "absolute", "joinpath", "resolve", "with_name", "with_stem", "with_suffix"])

_CLASS_METHODS = {
    datetime.date: "today fromisoformat fromordinal fromtimestamp",
    datetime.datetime: "now today utcnow fromisoformat fromtimestamp strptime combine",
    datetime.time: "fromisoformat",
}
"""Class methods that make an instance."""


def function_type(fn: Any, kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    """What calling a function of the library gives.

    Args:
        kinds: the types of the positional arguments.
        keywords: the types of the others.
    """
    try:
        if fn in _FIXED:
            return _FIXED[fn]
    except TypeError:  # it has no hash
        return Any
    rule = _RULES.get(fn)
    if rule is None or not kinds:
        return Any
    return UNSEEN if UNSEEN in kinds else rule(kinds, keywords)


def _of_first(cls: Any) -> _Rule:
    """The rule of what gives a container of the elements of its first argument."""
    return lambda kinds, _: holding(cls, element(kinds[0]))


def _of_second(cls: Any) -> _Rule:
    return lambda kinds, _: holding(cls, element(kinds[1])) if len(kinds) > 1 else Any


def _number(kinds: Sequence[Type], _: Any) -> Type:
    """Of a function that gives a number for numbers, and may give anything for others."""
    return float if kinds[0] in NUMBERS else Any


def _whole(kinds: Sequence[Type], _: Any) -> Type:
    return int if kinds[0] in NUMBERS else Any


def _sum(kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    added = [element(kinds[0]), *kinds[1:], *keywords.values()]
    numbers = (*NUMBERS, decimal.Decimal, datetime.timedelta)
    return join([int, *added]) if all(each in numbers for each in added) else Any


def _pick(kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    """`min` and `max`."""
    options = [element(kinds[0])] if len(kinds) == 1 else list(kinds)
    return join([*options, *(keywords[name] for name in ("default",) if name in keywords)])


def _next(kinds: Sequence[Type], _: Any) -> Type:
    return join([element(kinds[0]), *kinds[1:]])


def _rows(kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    return holding(Iterator, holding(tuple, *tuple(map(element, kinds))))


def _longest(kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    filled = [join((element(each), keywords.get("fillvalue", type(None)))) for each in kinds]
    return holding(Iterator, holding(tuple, *tuple(filled)))


def _chained(kinds: Sequence[Type], _: Any) -> Type:
    return holding(Iterator, join(map(element, kinds)))


def _combined(kinds: Sequence[Type], _: Any) -> Type:
    return holding(Iterator, holding(tuple, element(kinds[0]), ...))


def _counter(kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    """Of a mapping the values are taken as they are, and may be no numbers."""
    counted = plain(kinds[0]) in (list, tuple, set, frozenset, str, Iterator, range, collections.deque)
    return (
        holding(collections.Counter, element(kinds[0])) if counted and not keywords else collections.Counter
    )


def _dict(kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    first = kinds[0]
    if keywords:
        return dict
    if plain(first) in (*MAPPINGS, collections.Counter) and parts(first):
        return holding(dict, element(first), item(first))
    pair = element(first)
    both = parts(pair)
    return (
        holding(dict, *both) if plain(pair) is tuple and len(both) == 2 and both[1] is not Ellipsis else dict
    )


def _searched(kinds: Sequence[Type], _: Any) -> Type:
    return re.Match[str] | None if len(kinds) > 1 and plain(kinds[1]) is str else re.Match | None


def _texts(kinds: Sequence[Type], _: Any) -> Type:
    """What `re.findall` gives: texts, or tuples of them where the pattern has several groups."""
    return list[str | tuple[str, ...]] if len(kinds) > 1 and plain(kinds[1]) is str else list[Any]


def _matches(kinds: Sequence[Type], _: Any) -> Type:
    return Iterator[re.Match[str]] if len(kinds) > 1 and plain(kinds[1]) is str else Iterator[re.Match[Any]]


def _pieces(kinds: Sequence[Type], _: Any) -> Type:
    return list[str | None] if len(kinds) > 1 and plain(kinds[1]) is str else list[Any]


def _replaced(kinds: Sequence[Type], _: Any) -> Type:
    return str if len(kinds) > 2 and plain(kinds[2]) is str else Any


def _fromkeys(kinds: Sequence[Type], _: Any) -> Type:
    return holding(dict, element(kinds[0]), kinds[1] if len(kinds) > 1 else type(None))


def _same(kinds: Sequence[Type], _: Any) -> Type:
    return kinds[0]


_Rule = Callable[[Sequence[Type], Mapping[str, Type]], Type]

_RULES: Mapping[Any, _Rule] = {
    **dict.fromkeys((abs, round), _number),
    **dict.fromkeys((math.floor, math.ceil, math.trunc), _whole),
    **dict.fromkeys((min, max), _pick),
    **dict.fromkeys((copy.copy, copy.deepcopy, dataclasses.replace), _same),
    **dict.fromkeys((sorted, list), _of_first(list)),
    **dict.fromkeys((heapq.nlargest, heapq.nsmallest), _of_second(list)),
    **dict.fromkeys((iter, reversed, itertools.islice, itertools.cycle), _of_first(Iterator)),
    **dict.fromkeys(
        (filter, itertools.takewhile, itertools.dropwhile, itertools.filterfalse), _of_second(Iterator)
    ),
    **dict.fromkeys((itertools.permutations, itertools.combinations), _combined),
    **dict.fromkeys((re.search, re.match, re.fullmatch), _searched),
    set: _of_first(set),
    frozenset: _of_first(frozenset),
    tuple: lambda kinds, _: kinds[0] if plain(kinds[0]) is tuple else holding(tuple, element(kinds[0]), ...),
    sum: _sum,
    next: _next,
    dict: _dict,
    enumerate: lambda kinds, _: holding(Iterator, holding(tuple, int, element(kinds[0]))),
    zip: _rows,
    collections.Counter: _counter,
    collections.deque: _of_first(collections.deque),
    collections.OrderedDict: lambda kinds, _: holding(
        collections.OrderedDict, *(parts(_dict(kinds, _)) or (Any, Any))
    ),
    itertools.chain: _chained,
    itertools.zip_longest: _longest,
    itertools.pairwise: lambda kinds, _: holding(
        Iterator, holding(tuple, element(kinds[0]), element(kinds[0]))
    ),
    itertools.count: lambda kinds, _: Iterator[int] if kinds[0] is int else Any,
    itertools.repeat: lambda kinds, _: holding(Iterator, kinds[0]),
    itertools.groupby: lambda kinds, _: holding(
        Iterator, holding(tuple, Any, holding(Iterator, element(kinds[0])))
    ),
    re.findall: _texts,
    re.finditer: _matches,
    re.split: _pieces,
    re.sub: _replaced,
    heapq.heappop: lambda kinds, _: element(kinds[0]),
}
"""Functions whose result depends on the types of their arguments."""


def class_method_type(cls: Any, name: str, kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
    """What calling a method on a class of the library gives."""
    if is_model(cls) and name in ("model_validate", "model_validate_json", "model_construct"):
        return cls
    if cls is dict and name == "fromkeys" and kinds:
        return _fromkeys(kinds, keywords)
    if cls is itertools.chain and name == "from_iterable" and kinds:
        return holding(Iterator, element(element(kinds[0])))
    return cls if name in _CLASS_METHODS.get(cls, "").split() else Any


def member_type(kind: Type, name: str) -> Type:
    """The type of an attribute, or of what the method of the name gives for a value of the type."""
    cls = plain(kind)
    if isinstance(cls, type) and issubclass(cls, pathlib.PurePath) and name in _SAME_PATH:
        return kind
    if cls is str:
        bool_like = name.startswith(("is", "startswith", "endswith"))
        return bool if bool_like else _STR.get(name, str)
    if cls is re.Match and parts(kind) == (str,):
        found = {"group": str | None, "groups": _MATCH_GROUPS, "groupdict": dict[str, str | None]}
        return found.get(name, {"start": int, "end": int, "span": _SPAN, "string": str}.get(name, Any))
    return _MEMBERS.get(cls, {}).get(name, Any)


def method_type(kind: Type, name: str, kinds: Sequence[Type]) -> Type:
    """What a method of a builtin container, model or record gives."""
    cls = plain(kind)
    if cls in MAPPINGS or cls is collections.Counter or typing.is_typeddict(cls):
        return _of_mapping(kind, name, kinds)
    if cls in (list, collections.deque):
        if name in ("pop", "popleft"):
            return element(kind)
        return {"index": int, "count": int, "copy": kind}.get(name, Any)
    if cls in (set, frozenset):
        if name in ("union", "symmetric_difference"):
            return holding(cls, join([element(kind), *map(element, kinds)]))
        same = ("copy", "difference", "intersection")
        return kind if name in same else element(kind) if name == "pop" else Any
    if is_model(cls):
        return {"model_dump": dict[str, Any], "model_dump_json": str, "model_copy": kind}.get(name, Any)
    if cls is re.Pattern:
        return _of_pattern(name, kinds)
    if is_validation_error(cls):
        return {"error_count": int, "errors": list[dict[str, Any]], "json": str}.get(name, Any)
    return member_type(kind, name)


def _of_mapping(kind: Type, name: str, kinds: Sequence[Type]) -> Type:
    key, value = element(kind), item(kind)
    if name == "copy":
        return kind
    if name == "keys":
        return holding(list, key)
    if name == "values":
        return holding(list, value)
    if name == "items":
        return holding(list, holding(tuple, key, value))
    if plain(kind) is collections.Counter and parts(kind):
        counted: dict[str, Type] = {
            "most_common": holding(list, holding(tuple, key, int)),
            "total": int,
            "elements": holding(Iterator, key),
        }
        if name in counted:
            return counted[name]
    if name in ("get", "pop", "setdefault"):
        others = list(kinds[1:]) or ([] if name == "pop" else [type(None)])
        return join([value, *others])
    return holding(tuple, key, value) if name == "popitem" else Any


def _of_pattern(name: str, kinds: Sequence[Type]) -> Type:
    rule = _RULES.get(getattr(re, name, None))
    return rule([re.Pattern, *kinds], {}) if rule is not None and kinds else Any


def is_validation_error(cls: Any) -> bool:
    """Whether it is pydantic's ValidationError."""
    return getattr(cls, "__module__", "").startswith("pydantic_core") and cls.__name__ == "ValidationError"
