"""Families: names that are changed together, because they may share what is changed.

The value of each name is a version, and a node that changes one gets copies. If
`rows` holds what `row` names, `row.append(x)` must change both; so the node is
given both, copied at once (what they share, the copies share), and defines new
versions of both. A mutation's *family* is all the names this must be done for:
those that see the change, and those that share anything else with one of them,
from which the copies would otherwise part.

*Invariant*: the values of the names that are still read share in the graph what
they share in Python. It cannot be kept where a value is not copied but passed
through (an iterator, a bound method, an object of a class of which nothing is
known), nor across calls, whose results are values; if what is shared there may be
changed, the mutation is a *conflict*, and the function is traced.
"""

from __future__ import annotations

import ast
import collections
import functools
import types
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Union, get_args, get_origin

from agentvm_compiler.calls import Effect

from .callees import effect_call
from .implicit import is_its_own_equal
from .kinds import is_immutable, plain
from .objects import Obj, mark_effect
from .records import has_fields
from .visible import Visibility

if TYPE_CHECKING:
    from .alias import Analysis, Mutation

_COPIED: frozenset[Any] = frozenset(
    [
        *(list, dict, set, frozenset, tuple, bytearray, types.NoneType),
        *(collections.Counter, collections.deque, collections.OrderedDict, collections.defaultdict),
    ]
)


class Held(NamedTuple):
    """What the machine holds, under no name, while some code runs: an exception on its way, a result."""

    value: Obj
    body: tuple[int, int]
    """The positions of that code."""
    what: str


def is_copied(kind: Any) -> bool:
    """Whether a node that changes a value of the type gets a copy, down to what is inside."""
    if get_origin(kind) in (Union, types.UnionType):
        return all(is_copied(each) for each in get_args(kind))
    cls = plain(kind)
    if is_immutable(kind) or has_fields(cls):
        return True
    return isinstance(cls, type) and (
        cls in _COPIED
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or (issubclass(cls, dict) and hasattr(cls, "__required_keys__"))
    )


