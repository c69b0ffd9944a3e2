"""Gates: semaphores and locks, which let so many at a time through an `async with`."""

from __future__ import annotations

import ast
import asyncio
from typing import Any

from .infer import Types

GATES = (asyncio.Semaphore, asyncio.BoundedSemaphore, asyncio.Lock)


def is_gate(kind: Any) -> bool:
    return any(kind is each for each in GATES)


def gates_of(statement: ast.AST, types: Types) -> list[ast.Name]:
    """The gates of an `async with` over named gates alone; none if it is anything else."""
    if not isinstance(statement, ast.AsyncWith):
        return []
    named = [
        item.context_expr
        for item in statement.items
        if item.optional_vars is None
        and isinstance(item.context_expr, ast.Name)
        and is_gate(types.of(item.context_expr))
    ]
    return named if len(named) == len(statement.items) else []
