"""Code hashes: what a piece of code depends on, and whether that changed.

The hash of a node covers its own code, in a form that formatting, comments and
docstrings do not change, and whatever of the user's project that code refers to,
transitively: helper functions, classes, constants. Libraries count by name.
"""

from __future__ import annotations

import ast
import copy
import enum
import functools
import inspect
import json.encoder
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentvm_compiler.calls import Agent, Tool
from agentvm_compiler.ir import content_hash, text_hash

from .scope import UNKNOWN, Scope, scope_of
from .source import file_of, is_users, source_of
from .tree import Facts, FunctionTree, statements_in, walk
from .writing import written

_quoted = json.encoder.encode_basestring
"""A text as JSON that is not limited to ASCII."""


def code_hash(code: str, used: Mapping[str, str], kind: str) -> str:
    """Hash of a node: its code, the fingerprints of what the code refers to, and the node's kind."""
    # As `content_hash([code, used, kind])`, of which there are too many for the usual encoder.
    pairs = ",".join([f"{_quoted(name)}:{_quoted(used[name])}" for name in sorted(used)])
    return text_hash(f"[{_quoted(code)},{{{pairs}}},{_quoted(kind)}]")


@functools.cache
def bare_hash(kind: str) -> str:
    """Hash of a node that has no code of its own."""
    return code_hash("", {}, kind)


def fingerprint(value: Any) -> str:
    """A string that changes when the object's code or value does."""
    if isinstance(value, types.FunctionType):
        return _function(value)
    said, functions = _said(value)
    return content_hash([said, *map(_function, functions)]) if functions else said


def _said(value: Any) -> tuple[str, tuple[types.FunctionType, ...]]:
    """What an object says of itself, and the functions whose code it stands for."""
    if isinstance(value, Tool | Agent):
        said, functions = _said(value.fn)
        kind = f"tool {value.effect.value}" if isinstance(value, Tool) else "agent"
        return f"{kind} {value.name} {said}", functions
    if isinstance(value, types.FunctionType):
        return f"function {_name_of(value)}", (value,)
    if isinstance(value, tuple):
        parts = [_said(each) for each in value]
        return content_hash([said for said, _ in parts]), tuple(fn for _, fns in parts for fn in fns)
    if isinstance(value, frozenset):
        parts = sorted((_said(each) for each in value), key=lambda part: part[0])
        return content_hash([said for said, _ in parts]), tuple(fn for _, fns in parts for fn in fns)
    if isinstance(value, type):
        return _class(value), _methods(value)
    return _plain(value), _wrapped(value)


def _plain(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, str | bytes | int | float | complex | bool | None | range):
        return f"{type(value).__name__}:{value!r}"
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if name:
        return f"{getattr(value, '__module__', '')}.{name}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


_REFERRING = (ast.Name, ast.Attribute)


def referring(scope: Scope) -> Facts[tuple[str, Any]]:
    """Where the function refers to what is outside it: the dotted names, and the objects."""
    found = []
    numbered: Any = scope.tree.numbered(*_REFERRING)
    for number, node in numbered:
        found += [(number, fact) for fact in references(node, scope)]
    return Facts(scope.tree, found, lambda node: references(node, scope))


def references(node: ast.AST, scope: Scope) -> Iterable[tuple[str, Any]]:
    """The dotted name that a node is, if it resolves to an object outside the function, and the object."""
    if not isinstance(node, _REFERRING):
        return ()
    value = scope.resolve(node)
    if value is UNKNOWN or isinstance(value, types.ModuleType):
        return ()
    return ((node.id if isinstance(node, ast.Name) else written(node), value),)


@functools.lru_cache(maxsize=4096)
def _function(fn: types.FunctionType) -> str:
    """Hash of a function's code and of that of all functions it reaches.

    Functions that call each other reach the same ones, so it does not matter which is asked first.
    """
    reached = {fn: None}
    pending = [fn]
    while pending:
        for each in _own(pending.pop())[1]:
            if each not in reached:
                reached[each] = None
                pending.append(each)
    if len(reached) == 1 and not is_users(fn):
        return _name_of(fn)
    return content_hash([_own(fn)[0], sorted(_own(each)[0] for each in reached)])


@functools.lru_cache(maxsize=4096)
def _own(fn: types.FunctionType) -> tuple[str, tuple[types.FunctionType, ...]]:
    """Hash of a function's own code, and the functions it refers to."""
    source = source_of(fn) if is_users(fn) else None
    if source is None:
        return _name_of(fn), _wrapped(fn)
    found = scope_of(source).once(referring).within(source.tree)
    used = {name: _said(value) for name, value in found}
    code = written(without_docstrings(source.tree))
    functions = (each for _, fns in used.values() for each in fns)
    return content_hash([code, {name: said for name, (said, _) in used.items()}]), tuple(functions)


def _wrapped(value: Any) -> tuple[types.FunctionType, ...]:
    """The function of the user's that a library's decorator was put around, as `functools.cache` is."""
    inner = inspect.getattr_static(value, "__wrapped__", None)
    return (inner,) if isinstance(inner, types.FunctionType) and is_users(inner) else ()


def _name_of(fn: types.FunctionType) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"


@functools.lru_cache(maxsize=4096)
def _class(cls: type) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}"
    try:
        if not is_users(cls):
            return name
        module = sys.modules[cls.__module__]
        tree = file_of(str(module.__file__), module).classes[cls.__qualname__]
    except (OSError, TypeError, SyntaxError, LookupError):
        return name
    bases = [fingerprint(each) for each in cls.__bases__]
    # A pydantic docstring is part of the JSON Schema the model sees, so docstrings count here.
    return content_hash([written(tree), bases])


@functools.lru_cache(maxsize=4096)
def _methods(cls: type) -> tuple[types.FunctionType, ...]:
    """The functions that a class of the user's defines or inherits: what they refer to counts, too."""
    found: dict[types.FunctionType, None] = {}
    for each in cls.__mro__:
        for value in vars(each).values() if is_users(each) else ():
            parts = (value.fget, value.fset) if isinstance(value, property) else (value,)
            for part in parts:
                fn = getattr(part, "__func__", part)  # of a static or class method
                if isinstance(fn, types.FunctionType) and is_users(fn) and source_of(fn) is not None:
                    found[fn] = None
    return tuple(found)


def without_docstrings(tree: FunctionTree) -> FunctionTree:
    """The tree without the docstrings of its functions; itself if it has none."""
    documented = [node for node in _functions_in(tree) if _is_documented(node)]
    made = copy.copy(tree) if documented == [tree] else copy.deepcopy(tree) if documented else tree
    for node in walk(made) if documented else ():
        if isinstance(node, FunctionTree) and _is_documented(node):
            node.body = node.body[1:] or [ast.Pass()]
    return made


def _functions_in(node: ast.AST) -> Iterator[FunctionTree]:
    """The functions that a statement defines, itself included."""
    if isinstance(node, FunctionTree):
        yield node
    for each in statements_in(node):
        yield from _functions_in(each)


def _is_documented(function: FunctionTree) -> bool:
    return ast.get_docstring(function, clean=False) is not None
