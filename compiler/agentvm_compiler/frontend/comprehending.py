"""Lowering of comprehensions that await: a map whose elements run side by side.

Where leaving out and evaluating items beforehand cannot be told from doing so one by
one, the items are what is left after all filters. Elsewhere a filter, and a comprehension
within, stand in the map's body, which then gives a list for each item: none or some.
"""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

from agentvm_compiler.calls import Effect
from agentvm_compiler.parsing import parse

from . import control
from .callees import effect_calls, suspends
from .certain import Certainty
from .decide import Unsupported
from .kinds import is_immutable

if TYPE_CHECKING:
    from .hoist import Hoisting

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp


def comprehension(hoisting: Hoisting, node: Comprehension, into: str | None = None) -> ast.expr:
    """Add nodes for a comprehension that awaits; return what its value is then.

    Args:
        into: a name for the value of a list comprehension.
    """
    first = node.generators[0]
    if not _suspends_within(hoisting, node):
        made = copy.copy(node)
        made.generators = [copy.copy(first), *node.generators[1:]]
        made.generators[0].iter = hoisting.of(first.iter)
        return made
    _check(hoisting, node)
    lowering, block = hoisting.lowering, hoisting.block
    if _filters_first(hoisting, node):
        items, target = hoisting.temporary(_left(node, hoisting.of(first.iter))).id, _targets(node)
        element, flat = _element(node), False
    else:
        items, target = _items(hoisting, first), first.target
        element, flat = _within(node, node.generators)
    name = into if into and isinstance(node, ast.ListComp) and not flat else lowering.temporary()
    lowering.map(items, target, element, name, block, node)
    value = _collected(node, name, flat)
    if into is None or name == into:
        return value
    lowering.assign(into, value, block)
    return ast.copy_location(ast.Name(into, ast.Load()), node)


def _suspends_within(hoisting: Hoisting, node: Comprehension) -> bool:
    """Whether more than what it goes over awaits."""
    first, *others = node.generators
    parts = [*_parts(node), *first.ifs, *others]
    return bool(first.is_async) or any(suspends(each, hoisting.scope) for each in parts)


def _parts(node: Comprehension) -> list[ast.expr]:
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]


def _check(hoisting: Hoisting, node: Comprehension) -> None:
    first = node.generators[0]
    if any(each.is_async for each in node.generators):
        raise Unsupported(node, "`async for` is not compiled yet")
    if hoisting.marks.mutated_in(first.iter) and not hoisting.lowering.is_read_once(first.iter):
        raise Unsupported(node, "the comprehension uses up an iterator that has a name", "use a list")
    if not _may_be_listed(hoisting, node):
        what = "what it goes over may do something for each item"
        raise Unsupported(first.iter, what, "make it a list first")
    if getattr(node, "avm_read_over", False):
        raise Unsupported(node, "the comprehension changes what it goes over", "go over a copy")
    _, *others = node.generators
    inside = [*_parts(node), *first.ifs, *(part for each in others for part in (each.iter, *each.ifs))]
    targets = {name for each in node.generators for name in names_in(each.target)}
    for name in sorted({name for each in inside for name in hoisting.tree.loaded(each)} - targets):
        if name in hoisting.scope.locals and not hoisting.lowering.is_bound(name, hoisting.block):
            # In a comprehension that is a NameError of another kind than in the function.
            raise Unsupported(node, f"`{name}` may have no value in the comprehension")
    if _reads_early(hoisting, node):
        raise Unsupported(node, "the comprehension reads a name before it has a value there")
    if hoisting.tree.within(node, ast.NamedExpr):
        what = "`:=` in a comprehension that awaits is not compiled yet"
        raise Unsupported(node, what, "use a for loop")
    if isinstance(node, ast.ListComp) or not writes(hoisting, node):
        return
    key = node.key if isinstance(node, ast.DictComp) else node.elt
    if not is_immutable(hoisting.lowering.analysis.types.of(key)):
        what = "comparing the keys may stop the writes half-way"
        raise Unsupported(node, what, "use a for loop, or annotate what the key is")


def _reads_early(hoisting: Hoisting, node: Comprehension) -> bool:
    """Whether a target is read before it is bound: it is local to all but the first source."""
    bound: set[str] = set()
    every = {name for each in node.generators for name in names_in(each.target)}
    for number, each in enumerate(node.generators):
        if number and set(hoisting.tree.loaded(each.iter)) & every - bound:
            return True
        bound |= names_in(each.target)
        if any(set(hoisting.tree.loaded(part)) & every - bound for part in each.ifs):
            return True
    return False


def names_in(target: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}


def _may_be_listed(hoisting: Hoisting, node: Comprehension) -> bool:
    """Whether taking all items before the first element makes no difference."""
    source = node.generators[0].iter
    effect = hoisting.marks.effect_of(source)
    if effect is Effect.PURE or control.is_listed(hoisting.lowering, source):
        return True
    return (
        effect is Effect.READ and hoisting.marks.effect_of(node) is Effect.READ and not writes(hoisting, node)
    )


