"""Which calls in the source are of tools, agents or the model, and where code awaits."""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import types
from typing import Any

from agentvm_compiler.calls import Agent, Tool, llm
from agentvm_compiler.grouped import grouped

from .choosing import choices
from .scope import UNKNOWN, Scope
from .source import is_users, source_of
from .tree import Facts


def agent_of(callee: Any) -> Agent | None:
    """The agent behind what is called: itself, or the user's own coroutine function taken as one."""
    if isinstance(callee, Agent):
        return callee
    return _helper(callee) if isinstance(callee, types.FunctionType) else None


def effect_callee(callee: Any) -> Tool | Agent | None:
    """The tool or agent behind what is called; None for the model."""
    return callee if isinstance(callee, Tool) else agent_of(callee)


@functools.lru_cache(maxsize=4096)
def _helper(fn: types.FunctionType) -> Agent | None:
    plainly = inspect.iscoroutinefunction(fn) and not hasattr(fn, "__wrapped__")
    if not plainly or not is_users(fn) or source_of(fn) is None:
        return None
    return Agent(fn, name=fn.__name__)


def effect_call(node: ast.AST, scope: Scope) -> bool:
    """Whether this calls a tool, an agent or the model by a name known at compile time."""
    if not isinstance(node, ast.Call):
        return False
    callee = scope.resolve(node.func)
    if callee is UNKNOWN:
        return bool(choices(node, scope))
    return callee is llm or isinstance(callee, Tool) or agent_of(callee) is not None


def is_async_call(node: ast.AST, scope: Scope) -> bool:
    """Whether this call gives a coroutine of ours: of the model, an agent or an async tool."""
    if not isinstance(node, ast.Call):
        return False
    callee = scope.resolve(node.func)
    if isinstance(callee, Tool):
        return callee.is_async
    if callee is UNKNOWN:
        return bool(choices(node, scope))
    return callee is llm or agent_of(callee) is not None


def is_gather(node: ast.AST, scope: Scope) -> bool:
    """Whether this gathers coroutines, as `asyncio.gather` does or as a task group."""
    return isinstance(node, ast.Call) and scope.resolve(node.func) in (asyncio.gather, grouped)


def suspends(tree: ast.AST, scope: Scope) -> bool:
    """Whether running the tree may leave plain Python: an await, or a call of a tool."""
    return scope.once(suspending).some(tree)


def suspending(scope: Scope) -> Facts[ast.AST]:
    """Where the code leaves plain Python: awaits, and calls of tools, agents and the model."""

    def own(node: ast.AST) -> tuple[ast.AST, ...]:
        return (node,) if _suspends(node, scope) else ()

    numbered: Any = scope.tree.numbered(*_SUSPENDING)
    return Facts(scope.tree, [pair for pair in numbered if _suspends(pair[1], scope)], own)


_SUSPENDING = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.comprehension, ast.Call)


def _suspends(node: ast.AST, scope: Scope) -> bool:
    """Whether this very node does."""
    if isinstance(node, ast.Call):
        return effect_call(node, scope)
    if isinstance(node, ast.comprehension):
        return bool(node.is_async)
    return isinstance(node, _SUSPENDING)


def effect_calls(tree: ast.AST, scope: Scope) -> list[ast.Call]:
    """The calls of tools, agents and the model in the tree."""
    return [each for each in scope.once(suspending).within(tree) if isinstance(each, ast.Call)]


def written_method(cls: Any, name: str) -> types.FunctionType | None:
    """The method a call on an instance declared as `cls` certainly reaches; None if that cannot be told."""
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False):
        return None
    found = next((each.__dict__[name] for each in cls.__mro__ if name in each.__dict__), None)
    if not isinstance(found, types.FunctionType) or any(name in each.__dict__ for each in subclasses(cls)):
        return None
    return found


def subclasses(cls: type) -> list[type]:
    try:
        direct: list[type] = cls.__subclasses__()
    except TypeError:  # `type` itself
        return []
    return [*direct, *(each for sub in direct for each in subclasses(sub))]
