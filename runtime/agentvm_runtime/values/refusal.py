"""Saying why a value cannot be stored, where in it, and what to use instead."""

from __future__ import annotations

import io
import re
import types
from collections.abc import Iterator
from typing import Any


class Refused(Exception):
    """A part has no codec. On its way out it gathers the path to that part."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def inside(self, step: str) -> None:
        """Note that the part lies at `step` of the value around it."""
        self.path = step + self.path


def label(key: Any, attributes: bool) -> str:
    """One step of a path, as it would be written in Python."""
    if attributes:
        return "." + str(key).removeprefix("#")
    text = repr(key) if isinstance(key, str | int | float | bytes | tuple) else f"<{type(key).__name__}>"
    return f"[{text[:60]}]"


def _class_of(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def explain(value: Any) -> str:
    """Why a value without a kind cannot be stored, and what to use instead."""
    match value:
        case types.CoroutineType():
            return "a coroutine cannot be stored; await it"
        case types.AsyncGeneratorType():
            return "an async generator cannot be stored; make it a list"
        case io.IOBase():
            return "an open file cannot be stored; store its path or its content"
        case Iterator():
            return "an iterator cannot be stored; make it a list"
        case memoryview():
            return "a memoryview cannot be stored; make it bytes"
        case re.Match():
            return "a match object cannot be stored; keep its groups"
        case re.Pattern():
            return "a compiled pattern cannot be stored; keep its text"
        case types.ModuleType():
            return f"the module {value.__name__} cannot be stored; import it where it is used"
        case types.MethodType():
            return "a bound method cannot be stored; pass the object and call its method where it is used"
        case types.TracebackType() | types.FrameType():
            return f"a {_class_of(value)} cannot be stored; store its text"
    cls = type(value)
    if cls is object:
        return "a bare object() cannot be stored; use an enum member as a sentinel"
    for base in (list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float):
        if isinstance(value, base):
            return f"a {_class_of(value)} cannot be stored; make it a plain {base.__name__}"
    if hasattr(cls, "__iter__") and cls.__module__ in ("builtins", "collections.abc"):
        return f"a {_class_of(value)} cannot be stored; make it a list"
    return f"a {_class_of(value)} cannot be stored; make its class a dataclass or a pydantic model"