class Families:
    """The families of one function's mutations; leaves their names on the syntax tree."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._parts = {name: analysis.reach(held) for name, held in analysis.objects.items()}
        """What can be reached from each name."""
        self._reached_from: dict[Obj, list[str]] = {}
        for name, found in self._parts.items():
            for each in found:
                self._reached_from.setdefault(each, []).append(name)
        self._groups = self._grouped(self._reached_from)
        """The groups of names that share a part, by name: many parts are shared by the same names."""
        changed = set().union(*(analysis.itself(each.target) for each in analysis.mutations))
        self._changed = changed
        self._changeable = self._grouped(changed & self._reached_from.keys())
        """The same, of parts that may be changed."""
        compared = analysis.scope.tree.every(ast.Compare, ast.Call)
        self._identity = any(map(self._compares_identity, compared)) or any(
            map(is_its_own_equal, analysis.kinds())
        )
        apart = [(analysis.reach(one) & analysis.reach(two)) & changed for one, two, _ in analysis.apart]
        self._parted = set().union(*apart)
        """What may be changed and is shared across a call: by an argument and the result."""

    @functools.cached_property
    def _visibility(self) -> Visibility:
        return Visibility(self._analysis.scope)

    def _grouped(self, parts: Iterable[Obj]) -> dict[str, list[tuple[str, ...]]]:
        groups = dict.fromkeys(tuple(self._reached_from[each]) for each in parts)
        found: dict[str, list[tuple[str, ...]]] = {}
        for group in groups:
            for name in group:
                found.setdefault(name, []).append(group)
        return found

    def _compares_identity(self, node: ast.AST) -> bool:
        """Whether the result may depend on which of two equal objects it is."""
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                return any(
                    isinstance(operator, ast.Is | ast.IsNot)
                    and not any(is_immutable(self._analysis.types.of(each)) for each in pair)
                    for operator, *pair in zip(node.ops, sides, sides[1:], strict=False)
                )
            case ast.Call(func=ast.Name("id")):
                return True
        return False

    def solve(self) -> None:
        """Mark what each mutation changes; note those that cannot be lowered."""
        analysis = self._analysis
        if self._identity:
            analysis.told = next(
                (node for one, two, node in analysis.apart if analysis.reach(one) & analysis.reach(two)), None
            )
        for mutation in analysis.mutations:
            seen = self._seen_by(mutation)
            family = self._family(seen, mutation)
            outside = analysis.may_change(mutation, analysis.outside)
            if outside:
                mark_effect(mutation.node, Effect.WRITE)
            if len(family) > 1 and not self._kept_together(family):
                analysis.conflicts.append((mutation.node, tuple(sorted(family))))
            elif seen and (outside or effect_call(mutation.node, analysis.scope)):
                analysis.conflicts.append((mutation.node, tuple(seen)))
            for held in analysis.held:
                if held.body[0] <= mutation.position < held.body[1] and analysis.may_change(
                    mutation, held.value
                ):
                    analysis.late.append((mutation.node, held.what))
            mutation.node.avm_mutates = family | getattr(  # type: ignore[attr-defined]
                mutation.node, "avm_mutates", frozenset()
            )

    def are_of_one_node(self, statement: ast.stmt) -> bool:
        """Whether it changes what names of its own stand for: that has no mark, as long as it is one node."""
        span = self._analysis.scope.tree.spans.get(id(statement))
        if span is None:
            return True
        first, end = span
        held = [
            self._analysis.objects[name]
            for name in self._visibility.only_within(first, end)
            if name in self._analysis.objects and not is_immutable(self._analysis.types.names.get(name, Any))
        ]
        return (self._identity and bool(held)) or any(
            first <= each.position < end and any(self._analysis.may_change(each, one) for one in held)
            for each in self._analysis.mutations
        )

    def around(self, names: Iterable[str], counts: Callable[[str], bool]) -> set[str]:
        """Other names, of those that count, that share something with the names, or with one that does."""
        return self._grown(names, self._groups, counts)

    def apart_from(self, family: Iterable[str], names: Iterable[str]) -> list[str]:
        """Those of the names that share nothing with the family."""
        covered = set().union(*(self._parts.get(name, ()) for name in family))
        return [name for name in names if name in self._parts and covered.isdisjoint(self._parts[name])]

    def _family(self, seen: list[str], mutation: Mutation) -> frozenset[str]:
        """All names to be copied together; if that cannot be, those that share what may be changed."""
        if not seen:
            return frozenset()
        family = frozenset(seen) | self._grown(seen, self._groups, lambda each: self._matters(each, mutation))
        if self._identity or self._kept_together(family):
            return family
        return frozenset(seen) | self._grown(
            seen, self._changeable, lambda each: self._matters(each, mutation)
        )

    def _grown(
        self,
        names: Iterable[str],
        groups: Mapping[str, list[tuple[str, ...]]],
        counts: Callable[[str], bool],
    ) -> set[str]:
        """Those that count and are in one of the groups with the names, or with one that does."""
        asked = set(names)
        found: set[str] = set()
        covered: set[tuple[str, ...]] = set()
        pending = [each for name in asked if name in groups for each in groups[name]]
        while pending:
            group = pending.pop()
            if group in covered:
                continue
            covered.add(group)
            for name in group:
                if name not in asked:
                    asked.add(name)
                    if counts(name):
                        found.add(name)
                        pending += groups[name]
        return found

    def _kept_together(self, family: frozenset[str]) -> bool:
        """Whether copies of the names' values share what the values shared."""
        analysis = self._analysis
        reached = set().union(*(self._parts[name] for name in family))
        if not reached.isdisjoint(self._parted):
            return False
        return not any(each.passed and not analysis.reach(each).isdisjoint(self._changed) for each in reached)

    def _seen_by(self, mutation: Mutation) -> list[str]:
        targets = self._analysis.itself(mutation.target)
        touched = {name for each in targets for name in self._reached_from.get(each, ())}
        return sorted(name for name in touched if self._matters(name, mutation))

    def _matters(self, name: str, mutation: Mutation) -> bool:
        """Whether the name may be bound before the mutation and read after it."""
        if name in self._analysis.items:
            first, end = self._analysis.items[name]
            return first <= mutation.position < end
        return self._visibility.is_seen(name, mutation.position)
