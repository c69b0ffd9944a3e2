"""What a result that other runs use depends on beyond its execution key: all that its code reaches.

An execution key covers functions, constants and the text of classes. A shared
result stands for ever, so its key must also change with what lies behind: the
tables and objects that the code refers to, and the code of their classes. This
is looked at once in a process. Where there is too much of it, nothing is shared.
"""

from __future__ import annotations

import ast
import enum
import functools
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from agentvm_compiler.calls import Agent, Tool
from agentvm_compiler.frontend.fingerprint import fingerprint, without_docstrings
from agentvm_compiler.frontend.source import file_of, is_users, source_of

from .errors import UnstorableValue
from .values import key_digest

MOST = 20_000
"""Objects looked at."""
MANY = 1_000
"""Elements of a container beyond which it counts by its content alone, not by the code of its elements."""

_ATOMS = (str, bytes, int, float, complex, bool, type(None), range, type(Ellipsis))
_CONTAINERS = (list, tuple, dict, set, frozenset)
_DESCRIPTORS = (staticmethod, classmethod, property, functools.cached_property)


class _TooMuch(Exception):
    """More than can be looked at."""


def shared_key(key: str, code: Any) -> str:
    """The key under which runs share the result of work that this code does; empty if they cannot.

    Args:
        code: a tool's function, or the type of an answer.
    """
    try:
        reached = _cached(code)
    except TypeError:  # it cannot be hashed
        reached = _reached(code)
    if reached is None:
        return ""
    return key_digest(("shared", key, reached)) if reached else key


def _reached(root: Any) -> str | None:
    """Hash of what the execution key does not cover; empty if that is nothing, None if it is too much."""
    numbers: dict[int, int] = {}
    found: list[Any] = []
    lines: list[Any] = []

    def part(value: Any) -> Any:
        # What is equal by value need not be one object in another process.
        if isinstance(value, _ATOMS):
            return fingerprint(value)
        if id(value) in numbers and not isinstance(value, tuple):
            return numbers[id(value)]
        numbers[id(value)] = len(found)
        found.append(value)  # keeps it alive, as long as its identity counts
        return numbers[id(value)]

    part(root)
    covered = True
    try:
        for value in _growing(found):
            own, parts = _described(value)
            lines.append((own, [part(each) for each in parts]))
            covered = covered and _is_covered(value)
    except (_TooMuch, UnstorableValue, RecursionError):
        return None
    return "" if covered else key_digest(lines)


_cached = functools.lru_cache(maxsize=1024)(_reached)


def _growing(found: list[Any]) -> Iterator[Any]:
    start = 0
    while start < len(found):
        if start >= MOST:
            raise _TooMuch
        yield found[start]
        start += 1


def _is_covered(value: Any) -> bool:
    """Whether execution keys cover what an object is by itself."""
    if isinstance(value, type):
        return not is_users(value)
    covered = (types.FunctionType, types.GenericAlias, types.UnionType, Tool, Agent)
    return isinstance(value, covered) or (isinstance(value, tuple | dict) and not value)


def _described(value: Any) -> tuple[Any, list[Any]]:
    """What an object is by itself, and what it reaches, in an order that is the same in every process."""
    if isinstance(value, Tool | Agent):
        return fingerprint(value), [value.fn]
    if isinstance(value, types.FunctionType):
        return _function(value)
    if isinstance(value, types.MethodType):
        return "method", [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return "partial", [value.func, value.args, value.keywords]
    if isinstance(value, type) and not isinstance(value, types.GenericAlias):
        return _class(value)
    if typing.get_origin(value) is not None:
        return str(typing.get_origin(value)), list(typing.get_args(value))
    if isinstance(value, enum.Enum):
        return fingerprint(value), [type(value)]
    if isinstance(value, _ATOMS):
        return fingerprint(value), []
    if isinstance(value, _CONTAINERS):
        return _container(value)
    return _instance(value)


def _container(value: Any) -> tuple[Any, list[Any]]:
    if len(value) > MANY:
        return key_digest(value), []
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, [part for item in value.items() for part in item]
    if isinstance(value, set | frozenset):
        return (kind, sorted(_of_set(each) for each in value)), []
    return kind, list(value)


def _of_set(value: Any) -> str:
    try:
        return key_digest(value)
    except UnstorableValue:
        return fingerprint(value)


def _instance(value: Any) -> tuple[Any, list[Any]]:
    try:
        return key_digest(value), [type(value)]
    except UnstorableValue:
        pass
    if not is_users(type(value)):
        return fingerprint(value), []  # of a library: a lock, a client, a logger
    held = getattr(value, "__dict__", {})
    return "instance", [type(value), *(part for name in sorted(held) for part in (name, held[name]))]


def _function(fn: types.FunctionType) -> tuple[Any, list[Any]]:
    name = f"{fn.__module__}.{fn.__qualname__}"
    if not is_users(fn):
        return name, []
    source = source_of(fn)
    own = _bytecode(fn.__code__) if source is None else ast.unparse(without_docstrings(source.tree))
    cells = [each.cell_contents for each in fn.__closure__ or () if _is_filled(each)]
    given = [fn.__defaults__, fn.__kwdefaults__]
    return own, [*cells, *given, *_named(_names(fn.__code__), fn.__globals__)]


def _class(cls: type) -> tuple[Any, list[Any]]:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if not is_users(cls):
        return name, []
    try:
        module = sys.modules[cls.__module__]
        tree = file_of(str(module.__file__), module).classes[cls.__qualname__]
    except (OSError, TypeError, SyntaxError, LookupError):
        functions = [each for _, held in sorted(vars(cls).items()) for each in _functions_in(held)]
        return name, [*cls.__bases__, *functions]
    mentioned = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    attributes = {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
    return ast.unparse(tree), [*cls.__bases__, *_named(mentioned | attributes, vars(module))]


def _functions_in(held: Any) -> Iterator[Any]:
    if isinstance(held, types.FunctionType):
        yield held
    elif isinstance(held, _DESCRIPTORS):
        for name in ("__func__", "fget", "fset", "func"):
            if isinstance(found := getattr(held, name, None), types.FunctionType):
                yield found


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _bytecode(code: types.CodeType) -> Any:
    constants = (
        _bytecode(each) if isinstance(each, types.CodeType) else fingerprint(each) for each in code.co_consts
    )
    return code.co_code.hex(), code.co_names, list(constants)


def _names(code: types.CodeType) -> set[str]:
    """The names that code and the functions within it use, of globals and of attributes."""
    names = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            names |= _names(each)
    return names


def _named(names: Iterable[str], scope: dict[str, Any]) -> Iterator[Any]:
    """What the names mean among globals; of modules of the user's, what they mean there."""
    known = sorted(names)
    for name in known:
        if name not in scope:
            continue
        value = scope[name]
        if not isinstance(value, types.ModuleType):
            yield value
        elif is_users(value):
            held = vars(value)
            yield from (held[each] for each in known if each in held and each != name)