def writes(hoisting: Hoisting, node: ast.AST) -> bool:
    """Whether a call in the tree may write."""
    calls = effect_calls(node, hoisting.scope)
    return any(hoisting.lowering.effect_of_call(each) is Effect.WRITE for each in calls)


def _filters_first(hoisting: Hoisting, node: Comprehension) -> bool:
    """Whether all filters and further sources may be evaluated before the first element."""
    first, *others = node.generators
    later = [*first.ifs, *(part for each in others for part in (each.iter, *each.ifs))]
    if not later or any(suspends(each, hoisting.scope) for each in later):
        return False
    certain = certainty(hoisting, node)
    return all(
        hoisting.marks.effect_of(each) is Effect.PURE
        and not hoisting.marks.mutated_in(each)
        and certain.of(each)
        for each in later
    ) and all(
        isinstance(each.target, ast.Name) and control.is_listed(hoisting.lowering, each.iter)
        for each in node.generators
    )


def certainty(hoisting: Hoisting, node: ast.AST) -> Certainty:
    """What certainly evaluates within the tree, where the targets of its comprehensions are bound."""
    lowering = hoisting.lowering
    generators = hoisting.tree.within(node, ast.comprehension)
    bound = {each.id for part in generators for each in hoisting.tree.within(part.target, ast.Name)}
    return Certainty(
        lowering.analysis.types, lambda name: name in bound or lowering.is_bound(name, hoisting.block)
    )


def _left(node: Comprehension, source: ast.expr) -> ast.expr:
    """The list of what the targets take when all filters have been applied."""
    generators = [copy.copy(each) for each in node.generators]
    generators[0].iter = source
    target = _targets(node)
    loaded: ast.expr = ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name) else _loaded(target)
    return ast.fix_missing_locations(ast.copy_location(ast.ListComp(loaded, generators), node))


def _targets(node: Comprehension) -> ast.expr:
    """The targets of all generators as one."""
    targets = [each.target for each in node.generators]
    return targets[0] if len(targets) == 1 else ast.Tuple(targets, ast.Store())


def _loaded(target: ast.expr) -> ast.expr:
    assert isinstance(target, ast.Tuple)
    names = [each.id for each in target.elts if isinstance(each, ast.Name)]
    return ast.Tuple([ast.Name(each, ast.Load()) for each in names], ast.Load())


def _items(hoisting: Hoisting, first: ast.comprehension) -> str:
    """The name of what the map goes over."""
    source = hoisting.of(first.iter)
    if isinstance(source, ast.Name) and hoisting.lowering.is_bound(source.id, hoisting.block):
        return source.id
    if not control.is_listed(hoisting.lowering, first.iter):
        return hoisting.temporary(
            source
        ).id  # the map takes the items: one that fails comes after those before
    listed = ast.List([ast.Starred(source, ast.Load())], ast.Load())
    return hoisting.temporary(ast.copy_location(listed, first.iter)).id


def _element(node: Comprehension) -> ast.expr:
    """What the map gives for one element: a set or dict of one, so that it is hashed in its turn."""
    match node:
        case ast.DictComp():
            made: ast.expr = ast.Dict([node.key], [node.value])
        case ast.SetComp():
            made = ast.Set([node.elt])
        case _:
            return node.elt
    return ast.copy_location(made, _parts(node)[0])


def _within(node: Comprehension, generators: list[ast.comprehension]) -> tuple[ast.expr, bool]:
    """What the map over the first generator gives for one item, and whether that is a list of elements."""
    first, *others = generators
    if not first.ifs and not others:
        return _element(node), False
    made: ast.expr = ast.List([_element(node)], ast.Load())
    if others:
        inner, flat = _within(node, others)
        source = copy.copy(others[0])
        source.ifs = []
        made = ast.ListComp(inner, [source])
        if flat:
            made = _flattened(made)
    if first.ifs:
        test = first.ifs[0] if len(first.ifs) == 1 else ast.BoolOp(ast.And(), first.ifs)
        made = ast.IfExp(ast.copy_location(test, first.ifs[0]), made, ast.List([], ast.Load()))
    return ast.fix_missing_locations(ast.copy_location(made, node)), True


def _flattened(lists: ast.expr) -> ast.expr:
    part, each = ast.Name("_part", ast.Store()), ast.Name("_each", ast.Store())
    generators = [ast.comprehension(part, lists, [], 0)]
    generators.append(ast.comprehension(each, ast.Name("_part", ast.Load()), [], 0))
    return ast.ListComp(ast.Name("_each", ast.Load()), generators)


def _collected(node: Comprehension, name: str, flat: bool) -> ast.expr:
    """The comprehension's value, from what the map gave under the name."""
    each = f"for _part in {name} for _each in _part" if flat else f"for _each in {name}"
    match node:
        case ast.DictComp():
            code = f"{{_key: _value {each} for _key, _value in _each.items()}}"
        case ast.SetComp():
            code = f"{{_element {each} for _element in _each}}"
        case _ if not flat:
            return ast.copy_location(ast.Name(name, ast.Load()), node)
        case _:
            code = f"[_each {each}]"
    return ast.copy_location(parse(code, mode="eval").body, node)
