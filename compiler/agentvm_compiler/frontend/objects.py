"""Abstract objects, and the marks the analysis leaves on the syntax tree.

The marks are attributes of nodes: `avm_effect` (what running the node's code may
do to the world), `avm_mutates` (names whose value it may change in place),
`avm_read_over` (a loop whose body may change what it reads).
"""

from __future__ import annotations

import ast

from agentvm_compiler.calls import Effect, joined


class Obj:
    """An abstract object: all that a name may refer to."""

    __slots__ = ("_content", "_parent", "iterator", "when_read")

    def __init__(self) -> None:
        self._parent: Obj | None = None
        self._content: Obj | None = None
        self.iterator = False
        """Whether reading it uses it up."""
        self.when_read = Effect.PURE
        """What reading it may do to the world."""

    @property
    def root(self) -> Obj:
        found = self
        while found._parent is not None:
            found = found._parent
        return found

    @property
    def content(self) -> Obj:
        """What is inside, whatever the key or attribute."""
        root = self.root
        if root._content is None:
            root._content = Obj()
        return root._content.root

    def unify(self, other: Obj | None) -> None:
        """From now on the two are one, and so are their contents."""
        pending = [(self, other)] if other is not None else []
        while pending:
            left, right = (each.root for each in pending.pop())
            if left is right:
                continue
            right._parent = left
            left.iterator |= right.iterator
            left.when_read = joined((left.when_read, right.when_read))
            if left._content is None:
                left._content = right._content
            elif right._content is not None:
                pending.append((left._content, right._content))

    def reaches(self, other: Obj) -> bool:
        """Whether `other` is this object or inside it."""
        seen: set[int] = set()
        here: Obj | None = self.root
        while here is not None and id(here) not in seen:
            if here is other.root:
                return True
            seen.add(id(here))
            here = here._content.root if here._content is not None else None
        return False

    def meets(self, other: Obj) -> bool:
        """Whether some object is in or under both."""
        here: Obj | None = other.root
        seen: set[int] = set()
        while here is not None and id(here) not in seen:
            if self.reaches(here):
                return True
            seen.add(id(here))
            here = here._content.root if here._content is not None else None
        return False


def mark_effect(node: ast.AST, effect: Effect) -> None:
    """Note on the tree that running this node's code has at least this effect."""
    node.avm_effect = joined((effect, effect_mark(node)))  # type: ignore[attr-defined]


def effect_mark(node: ast.AST) -> Effect:
    return getattr(node, "avm_effect", Effect.PURE)


def effect_of(tree: ast.AST) -> Effect:
    """What the plain Python in the tree may do to the world; calls to tools and the like not counted."""
    return joined(effect_mark(node) for node in ast.walk(tree))


def mutated_in(tree: ast.AST) -> frozenset[str]:
    """Names whose value the tree may change in place."""
    return frozenset().union(*(getattr(node, "avm_mutates", frozenset()) for node in ast.walk(tree)))
