"""Syntax trees that are asked often: what any part of one holds, without walking it again.

All nodes of a `Tree` are numbered in source order, so what is inside a node is a
range of numbers, and so are the *facts* known of single nodes: those of a part are
found by bisection. Neither the tree nor a fact changes once it is there. A node
made anew from parts of a tree is not of the tree: it is walked down to its parts.
"""

from __future__ import annotations

import ast
import functools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

FunctionTree = ast.FunctionDef | ast.AsyncFunctionDef

T = TypeVar("T")
N = TypeVar("N", bound=ast.AST)
Span = tuple[int, int]
"""Numbers of nodes: from the first to the second, which is not included."""

NESTED_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BINDING: tuple[type[ast.AST], ...] = (
    ast.Name,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
    ast.MatchMapping,
)

_TEXTS = ("id", "attr", "arg", "name", "asname", "module", "rest", "kwd_attrs", "type_comment", "kind", "str")
_NUMBERS = ("level", "conversion", "is_async", "simple", "lineno", "tag")
_WITHOUT_NODES = frozenset((*_TEXTS, *_NUMBERS, "ctx", "op", "ops", "type_ignores"))
"""Fields that hold no nodes, or only contexts and operators, which nobody asks for."""
_WITHOUT = (ast.Constant, ast.MatchSingleton, ast.Global, ast.Nonlocal, ast.TypeIgnore)
"""Nodes without nodes in them."""
_SPARSE = (ast.Dict, ast.arguments)
"""Nodes with lists in which there may be None."""


def _is_node(kind: type, field: str) -> bool:
    return field == "name" and kind is getattr(ast, "TypeAlias", None)  # since Python 3.12


class _Fields(dict[type, tuple[str, ...]]):
    """The fields of a kind of node that may hold nodes."""

    def __missing__(self, kind: Any) -> tuple[str, ...]:
        fields = () if kind in _WITHOUT else kind._fields
        self[kind] = tuple(each for each in fields if each not in _WITHOUT_NODES or _is_node(kind, each))
        return self[kind]


class _Blocks(dict[type, tuple[str, ...]]):
    """The fields of a kind of node that hold statements, handlers or cases."""

    def __missing__(self, kind: Any) -> tuple[str, ...]:
        blocks = ("body", "orelse", "finalbody", "handlers", "cases")
        self[kind] = tuple(each for each in blocks if each in kind._fields)
        return self[kind]


_FIELDS = _Fields()
_BLOCKS = _Blocks()


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes directly in a node, in source order, without contexts and operators."""
    found: list[ast.AST] = []
    for field in _FIELDS[type(node)]:
        value = getattr(node, field, None)
        if type(value) is list:
            found += value
        elif value is not None:
            found.append(value)
    return [each for each in found if each is not None] if isinstance(node, _SPARSE) else found


def copied(node: N) -> N:
    """A copy of a node with the very parts that it has, its place and its marks; faster than `copy.copy`."""
    made = type(node).__new__(type(node))
    vars(made).update(vars(node))
    return made


def walk(node: ast.AST) -> list[ast.AST]:
    """The node and all inside it, by depth, without contexts and operators."""
    found = [node]
    for each in found:
        if _FIELDS[type(each)]:
            found += children(each)
    return found


def statements_in(node: ast.AST) -> Iterator[ast.AST]:
    """The statements, handlers and cases directly in a statement."""
    for field in _BLOCKS[type(node)]:
        yield from getattr(node, field)


def blocks_in(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements in a function, not those of functions and classes within it."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block
    for each in statements_in(node):
        if not isinstance(each, NESTED_SCOPES):
            yield from blocks_in(each)


def children_in_scope(node: ast.AST) -> list[ast.AST]:
    """The nodes directly in a node where a name that is bound is one of the function's."""
    if isinstance(node, NESTED_SCOPES):
        return []
    return [node.iter, *node.ifs] if isinstance(node, ast.comprehension) else children(node)


