"""What the program declares of its types: annotations are believed."""

from __future__ import annotations

import ast
import functools
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from .kinds import Type
from .scope import UNKNOWN, Scope


def evaluate(expression: ast.expr, scope: Scope) -> Any:
    """The object a type expression stands for, where all its names are known; else UNKNOWN."""
    if isinstance(expression, ast.Name):
        return scope.lookup(expression.id)
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and scope.lookup(node.id) is UNKNOWN:
            return UNKNOWN
        if not isinstance(
            node,
            ast.Name
            | ast.Attribute
            | ast.Subscript
            | ast.Constant
            | ast.Tuple
            | ast.List
            | ast.BinOp
            | ast.BitOr
            | ast.expr_context
            | ast.Call
            | ast.keyword,
        ):
            return UNKNOWN
    try:
        code = compile(ast.Expression(expression), scope.source.file, "eval")
        return eval(code, scope.globals, dict(scope.cells))
    except Exception:  # whatever it is, it will show when the program runs
        return UNKNOWN


def annotations_of(fn: Callable[..., Any]) -> Mapping[str, Any]:
    """What a function declares of its parameters and result; nothing while a name in it is not there yet."""
    try:
        return _annotations(fn)
    except Exception:
        return {}


@functools.lru_cache(maxsize=4096)
def _annotations(fn: Callable[..., Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(fn, include_extras=True)


def given_by(method: Callable[..., Any], owner: Type) -> Type:
    """What a method of the user's is declared to give."""
    given = annotations_of(method).get("return", Any)
    return owner if given is typing.Self else given


@functools.lru_cache(maxsize=1024)
def module_annotations(name: str | None) -> Mapping[str, Any]:
    """What a module declares of its names."""
    try:
        return typing.get_type_hints(sys.modules.get(str(name)), include_extras=True)
    except Exception:  # a forward reference that cannot be resolved
        return {}
