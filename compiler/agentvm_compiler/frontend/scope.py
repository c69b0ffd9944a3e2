"""What the names in a function mean: local, or an object known at compile time."""

from __future__ import annotations

import ast
import builtins
import enum
import types
from collections.abc import Callable
from typing import Any, TypeVar

from .meanwhile import held_while_compiling, is_compiling
from .source import Source
from .tree import FunctionTree, Tree

T = TypeVar("T")


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN = _Unknown()
"""The object behind an expression is not known at compile time."""


class Scope:
    """The names of one function."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree = source.index
        self.params = parameters(source.tree)
        self.locals = frozenset((*self.params, *self.tree.stored(source.tree)))
        self.shadowed = self.locals | _bound_inside(self.tree)
        """Names never taken for a global: too many, if anything, which is safe."""
        self.globals = source.fn.__globals__
        self.cells = {**_cells(source.fn), **source.lifted}
        self.rebound = source.rebound
        """Module-level names that some function assigns."""
        self._made: dict[Callable[[Scope], Any], Any] = {}
        self._found: dict[str, Any] = {}
        """What names stand for, as far as asked: a scope lives no longer than that holds."""

    def once(self, make: Callable[[Scope], T]) -> T:
        """What a function makes of this scope; made when it is asked for first."""
        try:
            made: T = self._made[make]
        except KeyError:
            made = self._made[make] = make(self)
        return made

    def lookup(self, name: str) -> Any:
        """The object a non-local name stands for now; UNKNOWN if local or undefined."""
        try:
            return self._found[name]
        except KeyError:
            found = self._found[name] = self._lookup(name)
            return found

    def _lookup(self, name: str) -> Any:
        if name in self.shadowed:
            return UNKNOWN
        if name in self.rebound:
            return UNKNOWN
        if name in self.cells:
            return self.cells[name]
        if name in self.globals:
            return self.globals[name]
        return getattr(builtins, name, UNKNOWN)

    def resolve(self, expression: ast.expr) -> Any:
        """The object behind a dotted name that starts at a non-local; else UNKNOWN.

        Attributes are followed through modules and classes only, where reading
        one runs no code of the user's.
        """
        if isinstance(expression, ast.Name):
            name = expression.id
            return self._found[name] if name in self._found else self.lookup(name)
        if isinstance(expression, ast.Attribute):
            owner = self.resolve(expression.value)
            if isinstance(owner, types.ModuleType):
                return owner.__dict__.get(expression.attr, UNKNOWN)
            if isinstance(owner, type):
                if isinstance(owner, enum.EnumMeta) and expression.attr in owner.__members__:
                    return owner.__members__[expression.attr]
                found = member_of(owner, expression.attr)
                if owner.__module__ == "builtins" and isinstance(found, types.ClassMethodDescriptorType):
                    return getattr(owner, expression.attr)
                return found.__func__ if isinstance(found, staticmethod) else UNKNOWN
        return UNKNOWN


_scopes: dict[int, Scope] = held_while_compiling()
"""The scopes of functions, by their sources' identities."""


def scope_of(source: Source) -> Scope:
    """The scope of a function; while a program is compiled, the same whoever asks."""
    found = _scopes.get(id(source))
    if found is None:
        found = Scope(source)
        if is_compiling():
            _scopes[id(source)] = found  # and with it the source, so that nothing else has its identity
    return found


def _bound_inside(tree: Tree) -> set[str]:
    """Names that lambdas and comprehensions bind: local to them, not to the function."""
    return {
        *(name for each in tree.every(ast.Lambda) for name in parameters(each)),
        *(name.id for each in tree.every(ast.comprehension) for name in tree.within(each.target, ast.Name)),
    }


def parameters(tree: FunctionTree | ast.Lambda) -> tuple[str, ...]:
    """Names of a function's parameters in the order of its signature."""
    args = tree.args
    named = [*args.posonlyargs, *args.args]
    star = [args.vararg] if args.vararg else []
    double = [args.kwarg] if args.kwarg else []
    return tuple(each.arg for each in [*named, *star, *args.kwonlyargs, *double])


def _cells(fn: types.FunctionType) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            cells[name] = UNKNOWN
    return cells


def member_of(owner: type, name: str) -> Any:
    """What a class has under a name, itself or inherited; no descriptor is run."""
    for each in owner.__mro__:
        if name in each.__dict__:
            return each.__dict__[name]
    return UNKNOWN
