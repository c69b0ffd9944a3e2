"""Which statements may leave the block they stand in."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .tree import statements_in


def may_exit(statement: ast.stmt) -> bool:
    """Whether the statement may leave the block it stands in."""
    return returns([statement]) or breaks([statement])


def returns(statements: Iterable[ast.AST]) -> bool:
    return any(isinstance(each, ast.Return) or returns(statements_in(each)) for each in statements)


def breaks(statements: Iterable[ast.AST]) -> bool:
    """Whether a break or continue in the statements belongs to a loop around them."""
    for each in statements:
        if isinstance(each, ast.Break | ast.Continue):
            return True
        inner = each.orelse if isinstance(each, ast.For | ast.While | ast.AsyncFor) else statements_in(each)
        if breaks(inner):
            return True
    return False
