"""What the names in a function mean: local, or an object known at compile time."""

from __future__ import annotations

import ast
import builtins
import enum
import types
from collections.abc import Iterator
from typing import Any

from .source import FunctionTree, Source


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN = _Unknown()
"""The object behind an expression is not known at compile time."""

NESTED_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Scope:
    """The names of one function."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.params = parameters(source.tree)
        self.locals = frozenset(self.params) | frozenset(stored_names(source.tree.body))
        self.shadowed = self.locals | comprehension_targets(source.tree) | _lambda_parameters(source.tree)
        """Names never taken for a global: too many, if anything, which is safe."""
        self.globals = source.fn.__globals__
        self.cells = _cells(source.fn)
        self.rebound = source.rebound
        """Module-level names that some function assigns."""

    def lookup(self, name: str) -> Any:
        """The object a non-local name stands for now; UNKNOWN if local or undefined."""
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
            return self.lookup(expression.id)
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


def _lambda_parameters(tree: ast.AST) -> set[str]:
    return {name for node in ast.walk(tree) if isinstance(node, ast.Lambda) for name in parameters(node)}


def parameters(tree: FunctionTree | ast.Lambda) -> tuple[str, ...]:
    """Names of a function's parameters in the order of its signature."""
    args = tree.args
    named = [*args.posonlyargs, *args.args]
    star = [args.vararg] if args.vararg else []
    double = [args.kwarg] if args.kwarg else []
    return tuple(each.arg for each in [*named, *star, *args.kwonlyargs, *double])


def stored_names(statements: list[ast.stmt] | ast.AST) -> Iterator[str]:
    """Names the statements bind in their function: not in nested functions or comprehensions."""
    targets = {
        id(name)
        for node in walk_scope(statements)
        if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target)
    }
    for node in walk_scope(statements):
        stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
        if stored and id(node) not in targets:
            yield node.id  # type: ignore[attr-defined]
        yield from bound_otherwise(node)


def bound_otherwise(node: ast.AST) -> Iterator[str]:
    """Names that this very node binds without a `Name` that is stored."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((each.asname or each.name.partition(".")[0]) for each in node.names)
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def loaded_names(tree: ast.AST | list[ast.stmt]) -> Iterator[str]:
    """Names read anywhere in the tree, nested functions included."""
    roots = tree if isinstance(tree, list) else [tree]
    for root in roots:
        for node in ast.walk(root):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load | ast.Del):
                yield node.id
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                yield node.target.id


def comprehension_targets(tree: ast.AST) -> set[str]:
    """Names bound by comprehensions in the tree: local to them, not to the function."""
    return {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name)
    }


def walk_scope(tree: ast.AST | list[ast.stmt]) -> Iterator[ast.AST]:
    """Like `ast.walk`, in source order, without the insides of nested functions and classes."""
    for root in tree if isinstance(tree, list) else [tree]:
        yield root
        if not isinstance(root, NESTED_SCOPES):
            for child in ast.iter_child_nodes(root):
                yield from walk_scope(child)


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
