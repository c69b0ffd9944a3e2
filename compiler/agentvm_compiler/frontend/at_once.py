"""Loops that only put away what they make of each item put all of it away at once.

`for hit in hits: notes.append(clean(hit))` without awaits, in another loop, is `notes.extend([clean(hit)
for hit in hits])`, of which the list can be set apart (`apart`). A generator is listed, too.
Only where nobody can tell: nothing that is made reads what is gathered, nobody sees a part of it if
the next item fails, and the names of items are read nowhere but in loops over them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .apart import Apart, Left, is_repeated
from .kinds import certainly, is_immutable
from .opaque import is_opaque
from .targets import replaced
from .tree import Tree, copied, walk

if TYPE_CHECKING:
    from .block import Block
    from .lower import Lowering

_AT_ONCE = {"append": "extend", "add": "update"}
"""What puts several items where another method puts one."""


def at_once(lowering: Lowering, statement: ast.stmt, block: Block) -> ast.stmt:
    """The statement that puts all away at once, if it gathers in a loop one by one; else itself."""
    if not isinstance(statement, ast.For | ast.Expr) or not is_repeated(lowering, statement):
        return statement
    try:
        made = _made(lowering, statement, block)
    except Left:
        return statement
    return statement if made is None else ast.fix_missing_locations(made)


def _made(lowering: Lowering, statement: ast.stmt, block: Block) -> ast.stmt | None:
    match statement:
        case ast.For(target, items, [ast.If(test, [ast.Expr() as inner], [])], []):
            return _gathered(lowering, statement, inner, target, items, [test], block)
        case ast.For(target, items, [ast.Expr() as inner], []):
            return _gathered(lowering, statement, inner, target, items, [], block)
        case ast.Expr(ast.Call(ast.Attribute(owner, "extend" | "update"), [ast.GeneratorExp() as value], [])):
            starred = ast.copy_location(ast.Starred(value, ast.Load()), value)
            listed = ast.copy_location(ast.List([starred], ast.Load()), value)
            return _put(
                Apart(lowering, block, statement, statement, dry=True), statement, owner, value, listed
            )
    return None


def _gathered(
    lowering: Lowering,
    statement: ast.For,
    inner: ast.Expr,
    target: ast.expr,
    items: ast.expr,
    tests: Sequence[ast.expr],
    block: Block,
) -> ast.stmt | None:
    """A loop that puts something away for each item, or for some."""
    match inner.value:
        case ast.Call(ast.Attribute(owner, name), [value], []) if name in _AT_ONCE:
            pass
        case _:
            return None
    names = set(lowering.tree.stored(target))
    if any(_is_read_after(lowering, each, statement) for each in names) or not _are_names(target):
        return None
    changed = {*lowering.pieces.of(statement).mutated, *lowering.pieces.of(owner).loaded}
    if getattr(statement, "avm_read_over", False) or not names.isdisjoint(changed):
        return None
    comprehension = ast.comprehension(target, items, list(tests), 0)
    listed = ast.copy_location(ast.ListComp(value, [comprehension]), statement)
    apart = Apart(lowering, block, inner, statement, dry=True)
    if not apart.certainty.of(owner):
        return None  # getting at it makes something, if there is any item
    return _put(apart, inner, owner, listed, listed)


def _put(
    apart: Apart,
    statement: ast.Expr,
    owner: ast.expr,
    made_by: ast.ListComp | ast.GeneratorExp,
    listed: ast.expr,
) -> ast.stmt | None:
    """The statement that puts a list away, if that cannot be told from putting its items away one by one.

    Args:
        made_by: what gives the items.
        listed: the list of them.
    """
    call = statement.value
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    cls = certainly(apart.types.of(owner))
    if cls not in (list, set) or not hasattr(cls, call.func.attr) or not apart.is_container(owner):
        return None
    if cls is set and not is_immutable(apart.types.of(made_by.elt)):
        return None  # one that has no hash ends the loop
    if not any(is_opaque(each, apart.lowering) for part in _evaluated(made_by) for each in walk(part)):
        return None  # the runtime knows such a loop
    if not apart.is_unseen() or apart.reads(listed):
        return None
    apart.check(listed)
    made, callee = copied(call), copied(call.func)
    callee.attr = _AT_ONCE.get(callee.attr, callee.attr)
    made.func, made.args = callee, [listed]
    return replaced(statement, value=made)


def _is_read_after(lowering: Lowering, name: str, statement: ast.For) -> bool:
    """Whether a name is read anywhere but in the bodies of loops that set it for each item.

    A loop around this one is none of them: it has the name as this one left it.
    """
    tree = lowering.tree
    start, end = tree.span(statement)
    bodies: list[ast.AST] = []
    for loop in tree.every(ast.For):
        first, last = tree.span(loop)
        if name in tree.stored(loop.target) and (loop is statement or not first < start < end <= last):
            bodies += loop.body
    for each in _lists(tree):
        [generator, *others] = each.generators
        if not others and any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(generator.target)):
            bodies += [each.elt, *generator.ifs]
    spans = [tree.span(each) for each in bodies]
    reads = [number for number, (_, found) in tree.reads.numbered() if found == name]
    return not all(any(first <= number < last for first, last in spans) for number in reads)


def _evaluated(made_by: ast.ListComp | ast.GeneratorExp) -> list[ast.expr]:
    return [made_by.elt, *(part for each in made_by.generators for part in (each.iter, *each.ifs))]


def _lists(tree: Tree) -> list[ast.ListComp | ast.SetComp | ast.GeneratorExp]:
    return [*tree.every(ast.ListComp), *tree.every(ast.SetComp), *tree.every(ast.GeneratorExp)]


def _are_names(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple):
        return all(isinstance(each, ast.Name) for each in target.elts)
    return isinstance(target, ast.Name)
