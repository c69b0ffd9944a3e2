"""Which statements may leave the block they stand in."""

from __future__ import annotations

import ast


def may_exit(statement: ast.stmt) -> bool:
    """Whether the statement may leave the block it stands in."""
    return returns([statement]) or breaks([statement])


def returns(statements: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Return) for each in statements for node in ast.walk(each))


def breaks(statements: list[ast.stmt]) -> bool:
    """Whether a break or continue in the statements belongs to a loop around them."""
    for statement in statements:
        if isinstance(statement, ast.Break | ast.Continue):
            return True
        if isinstance(statement, ast.For | ast.While | ast.AsyncFor):
            if breaks(statement.orelse):
                return True
            continue
        bodies = [getattr(statement, field, []) for field in ("body", "orelse", "finalbody")]
        bodies += [each.body for each in getattr(statement, "handlers", [])]
        bodies += [each.body for each in getattr(statement, "cases", [])]
        if any(breaks(body) for body in bodies):
            return True
    return False
