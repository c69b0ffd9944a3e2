"""Find the syntax tree of a function, at the line numbers of its file."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIBRARIES = tuple(
    {
        str(Path(path).resolve())
        for key in ("stdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(key))
    }
)
_OURS = ("agentvm", "agentvm_compiler", "agentvm_runtime", "agentvm_serving", "builtins")

FunctionTree = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """A function's syntax tree."""

    fn: types.FunctionType
    tree: FunctionTree
    file: str
    lines: tuple[str, ...]
    """The function's own source lines, for messages; the first is line `first_line`."""
    first_line: int

    def quote(self, line: int, column: int, end_column: int | None = None) -> str:
        """The source line with a caret under the place."""
        index = line - self.first_line
        if not 0 <= index < len(self.lines):
            return ""
        text = self.lines[index].rstrip("\n")
        width = max(1, (end_column or column + 1) - column)
        return f"{text}\n{' ' * column}{'^' * width}"


def source_of(fn: Callable[..., Any]) -> Source | None:
    """The source of a plain Python function; None where there is none to be had."""
    if not isinstance(fn, types.FunctionType):
        return None
    return _source_of(fn)


@functools.lru_cache(maxsize=4096)
def _source_of(fn: types.FunctionType) -> Source | None:
    try:
        lines, first = inspect.getsourcelines(fn.__code__)  # of the function itself, not of what it wraps
    except (OSError, TypeError):
        return None
    text = "".join(lines)
    dedented = textwrap.dedent(text)
    indent = len(lines[0]) - len(lines[0].lstrip()) if dedented != text else 0
    try:
        module = ast.parse(dedented)
    except SyntaxError:  # a lambda in the middle of an expression, say
        return None
    for statement in module.body:
        if isinstance(statement, FunctionTree) and statement.name == fn.__code__.co_name:
            ast.increment_lineno(statement, first - 1)
            if indent:
                _shift(statement, indent)
            return Source(fn, statement, fn.__code__.co_filename, tuple(lines), first)
    return None


def _shift(tree: ast.AST, columns: int) -> None:
    for node in ast.walk(tree):
        if hasattr(node, "col_offset"):
            node.col_offset += columns
        if getattr(node, "end_col_offset", None) is not None:
            node.end_col_offset += columns  # type: ignore[attr-defined]


def is_users(value: Any) -> bool:
    """Whether a function, class or module is of the user's project, not of a library."""
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    if not isinstance(module, str) or module.partition(".")[0] in _OURS:
        return False
    file = getattr(value, "__file__", None) or getattr(sys.modules.get(module), "__file__", None)
    if isinstance(value, types.FunctionType):
        file = value.__code__.co_filename
    return bool(file) and not _in_library(str(file))


@functools.lru_cache(maxsize=4096)
def _in_library(file: str) -> bool:
    return str(Path(file).resolve()).startswith(_LIBRARIES)
