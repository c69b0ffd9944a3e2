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
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentvm_compiler.calls import Agent, Tool
from agentvm_compiler.ir import content_hash

from .scope import UNKNOWN, Scope
from .source import file_of, is_users, source_of
from .tree import FunctionTree, walk
from .writing import written


def code_hash(code: str, used: Mapping[str, str], *more: Any) -> str:
    """Hash of a node: its code and the fingerprints of what the code refers to."""
    return content_hash([code, dict(used), *more])


def used_objects(tree: ast.AST, scope: Scope) -> dict[str, str]:
    """Fingerprints of the non-local names in the tree, by dotted name."""
    found = scope.facts(_reference, ast.Name, ast.Attribute).within(tree)
    return {name: fingerprint(value) for name, value in found}


def fingerprint(value: Any) -> str:
    """A string that changes when the object's code or value does."""
    if isinstance(value, Tool):
        return _of_callee("tool", value.name, value.effect.value, fingerprint(value.fn))
    if isinstance(value, Agent):
        return _of_callee("agent", value.name, fingerprint(value.fn))
    if isinstance(value, types.FunctionType):
        return _function(value)
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, str | bytes | int | float | complex | bool | None | range):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, tuple):
        return content_hash([fingerprint(each) for each in value])
    if isinstance(value, frozenset):
        return content_hash(sorted(fingerprint(each) for each in value))
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if name:
        return f"{getattr(value, '__module__', '')}.{name}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


@functools.lru_cache(maxsize=4096)
def _of_callee(*said: str) -> str:
    return content_hash(list(said))


def _reference(node: ast.AST, scope: Scope) -> Iterator[tuple[str, Any]]:
    """A dotted name that resolves to an object, and the object."""
    if isinstance(node, ast.Name | ast.Attribute):
        value = scope.resolve(node)
        if value is not UNKNOWN and not isinstance(value, types.ModuleType):
            yield written(node), value


@functools.lru_cache(maxsize=4096)
def _function(fn: types.FunctionType) -> str:
    name = f"{fn.__module__}.{fn.__qualname__}"
    source = source_of(fn) if is_users(fn) else None
    if source is None:
        return name
    if fn in _in_progress:
        return f"recursive {name}"
    _in_progress.add(fn)
    try:
        used = used_objects(source.tree, Scope(source))
    finally:
        _in_progress.discard(fn)
    return content_hash([ast.unparse(without_docstrings(source.tree)), used])


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
    return content_hash([ast.unparse(tree), bases])


_in_progress: set[Callable[..., Any]] = set()


def without_docstrings(tree: FunctionTree) -> FunctionTree:
    """The tree without the docstrings of its functions; itself if it has none."""
    documented = [node for node in walk(tree) if isinstance(node, FunctionTree) and _is_documented(node)]
    made = copy.copy(tree) if documented == [tree] else copy.deepcopy(tree) if documented else tree
    for node in walk(made) if documented else ():
        if isinstance(node, FunctionTree) and _is_documented(node):
            node.body = node.body[1:] or [ast.Pass()]
    return made


def _is_documented(function: FunctionTree) -> bool:
    return ast.get_docstring(function, clean=False) is not None
