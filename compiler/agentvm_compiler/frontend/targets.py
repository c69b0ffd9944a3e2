"""Assignments whose target is evaluated before or after an await: subscripts, attributes, `+=`.

Python evaluates the value of an assignment first and the parts of its target then; of
`x[k] += v` it evaluates `x`, `k` and `x[k]` first, and `v` then.
"""

from __future__ import annotations

import ast
import copy
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from .decide import Unsupported
from .hoist import Hoisting
from .kinds import is_immutable, plain

if TYPE_CHECKING:
    from .block import Block
    from .lower import Lowering

Statement = TypeVar("Statement", bound=ast.stmt)
Marked = TypeVar("Marked", bound=ast.AST)


def targets(statement: ast.stmt) -> list[ast.expr]:
    match statement:
        case ast.Assign():
            return statement.targets
        case ast.AnnAssign():
            return [statement.target]
    return []


def assign_to_awaiting(lowering: Lowering, statement: ast.stmt, block: Block) -> ast.stmt:
    """`x[await k()] = v`: what is left of it when `v` and `k` have been hoisted.

    Raises:
        Unsupported: the target has more parts than one name and one subscript.
    """
    match statement:
        case ast.Assign(targets=[ast.Subscript(value=ast.Name()) as target], value=value):
            hoisting = Hoisting(lowering, block)
            held = hoisting.held(value)
            return replaced(statement, value=held, targets=[_subscript(hoisting, target)])
    raise Unsupported(statement, "the target of the assignment awaits", "await it on a line before")


def augmented(lowering: Lowering, statement: ast.AugAssign, block: Block) -> ast.stmt:
    """`x += await f()`, of a value that cannot change: `before = x` and then `x = before + value`."""
    hoisting = Hoisting(lowering, block)
    target = statement.target
    if not is_immutable(_kind(lowering, statement)):
        what = "the target is read before the await and changed after it"
        raise Unsupported(statement, what, "await into a name first")
    if isinstance(target, ast.Subscript):
        target = _subscript(hoisting, target, held=True)
    loaded = ast.copy_location(_loaded(target), statement)
    if isinstance(target, ast.Subscript) and plain(lowering.analysis.types.of(target.value)) is defaultdict:
        loaded = _marked(loaded, statement)  # it may have to make the item
    before = hoisting.temporary(loaded)
    value = hoisting.of(statement.value)
    total = ast.copy_location(ast.BinOp(before, statement.op, value), statement)
    made = ast.copy_location(ast.Assign([target], total), statement)
    return ast.fix_missing_locations(_marked(made, statement))


def _kind(lowering: Lowering, statement: ast.AugAssign) -> Any:
    """The type of the target before; Any where the target is more than a name and one step from there."""
    types = lowering.analysis.types
    rebinds = lowering.tree.within(statement, ast.NamedExpr)
    match statement.target:
        case ast.Name(name):
            return types.names.get(name, Any)
        case ast.Subscript(ast.Name(), slice=index) if not rebinds and not isinstance(index, ast.Slice):
            return types.of(_loaded(statement.target))
        case ast.Attribute(ast.Name()) if not rebinds:
            return types.of(_loaded(statement.target))
    return Any


def _subscript(hoisting: Hoisting, target: ast.Subscript, *, held: bool = False) -> ast.Subscript:
    """The target without awaits in its subscript.

    Args:
        held: evaluate the subscript here, once.
    """
    made = copy.copy(target)
    assert isinstance(target.value, ast.Name)
    if not hoisting.lowering.is_bound(target.value.id, hoisting.block) or hoisting.marks.mutated_in(
        target.slice
    ):
        raise Unsupported(target, "the target of the assignment may not be bound")
    if hoisting.tree.within(target, ast.NamedExpr):
        raise Unsupported(target, "`:=` in the target of an assignment that awaits", "use a line before")
    made.slice = hoisting.held(target.slice) if held else hoisting.of(target.slice)
    return made


def _loaded(target: ast.expr) -> ast.expr:
    made = copy.copy(target)
    made.ctx = ast.Load()  # type: ignore[attr-defined]
    return made


def replaced(node: Statement, **fields: ast.expr | list[ast.expr] | None) -> Statement:
    """A copy of the statement with other expressions in it."""
    values = {**dict(ast.iter_fields(node)), **fields}
    return _marked(ast.copy_location(type(node)(**values), node), node)


def _marked(made: Marked, like: ast.stmt) -> Marked:
    """The code with the analysis' marks of another."""
    for mark in ("avm_effect", "avm_mutates"):
        if hasattr(like, mark):
            setattr(made, mark, getattr(like, mark))
    return made
