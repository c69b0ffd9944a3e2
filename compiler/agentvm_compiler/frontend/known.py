"""What is known of callables whose source is not the user's: data, no logic.

A function of a module in `PURE_MODULES` neither changes its arguments nor the
world. Methods are listed for the builtin containers.
"""

from __future__ import annotations

import builtins
import copy
import datetime
import decimal
import fractions
import heapq
import json
import operator
import pathlib
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
    | {json.dump, json.load, operator.setitem, operator.delitem, operator.methodcaller}
    | {
        getattr(operator, name)
        for name in operator.__all__
        if name.startswith("i") and hasattr(operator, f"__{name}__")
    }
    - {operator.index, operator.inv, operator.invert}
)
"""Functions of those modules that change an argument or the world."""

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

_LIST_MUTATORS = "append extend insert pop remove clear sort reverse"
_DICT_MUTATORS = "update setdefault pop popitem clear"
_SET_MUTATORS = (
    "add update discard remove pop clear difference_update intersection_update symmetric_difference_update"
)

MUTATORS: Mapping[Any, frozenset[str]] = {
    list: frozenset(_LIST_MUTATORS.split()),
    dict: frozenset(_DICT_MUTATORS.split()),
    set: frozenset(_SET_MUTATORS.split()),
}
"""Methods of builtin containers that change their receiver."""

READERS: Mapping[Any, frozenset[str]] = {
    list: frozenset(["copy", "count", "index"]),
    dict: frozenset(["copy", "get", "items", "keys", "values"]),
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