class Facts(Generic[T]):
    """What is known of single nodes of a tree, asked of all that is in a node."""

    def __init__(
        self,
        tree: Tree,
        found: Iterable[tuple[int, T]],
        own: Callable[[ast.AST], Iterable[T]],
        inside: Callable[[ast.AST], Iterable[ast.AST]] = children,
    ) -> None:
        """Facts of a tree.

        Args:
            found: the facts in order, each with the number of its node.
            own: the facts of a single node that is not of the tree.
            inside: where to look for more of them.
        """
        self._tree = tree
        self._spans = tree.spans
        self._own = own
        self._inside = inside
        pairs = list(found)
        self._numbers = [number for number, _ in pairs]
        self.all = [fact for _, fact in pairs]

    def numbered(self) -> Iterable[tuple[int, T]]:
        """All facts with the numbers of their nodes."""
        return zip(self._numbers, self.all, strict=True)

    def within(self, node: ast.AST) -> list[T]:
        """The facts of the node and of what is in it, in source order."""
        span = self._spans.get(id(node))
        if span is None:
            return self._within_made(node)
        if not self.all:
            return []
        numbers = self._numbers
        start = bisect_left(numbers, span[0])
        return self.all[start : bisect_left(numbers, span[1], start)]

    def some(self, node: ast.AST) -> bool:
        """Whether there are any of the node and of what is in it."""
        if id(node) in self._spans:
            return id(node) in self._holding
        return any(True for _ in self._own(node)) or any(map(self.some, self._inside(node)))

    @functools.cached_property
    def _holding(self) -> set[int]:
        """The nodes that there are any of, or in, by identity."""
        found: set[int] = set()
        nodes, parents = self._tree.nodes, self._tree.parents
        for number in self._numbers:
            node: ast.AST | None = nodes[number]
            while node is not None and id(node) not in found:
                found.add(id(node))
                node = parents.get(id(node))
        return found

    def _within_made(self, node: ast.AST) -> list[T]:
        """The facts of a node that is not of the tree, though parts of it may be."""
        if self._inside is not children:
            return [*self._own(node), *(fact for each in self._inside(node) for fact in self.within(each))]
        found: list[T] = []
        for each in self._tree.pieces(node):
            found += self.within(each) if id(each) in self._spans else self._own(each)
        return found


class Tree:
    """A syntax tree whose nodes are numbered."""

    def __init__(self, root: FunctionTree) -> None:
        self.root = root
        self.nodes: list[ast.AST] = []
        self.spans: dict[int, Span] = {}
        """The numbers of each node and of what is in it, by the node's identity."""
        self.parents: dict[int, ast.AST] = {}
        """The node that each is directly in, by its identity."""
        self._by_type: defaultdict[type, list[int]] = defaultdict(list)
        """The numbers of the nodes of each type."""
        self.depths: list[int] = []
        """How many nodes each is in, by its number."""
        self._number(root, 0)
        self._of_types: dict[tuple[type, ...], Facts[Any]] = {}

    def _number(self, node: ast.AST, depth: int) -> None:
        nodes, parents, kind = self.nodes, self.parents, type(node)
        start = len(nodes)
        nodes.append(node)
        self.depths.append(depth)
        self._by_type[kind].append(start)
        for field in _FIELDS[kind]:
            value = getattr(node, field, None)
            for each in value if type(value) is list else (value,):
                if each is not None:
                    parents[id(each)] = node
                    self._number(each, depth + 1)
        self.spans[id(node)] = (start, len(nodes))

    @functools.cached_property
    def binding(self) -> list[tuple[int, ast.AST]]:
        """All nodes that bind names, with their numbers, in source order."""
        return [
            (number, node)
            for number, node in self.numbered(*BINDING)
            if type(node) is not ast.Name or type(node.ctx) is not ast.Load
        ]

    @functools.cached_property
    def reads(self) -> Facts[tuple[int, str]]:
        """What nodes of the tree read: how deep they are, and the name."""
        depths = self.depths
        reading: tuple[type[ast.AST], ...] = (ast.Name, ast.AugAssign)
        found = [
            (number, (depths[number], name))
            for number, node in self.numbered(*reading)
            for name in read_by(node)
        ]
        return Facts(self, found, lambda _: ())

    @functools.cached_property
    def stores(self) -> Facts[str]:
        """Names that nodes bind in the function: not in nested functions or comprehensions."""
        return Facts(self, self._stores(), bound_by, children_in_scope)

    @functools.cached_property
    def ends(self) -> Facts[str]:
        """Names that have no value any more: deleted, or those of handled exceptions."""
        found = [(number, name) for number, node in self.binding for name in ended_by(node)]
        return Facts(self, found, ended_by)

    def span(self, node: ast.AST) -> Span:
        """The numbers of the node and of what is in it.

        Raises:
            KeyError: it is not of the tree.
        """
        return self.spans[id(node)]

    def pieces(self, node: ast.AST) -> list[ast.AST]:
        """The parts of the tree in a node made anew, and the new nodes around them, in source order."""
        found = [node]
        for each in children(node):
            if id(each) in self.spans:
                found.append(each)
            else:
                found += self.pieces(each)
        return found

    def __contains__(self, node: ast.AST) -> bool:
        return id(node) in self.spans

    def within(self, node: ast.AST, *types: type[N]) -> list[N]:
        """The nodes of these types in a node, itself included, in source order."""
        found: Facts[N] | None = self._of_types.get(types)
        if found is None:
            numbered: Any = self.numbered(*types)
            found = Facts(self, numbered, lambda each: (each,) if isinstance(each, types) else ())
            self._of_types[types] = found
        return found.within(node)

    def every(self, *types: type[N], nested: bool = True) -> list[N]:
        """All nodes of these types in source order.

        Args:
            nested: if not, only those of the body that are not inside functions and classes in it.
        """
        if nested:
            nodes: list[Any] = self.nodes
            return [nodes[number] for number in self._numbers(types)]
        found = self._outside_nested(self.numbered(*types, *NESTED_SCOPES))
        return [node for _, node in found if isinstance(node, types)]

    def stored(self, node: ast.AST) -> list[str]:
        """Names the node binds in the function: not in nested functions or comprehensions."""
        return self.stores.within(node)

    def loaded(self, node: ast.AST) -> list[str]:
        """Names read anywhere in a node, nested functions included, by depth."""
        found: list[tuple[int, str]] = []
        self._load(node, 0, found)
        found.sort(key=lambda each: each[0])
        return [name for _, name in found]

    def _load(self, node: ast.AST, depth: int, found: list[tuple[int, str]]) -> None:
        span = self.spans.get(id(node))
        if span is not None:
            offset = depth - self.depths[span[0]]
            found += [(offset + each, name) for each, name in self.reads.within(node)]
            return
        found += [(depth, name) for name in read_by(node)]
        for each in children(node):
            self._load(each, depth + 1, found)

    def ended(self, node: ast.AST) -> set[str]:
        """Names that may have no value any more after the node: deleted, or those of handled exceptions."""
        return set(self.ends.within(node))

    def numbered(self, *types: type[N]) -> list[tuple[int, N]]:
        """All nodes of these types with their numbers, in source order."""
        nodes: list[Any] = self.nodes
        return [(number, nodes[number]) for number in self._numbers(types)]

    def _numbers(self, types: tuple[type, ...]) -> list[int]:
        numbers: list[int] = []
        for each in set(types):
            numbers += self._by_type.get(each, ())
        numbers.sort()
        return numbers

    def _outside_nested(self, numbered: Iterable[tuple[int, ast.AST]]) -> Iterator[tuple[int, ast.AST]]:
        """Those nodes of the body, nested scopes among them, that are not inside such a scope."""
        (end, _), (_, last) = (self.spans[id(self.root.body[each])] for each in (0, -1))
        for number, node in numbered:
            if end <= number < last:
                if isinstance(node, NESTED_SCOPES):
                    end = self.spans[id(node)][1]
                yield number, node

    def _stores(self) -> Iterator[tuple[int, str]]:
        scoping: tuple[type[ast.AST], ...] = (ast.comprehension, ast.Lambda)
        candidates = self.binding
        if more := self.numbered(*scoping):
            candidates = sorted([*candidates, *more], key=_first)
        end = 0
        for number, node in self._outside_nested(candidates):
            if number < end:
                continue
            if isinstance(node, ast.comprehension):
                end = self.spans[id(node.target)][1]
            yield from ((number, name) for name in bound_by(node))


