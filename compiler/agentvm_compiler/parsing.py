"""Parsing Python, whatever else happens in the process meanwhile."""

from __future__ import annotations

import ast
from typing import Any, Literal, overload

TRIES = 3


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
