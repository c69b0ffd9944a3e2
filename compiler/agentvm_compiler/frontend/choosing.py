"""Calls of what is chosen as the program runs: `await TOOLS[name](...)`, or through a variable.

What may be called is known if it is chosen from names, from a table of the module, or
from a variable that is only ever bound to such. Which it is, is found out at run time.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Agent, Tool

from .source import is_users, source_of
from .tree import bound_by

if TYPE_CHECKING:
    from .scope import Scope


def choices(call: ast.Call, scope: Scope) -> tuple[Any, ...]:
    """What the call may be of: tools, agents and coroutine functions; nothing if that is not known."""
    if isinstance(call.func, ast.Attribute) or scope.resolve(call.func):
        return ()
    found = _options(call.func, scope, frozenset())
    return tuple(dict.fromkeys(found)) if found and all(map(_is_awaited, found)) else ()


def _is_awaited(callee: Any) -> bool:
    if isinstance(callee, Tool):
        return callee.is_async
    return isinstance(callee, Agent) or (
        isinstance(callee, types.FunctionType)
        and inspect.iscoroutinefunction(callee)
        and not hasattr(callee, "__wrapped__")
        and is_users(callee)
        and source_of(callee) is not None
    )


def _options(chosen: ast.expr, scope: Scope, seen: frozenset[str]) -> list[Any] | None:
    """All that an expression may give; None if that is not known. Of None itself nothing can be called."""
    match chosen:
        case ast.Constant(value=None):
            return []
        case ast.Name(id=name) if name in scope.shadowed:
            return None if name in seen else _bound(name, scope, seen | {name})
        case ast.Name() | ast.Attribute():
            found = scope.resolve(chosen)
            return [found] if _is_awaited(found) else None
        case ast.IfExp(body=body, orelse=orelse):
            return _all((body, orelse), scope, seen)
        case ast.BoolOp(values=values):
            return _all(values, scope, seen)
        case ast.Subscript(value=table):
            return _entries(table, scope)
        case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, *default], keywords=[]):
            entries, others = _entries(table, scope), _all(default, scope, seen)
            return None if entries is None or others is None else [*entries, *others]
    return None


def _all(parts: Iterable[ast.expr], scope: Scope, seen: frozenset[str]) -> list[Any] | None:
    found = [_options(each, scope, seen) for each in parts]
    known = [each for each in found if each is not None]
    return [option for each in known for option in each] if len(known) == len(found) else None


def _entries(table: ast.expr, scope: Scope) -> list[Any] | None:
    """The values of a table of the module."""
    found = scope.resolve(table)
    if type(found) is dict:
        return list(found.values())
    return list(found) if type(found) in (list, tuple) else None


def _bound(name: str, scope: Scope, seen: frozenset[str]) -> list[Any] | None:
    """What a local name may be bound to, if that is by plain assignments only."""
    tree = scope.tree
    binding = [each for _, each in tree.binding if name in bound_by(each)]
    if name in scope.params or not all(isinstance(each, ast.Name) for each in binding):
        return None
    if any(each.arg == name for each in tree.every(ast.arg)):
        return None
    values = [
        each.value
        for each in tree.every(ast.Assign)
        if len(each.targets) == 1 and isinstance(each.targets[0], ast.Name) and each.targets[0].id == name
    ]
    return _all(values, scope, seen) if len(values) == len(binding) else None