class Outermost:
    """Where those of some nodes of a tree are that are in no other of them."""

    def __init__(self, tree: Tree, nodes: Iterable[ast.AST]) -> None:
        """Nodes of the tree, in source order."""
        self._spans: list[Span] = []
        for each in nodes:
            span = tree.span(each)
            if not self._spans or span[0] >= self._spans[-1][1]:
                self._spans.append(span)
        self._starts = [first for first, _ in self._spans]

    def around(self, number: int) -> Span | None:
        """The span of the one around the node of the number."""
        index = bisect_right(self._starts, number) - 1
        return self._spans[index] if index >= 0 and number < self._spans[index][1] else None


def bound_by(node: ast.AST) -> Iterable[str]:
    """Names that this very node binds."""
    match node:
        case ast.Name():
            return () if isinstance(node.ctx, ast.Load) else (node.id,)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return (node.name,)
        case ast.Import() | ast.ImportFrom():
            return [(each.asname or each.name.partition(".")[0]) for each in node.names]
        case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
            return (node.name,) if node.name else ()
        case ast.MatchMapping():
            return (node.rest,) if node.rest else ()
    return ()


def read_by(node: ast.AST) -> Iterable[str]:
    """Names that this very node reads."""
    if isinstance(node, ast.Name):
        return () if isinstance(node.ctx, ast.Store) else (node.id,)
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return (node.target.id,)
    return ()


def ended_by(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Name):
        return (node.id,) if isinstance(node.ctx, ast.Del) else ()
    return (node.name,) if isinstance(node, ast.ExceptHandler) and node.name else ()


def _first(pair: tuple[int, object]) -> int:
    return pair[0]


def loaded_names(node: ast.AST) -> list[str]:
    """Names read anywhere in a node of no tree, as `Tree.loaded` gives them."""
    return [name for each in walk(node) for name in read_by(each)]
