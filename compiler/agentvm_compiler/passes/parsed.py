"""The code of nodes as syntax trees: parsed once, read by several passes, changed by none."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from agentvm_compiler.ir import Kind, Node
from agentvm_compiler.parsing import statements_of


def statements(node: Node) -> list[ast.stmt]:
    """The code of a node."""
    return statements_of(node.code)


def call_of(node: Node) -> ast.Call | None:
    """The call a call node makes."""
    return call_in(node.code)


def call_in(code: str) -> ast.Call | None:
    """The call that the code consists of."""
    match statements_of(code):
        case [ast.Expr(ast.Call() as call)]:
            return call
    return None


def assigned(node: Node) -> tuple[str, ast.expr] | None:
    """The name and the expression of a node that is nothing but one assignment to a name."""
    if node.kind is not Kind.PYTHON or len(node.results) != 1:
        return None
    match statements_of(node.code):
        case [ast.Assign([ast.Name(name)], value)] | [ast.AnnAssign(ast.Name(name), _, ast.expr() as value)]:
            return name, value
    return None


def options(call: ast.Call) -> Mapping[str, ast.expr] | None:
    """Arguments by keyword; None if there are others, given by `**`."""
    found = {each.arg: each.value for each in call.keywords if each.arg is not None}
    return found if len(found) == len(call.keywords) else None


def prompt_of(call: ast.Call) -> ast.expr | None:
    """The prompt of an `llm` call; None if it has messages, or is not written plainly."""
    named = options(call)
    if named is None or len(call.args) > 1 or any(isinstance(each, ast.Starred) for each in call.args):
        return None
    return call.args[0] if call.args else named.get("prompt")
