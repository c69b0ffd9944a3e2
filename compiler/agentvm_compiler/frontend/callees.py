"""Which calls in the source are of tools, agents or the model, and where code awaits."""

from __future__ import annotations

import ast
import asyncio

from agentvm_compiler.calls import Agent, Tool, llm

from .scope import Scope


def effect_call(node: ast.AST, scope: Scope) -> bool:
    """Whether this calls a tool, an agent or the model by a name known at compile time."""
    if not isinstance(node, ast.Call):
        return False
    callee = scope.resolve(node.func)
    return callee is llm or isinstance(callee, Tool | Agent)


def is_async_call(node: ast.AST, scope: Scope) -> bool:
    """Whether this call gives a coroutine of ours: of the model, an agent or an async tool."""
    if not isinstance(node, ast.Call):
        return False
    callee = scope.resolve(node.func)
    return callee is llm or isinstance(callee, Agent) or (isinstance(callee, Tool) and callee.is_async)


def is_gather(node: ast.AST, scope: Scope) -> bool:
    return isinstance(node, ast.Call) and scope.resolve(node.func) is asyncio.gather


def suspends(tree: ast.AST, scope: Scope) -> bool:
    """Whether running the tree may leave plain Python: an await, or a call of a tool."""
    return any(
        isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.comprehension) and node.is_async)
        or effect_call(node, scope)
        for node in ast.walk(tree)
    )
