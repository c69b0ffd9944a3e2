"""Find the syntax tree of a function, at the line numbers of its file."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from agentvm_compiler.parsing import parse

from .meanwhile import held_while_compiling, is_compiling
from .tree import FunctionTree, Tree, statements_in

_LIBRARIES = tuple(
    {
        str(Path(path).resolve())
        for key in ("stdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(key))
    }
)
_OURS = ("agentvm", "agentvm_compiler", "agentvm_runtime", "agentvm_serving", "builtins")


@dataclass(frozen=True)
class Source:
    """A function's syntax tree."""

    fn: types.FunctionType
    tree: FunctionTree
    """Its own: what is found out about the function is marked on it."""
    file: str
    lines: tuple[str, ...]
    """The function's own source lines, for messages; the first is line `first_line`."""
    first_line: int
    rebound: frozenset[str]
    """Names that a `global` or `nonlocal` statement anywhere in the file makes assignable."""
    deleted: frozenset[str]
    """Names of attributes that are deleted anywhere in the file."""
    lifted: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Functions that were defined inside this one, or stand for parts of it (see `lifted`, `groups`)."""

    @functools.cached_property
    def index(self) -> Tree:
        return Tree(self.tree)

    def quote(self, line: int, column: int, end_column: int | None = None) -> str:
        """The source line with a caret under the place."""
        index = line - self.first_line
        if not 0 <= index < len(self.lines):
            return ""
        text = self.lines[index].rstrip("\n")
        width = max(1, (end_column or column + 1) - column)
        return f"{text}\n{' ' * column}{'^' * width}"


class File:
    """What a source file defines; the file is parsed once for all of it."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.ends: dict[tuple[str, int], int] = {}
        """The last line of each function, by its name and its first line."""
        self.trees: dict[tuple[str, int], FunctionTree] = {}
        """Functions that are not inside another, each until it is taken to be marked."""
        self.classes: dict[str, ast.ClassDef] = {}
        """By qualified name, of several the first."""
        self.rebound: set[str] = set()
        self.deleted: set[str] = set()
        self._note(parse("".join(lines)), "")

    def taken(self, name: str, first: int) -> FunctionTree:
        """A tree of its own for the function that begins in this line."""
        tree = self.trees.pop((name, first), None)
        return tree or _parsed(self.lines[first - 1 : self.ends[name, first]], first)

    def _note(self, node: ast.AST, prefix: str) -> None:
        for each in statements_in(node):
            inner = prefix
            if isinstance(each, FunctionTree):
                first = min(part.lineno for part in (each, *each.decorator_list))
                self.ends[each.name, first] = each.end_lineno or first
                if "<locals>" not in prefix:
                    self.trees[each.name, first] = each
                inner = f"{prefix}{each.name}.<locals>."
            elif isinstance(each, ast.ClassDef):
                self.classes.setdefault(f"{prefix}{each.name}", each)
                inner = f"{prefix}{each.name}."
            elif isinstance(each, ast.Global | ast.Nonlocal):
                self.rebound.update(each.names)
            elif isinstance(each, ast.Delete):
                self.deleted.update(part.attr for part in ast.walk(each) if isinstance(part, ast.Attribute))
            self._note(each, inner)


_files: dict[str, File] = {}
_found: dict[str, File] = held_while_compiling()
"""Those that have been looked up since compiling began: they are not read again for each function."""


def file_of(name: str, thing: types.CodeType | types.FunctionType | types.ModuleType) -> File:
    """The file of this name, in which the code, function or module is.

    Raises:
        OSError: it is not to be had.
        SyntaxError: it is not Python any more.
    """
    found = _found.get(name)
    if found is not None:
        return found
    lines, _ = inspect.findsource(thing)
    known = _files.get(name)
    if known is None or known.lines != lines:
        known = _files[name] = File(lines)
    if is_compiling():
        _found[name] = known
    return known


def source_of(fn: Callable[..., Any]) -> Source | None:
    """The source of a plain Python function; None where there is none to be had."""
    if not isinstance(fn, types.FunctionType):
        return None
    return _given.get(fn) or _source_of(fn)


def give_source(fn: types.FunctionType, source: Source) -> None:
    """Say what the source is of a function that no file holds as it is."""
    _given[fn] = source


def is_given(fn: Any) -> bool:
    """Whether this is such a function."""
    return isinstance(fn, types.FunctionType) and fn in _given


_given: WeakKeyDictionary[types.FunctionType, Source] = WeakKeyDictionary()


@functools.lru_cache(maxsize=4096)
def _source_of(fn: types.FunctionType) -> Source | None:
    code = fn.__code__  # of the function itself, not of what it wraps
    first = code.co_firstlineno
    try:
        # The module of a function is known; that of code is looked for among all that are loaded.
        own = fn.__module__ == fn.__globals__.get("__name__")
        file = file_of(code.co_filename, fn if own else code)
    except (OSError, TypeError, SyntaxError):
        return None
    end = file.ends.get((code.co_name, first))
    if end is None:  # a lambda, or the file has changed
        return None
    lines = tuple(file.lines[first - 1 : end])
    tree = file.taken(code.co_name, first)
    return Source(fn, tree, code.co_filename, lines, first, frozenset(file.rebound), frozenset(file.deleted))


def _parsed(lines: list[str], first: int) -> FunctionTree:
    """The function in these lines, at its own line numbers and columns."""
    indented = lines[0][:1].isspace()
    above = "\n" * (first - 2) + "if 1:\n" if indented else "\n" * (first - 1)
    statement = parse(above + "".join(lines)).body[0]
    tree = statement.body[0] if isinstance(statement, ast.If) else statement
    assert isinstance(tree, FunctionTree)
    return tree


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
