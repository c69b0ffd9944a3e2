"""Abstract objects, and the marks the analysis leaves on the syntax tree.

The marks are attributes of nodes: `avm_effect` (what running the node's code may
do to the world), `avm_mutates` (names whose value it may change in place),
`avm_read_over` (a loop whose body may change what it reads), `avm_items` (a name for what a loop goes over).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from agentvm_compiler.calls import Effect, joined

from .tree import Facts, Tree

T = TypeVar("T")

DEEPEST = 8
"""Levels of containers within containers that are told apart."""


class Obj:
    """An abstract object: all that an expression may refer to.

    Objects that are one are *unified*. An object may also have *members*: others
    that it may be, while they need not be each other; so what a container holds
    has every element as a member, and the elements stay apart.
    """

    __slots__ = ("_content", "_members", "_parent", "iterator", "passed", "when_read")

    def __init__(self) -> None:
        self._parent: Obj | None = None
        self._content: Obj | None = None
        self._members: dict[Obj, None] = {}  # a set in order, so that compiling is deterministic
        self.iterator = False
        """Whether reading it uses it up."""
        self.passed = False
        """Whether it may be something that copying passes through."""
        self.when_read = Effect.PURE
        """What reading it may do to the world."""

    @property
    def root(self) -> Obj:
        found = self._parent
        if found is None:
            return self
        while found._parent is not None:
            found = found._parent
        self._parent = found  # so that the way is short next time
        return found

    @property
    def content(self) -> Obj:
        """What is inside, whatever the key or attribute."""
        root = self.root
        if root._content is None:
            root._content = Obj()
            for each in list(root._members):
                root._content.include(each.content)
        return root._content.root

    def include(self, other: Obj | None, depth: int = 0) -> bool:
        """From now on this may be the other. Returns whether that is new."""
        if other is None or other.root is self.root or other.root in self.root._members:
            return False
        self.root._members[other.root] = None
        if self.root._content is not None:
            if depth > DEEPEST:  # this is inside itself, so the chain below the other has no end
                other.content.unify(other)
            self.content.include(other.content, depth + 1)
        return True

    def unify(self, other: Obj | None) -> None:
        """From now on the two are one, and so are their contents."""
        pending = [(self, other)] if other is not None else []
        while pending:
            left, right = (each.root for each in pending.pop())
            if left is right:
                continue
            right._parent = left
            left.iterator |= right.iterator
            left.passed |= right.passed
            left.when_read = joined((left.when_read, right.when_read))
            contents = (left._content, right._content)
            left._content = contents[0] or contents[1]
            if contents[0] is not None and contents[1] is not None:
                pending.append((contents[0], contents[1]))
            added = {each.root: None for each in (*left._members, *right._members) if each.root is not left}
            left._members = added
            if left._content is not None:
                for each in tuple(added):
                    left._content.root.include(each.content)

    def itself(self) -> set[Obj]:
        """This object and all it may be."""
        return _closure(self.root, lambda each: tuple(each._members))

    def reach(self) -> set[Obj]:
        """All objects that it may be or that may be inside."""
        return _closure(
            self.root,
            lambda each: (*each._members, *((each._content,) if each._content is not None else ())),
        )


def _closure(start: Obj, step: Callable[[Obj], Iterable[Obj]]) -> set[Obj]:
    found = {start}
    pending = [start]
    while pending:
        for each in step(pending.pop()):
            root = each.root
            if root not in found:
                found.add(root)
                pending.append(root)
    return found


def mark_effect(node: ast.AST, effect: Effect) -> None:
    """Note on the tree that running this node's code has at least this effect."""
    node.avm_effect = joined((effect, effect_mark(node)))  # type: ignore[attr-defined]


def effect_mark(node: ast.AST) -> Effect:
    return getattr(node, "avm_effect", Effect.PURE)


class Marks:
    """The marks on a tree when its analysis is done, asked of all that is in a node."""

    def __init__(self, tree: Tree) -> None:
        marked = [
            (number, node)
            for number, node in enumerate(tree.nodes)
            if "avm_effect" in (marks := node.__dict__) or "avm_mutates" in marks
        ]
        self.effects = Facts(tree, _told(marked, _effect), _effect)
        self.mutated = Facts(tree, _told(marked, _mutated), _mutated)

    def effect_of(self, node: ast.AST) -> Effect:
        """What the plain Python in the node may do to the world; calls to tools and the like not counted."""
        return joined(self.effects.within(node))

    def mutated_in(self, node: ast.AST) -> frozenset[str]:
        """Names whose value the node may change in place."""
        return frozenset(self.mutated.within(node))


def _told(
    marked: list[tuple[int, ast.AST]], own: Callable[[ast.AST], Iterable[T]]
) -> Iterator[tuple[int, T]]:
    return ((number, fact) for number, node in marked for fact in own(node))


def _effect(node: ast.AST) -> Iterable[Effect]:
    return (node.avm_effect,) if hasattr(node, "avm_effect") else ()


def _mutated(node: ast.AST) -> Iterable[str]:
    return getattr(node, "avm_mutates", ())
