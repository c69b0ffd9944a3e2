"""Parsing Python, whatever else happens in the process meanwhile."""

from __future__ import annotations

import ast
from typing import Any, Literal, overload

TRIES = 3
MOST_KNOWN = 4096
"""Codes whose trees are kept: those of the nodes of a large program."""

_known: dict[str, list[ast.stmt]] = {}


@overload
def parse(code: str, mode: Literal["exec"] = "exec") -> ast.Module: ...


@overload
def parse(code: str, mode: Literal["eval"]) -> ast.Expression: ...


def parse(code: str, mode: Literal["exec", "eval"] = "exec") -> Any:
    """The syntax tree of the code.

    While `ast.parse` makes the tree of a program the garbage collector may log the traceback of
    a task that nobody awaited; to show it Python parses, too, and CPython 3.11 then takes the
    outer tree for damaged (python/cpython#106905). Parsed again it is whole.
    """
    for _ in range(TRIES - 1):
        try:
            return ast.parse(code, mode=mode)
        except SystemError:
            continue
    return ast.parse(code, mode=mode)


def statements_of(code: str) -> list[ast.stmt]:
    """The statements of the code, which nobody may change: whoever asks is given the same."""
    found = _known.get(code)
    if found is None:
        found = parse(code).body
        remember(code, found)
    return found


def remember(code: str, statements: list[ast.stmt]) -> None:
    """Say what the code is as a tree, so that it need not be parsed: that takes longer than a pass."""
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[code] = statements
