"""What is known of callables whose source is not the user's: data, hardly any logic.

A function of a module in `PURE_MODULES` neither changes its arguments nor the
world. Methods are listed for the builtin containers.
"""

from __future__ import annotations

import bisect
import builtins
import collections
import copy
import datetime
import decimal
import fractions
import functools
import hashlib
import heapq
import itertools
import json
import operator
import pathlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

PURE_BUILTINS = frozenset(
    getattr(builtins, name)
    for name in [
        "abs",
        "all",
        "any",
        "ascii",
        "bin",
        "bool",
        "bytearray",
        "bytes",
        "callable",
        "chr",
        "complex",
        "dict",
        "divmod",
        "enumerate",
        "filter",
        "float",
        "format",
        "frozenset",
        "hasattr",
        "hash",
        "hex",
        "id",
        "int",
        "isinstance",
        "issubclass",
        "iter",
        "len",
        "list",
        "map",
        "max",
        "min",
        "oct",
        "ord",
        "pow",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "slice",
        "sorted",
        "str",
        "sum",
        "tuple",
        "type",
        "zip",
        "getattr",
        "object",
    ]
)

OUTPUT_BUILTINS = frozenset({print, input, open})

PURE_MODULES = frozenset(
    [
        "asyncio.locks",
        "json",
        "json.decoder",
        "json.encoder",
        "re",
        "math",
        "cmath",
        "textwrap",
        "string",
        "html",
        "statistics",
        "hashlib",
        "_hashlib",
        "base64",
        "binascii",
        "difflib",
        "itertools",
        "functools",
        "_functools",
        "bisect",
        "_bisect",
        "operator",
        "_operator",
        "collections",
        "copy",
        "decimal",
        "_decimal",
        "fractions",
        "unicodedata",
        "urllib.parse",
        "fnmatch",
        "keyword",
        "shlex",
        "zlib",
        "colorsys",
        "dataclasses",
        "heapq",
        "_heapq",
        "typing",
        "enum",
    ]
)

IMPURE = frozenset(
    {heapq.heappush, heapq.heappop, heapq.heapify, heapq.heapreplace, heapq.heappushpop}
    | {bisect.insort, bisect.insort_left, bisect.insort_right}
    | {json.dump, json.load, operator.setitem, operator.delitem, operator.methodcaller}
    | {
        getattr(operator, name)
        for name in operator.__all__
        if name.startswith("i") and hasattr(operator, f"__{name}__")
    }
    - {operator.index, operator.inv, operator.invert}
)
"""Functions of those modules that change an argument or the world."""


def is_pure(callee: Any) -> bool:
    """Whether a callable of those modules changes neither its arguments nor the world."""
    if isinstance(callee, functools.partial | operator.methodcaller):
        return False  # it calls something else
    try:
        return getattr(callee, "__module__", None) in PURE_MODULES and callee not in IMPURE
    except TypeError:  # it has no hash
        return False


PURE_METHODS = frozenset(
    {
        str,
        bytes,
        int,
        float,
        complex,
        bool,
        type(None),
        range,
        tuple,
        frozenset,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        fractions.Fraction,
        uuid.UUID,
        pathlib.PurePath,
        pathlib.PurePosixPath,
        re.Pattern,
        re.Match,
    }
)
"""Classes whose methods change nothing; subclasses do not count."""

ITERATORS = frozenset({iter, map, filter, zip, enumerate, reversed})
"""Builtins that give an iterator: it is used up by being read."""

CALLS_ITS_ARGUMENTS = frozenset({map, filter, sorted, min, max})
"""Builtins that call a function they are given, before or while they are read."""

FRESH = frozenset({copy.deepcopy})
"""Functions whose result shares nothing with their arguments."""

PICKS = frozenset({min, max, next, getattr})
"""Functions whose result is an element of an argument."""

HEAP = frozenset(
    {heapq.heappush, heapq.heappop, heapq.heapify, heapq.heapreplace, heapq.heappushpop}
    | {bisect.insort, bisect.insort_left, bisect.insort_right}
)
"""Functions that add their second argument to the list that is the first, or give back what is in it."""

ACCUMULATES = frozenset({functools.reduce, itertools.accumulate})
"""Functions that call a function with what it gave before."""

EAGER_MODULES = frozenset(
    ["collections", "math", "statistics", "json", "heapq", "bisect", "re", "_functools"]
)
"""Modules whose functions are done with their arguments when they return."""

KEEPS_FUNCTIONS = frozenset({collections.defaultdict, functools.partial, functools.cmp_to_key})
"""Callables of those modules that keep a function they are given."""

_LIST_MUTATORS = "append extend insert pop remove clear sort reverse"
_DEQUE_MUTATORS = "append appendleft clear extend extendleft insert pop popleft remove reverse rotate"
_DICT_MUTATORS = "update setdefault pop popitem clear"
_SET_MUTATORS = (
    "add update discard remove pop clear difference_update intersection_update symmetric_difference_update"
)

MUTATORS: Mapping[Any, frozenset[str]] = {
    list: frozenset(_LIST_MUTATORS.split()),
    dict: frozenset(_DICT_MUTATORS.split()),
    set: frozenset(_SET_MUTATORS.split()),
    collections.deque: frozenset(_DEQUE_MUTATORS.split()),
    collections.Counter: frozenset([*_DICT_MUTATORS.split(), "subtract"]),
    collections.OrderedDict: frozenset([*_DICT_MUTATORS.split(), "move_to_end"]),
    collections.defaultdict: frozenset(_DICT_MUTATORS.split()),
    type(hashlib.sha256()): frozenset(["update"]),
}
"""Methods of builtin containers that change their receiver."""

_DICT_READERS = frozenset(["copy", "get", "items", "keys", "values"])

READERS: Mapping[Any, frozenset[str]] = {
    list: frozenset(["copy", "count", "index"]),
    dict: _DICT_READERS,
    collections.deque: frozenset(["copy", "count", "index"]),
    collections.Counter: _DICT_READERS | {"most_common", "elements", "total"},
    collections.OrderedDict: _DICT_READERS,
    collections.defaultdict: _DICT_READERS,
    type(hashlib.sha256()): frozenset(["copy", "digest", "hexdigest"]),
    set: frozenset(
        [
            "copy",
            "difference",
            "intersection",
            "isdisjoint",
            "issubset",
            "issuperset",
            "symmetric_difference",
            "union",
        ]
    ),
    frozenset: frozenset(["difference", "intersection", "isdisjoint", "issubset", "issuperset", "union"]),
    tuple: frozenset(["count", "index"]),
}
"""Methods of builtin containers that change nothing."""

RECORD_READERS = frozenset(("model_dump", "model_dump_json", "model_copy"))
"""Methods of pydantic models that change nothing."""

RECORD_MAKERS = frozenset(("model_validate", "model_validate_json", "model_construct"))
"""Class methods of pydantic models that make one."""

ERROR_READERS = frozenset(("error_count", "errors", "json"))
"""Methods of pydantic's ValidationError that change nothing."""
