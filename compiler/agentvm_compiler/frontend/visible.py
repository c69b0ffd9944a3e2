"""Through which names a change can be seen: those that may be bound before it and read after it.

Before and after go by the numbers of nodes, which are in source order; in a loop
everything comes both before and after everything else. What happens within one
*unit*, the outermost statement that will be a single node, happens at once.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator

from .callees import suspends
from .scope import Scope
from .tree import COMPREHENSIONS, Outermost, Span, bound_by, statements_in


class Visibility:
    """Where the names of a function are bound and read."""

    def __init__(self, scope: Scope) -> None:
        tree = scope.tree
        loops = tree.every(ast.For, ast.While, ast.AsyncFor, *COMPREHENSIONS)
        self._loops = Outermost(tree, loops)
        self._units = Outermost(tree, sorted(_units(tree.root, scope), key=tree.span))
        self._stores: dict[str, list[int]] = {name: [-1] for name in scope.params}
        self._loads: dict[str, list[int]] = {}
        deleted = set()
        for number, node in tree.binding:
            for name in bound_by(node):
                self._stores.setdefault(name, []).append(number)
            if type(node) is ast.Name and type(node.ctx) is ast.Del:
                deleted.add(number)
        for number, (_, name) in tree.reads.numbered():
            if number not in deleted:
                self._loads.setdefault(name, []).append(number)

    def is_seen(self, name: str, at: int) -> bool:
        """Whether a change, at the number, of what the name stands for may be seen through the name."""
        first, end = self._units.around(at) or (at, at + 1)
        stores, loads = self._stores.get(name), self._loads.get(name)
        if not stores or not loads:
            return False
        if first <= min(stores[0], loads[0]) and max(stores[-1], loads[-1]) < end:
            return False  # it lives and dies within one node
        loop = self._loops.around(at)
        bound = stores[0] < end or _any_in(stores, loop)
        return bound and (loads[-1] >= first or _any_in(loads, loop))

    def only_within(self, first: int, end: int) -> list[str]:
        """The names that are bound and read between two numbers only."""
        return [
            name
            for name, stores in self._stores.items()
            if (loads := self._loads.get(name))
            and first <= min(stores[0], loads[0])
            and max(stores[-1], loads[-1]) < end
        ]


def _units(statement: ast.AST, scope: Scope) -> Iterator[ast.AST]:
    """The outermost statements in a statement that do not suspend."""
    for each in statements_in(statement):
        if isinstance(each, ast.stmt) and not suspends(each, scope):
            yield each
        else:
            yield from _units(each, scope)


def _any_in(numbers: list[int], span: Span | None) -> bool:
    if span is None:
        return False
    index = bisect_left(numbers, span[0])
    return index < len(numbers) and numbers[index] < span[1]
