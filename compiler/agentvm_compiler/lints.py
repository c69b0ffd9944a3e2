"""Lints: what compiles, and is probably not what was meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .calls import Effect, Tool, llm
from .frontend.callees import effect_call, is_async_call
from .frontend.scope import Scope
from .frontend.tree import COMPREHENSIONS


@dataclass(frozen=True, slots=True)
class Lint:
    """A warning about a place in the source."""

    node: ast.expr | ast.stmt
    what: str
    advice: str


def lints(scope: Scope) -> list[Lint]:
    """What to warn of in a function, in the order of its lines."""
    found = [lint for node in ast.walk(scope.source.tree) for lint in _of(node, scope)]
    return sorted(found, key=lambda each: (each.node.lineno, each.node.col_offset))


def _of(node: ast.AST, scope: Scope) -> Iterator[Lint]:
    match node:
        case ast.Expr(ast.Call() as call) if is_async_call(call, scope):
            name = ast.unparse(call.func)
            yield Lint(call, f"`{name}(...)` is not awaited, so it never runs", f"write `await {name}(...)`")
        case ast.While(ast.Constant(value=test)) if test and not _is_bounded(node):
            asked = next((each for each in ast.walk(node) if _asks(each, scope)), None)
            if asked is not None:
                what = "nothing bounds how often this loop asks the model"
                yield Lint(node, what, "use `for _ in range(N)`, or leave after a number of rounds")
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _writes(node, scope)


def _asks(node: ast.AST, scope: Scope) -> bool:
    return isinstance(node, ast.Call) and scope.resolve(node.func) is llm


def _is_bounded(loop: ast.While) -> bool:
    """Whether the loop is left by a condition on a number: an order, or something it counts itself."""
    inside = [node for each in loop.body for node in ast.walk(each)]
    counted = {
        each.target.id
        for each in inside
        if isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name)
    }
    for test, bodies in _conditions(inside):
        if any(
            isinstance(each, ast.Break | ast.Return | ast.Raise) for part in bodies for each in ast.walk(part)
        ):
            for each in ast.walk(test):
                if isinstance(each, ast.Compare) and any(
                    isinstance(how, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for how in each.ops
                ):
                    return True
                if isinstance(each, ast.Name) and each.id in counted:
                    return True
    return False


def _conditions(inside: list[ast.AST]) -> Iterator[tuple[ast.expr, list[ast.stmt]]]:
    for each in inside:
        if isinstance(each, ast.If):
            yield each.test, [*each.body, *each.orelse]


def _writes(node: ast.AST, scope: Scope) -> Iterator[Lint]:
    assert isinstance(node, COMPREHENSIONS)
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    for each in (inner for part in parts for inner in ast.walk(part)):
        if effect_call(each, scope) and isinstance(each, ast.Call):
            callee = scope.resolve(each.func)
            if isinstance(callee, Tool) and callee.effect is Effect.WRITE:
                yield Lint(
                    each,
                    f"`{callee.name}` is a write tool, so these calls are made one after the other",
                    'use a for loop if that is meant; declare it effect="read" if it changes nothing',
                )
