"""What lowering asks of a piece of code, found in one go.

Each statement that becomes a node is asked for what it reads, binds, changes, calls and refers
to. All these facts stand in one list, in the order of the tree's nodes, so that those of a piece
are a range of it: that takes a fraction of the time of asking for each kind by itself.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from agentvm_compiler.calls import Effect, joined

from .callees import effect_call, suspending
from .fingerprint import references, referring
from .objects import Marks
from .scope import Scope
from .tree import NESTED_SCOPES, bound_by, children, children_in_scope, ended_by, read_by


@dataclass(slots=True)
class Piece:
    """What a statement or an expression does."""

    reads: list[tuple[int, str]]
    """How deep a name is read in it, and the name."""
    stored: list[str]
    """Names it binds in the function: not in nested functions or comprehensions."""
    used: list[tuple[str, Any]]
    """What it refers to outside the function, with its dotted name."""
    calls: list[ast.Call]
    """The calls of tools, agents and the model."""
    ended: list[str]
    """Names that may have no value any more after it."""
    special: list[ast.AST]
    """Each `return`, `break`, `continue` and `:=`."""
    effects: list[Effect]
    """What its plain Python does to the world."""
    mutated: list[str]
    """Names whose value it may change in place."""

    @property
    def loaded(self) -> list[str]:
        """Names read anywhere in it, nested functions included, by depth."""
        reads = sorted(self.reads, key=itemgetter(0)) if len(self.reads) > 1 else self.reads
        return [name for _, name in reads]

    @property
    def effect(self) -> Effect:
        """What its plain Python does to the world; calls of tools and the like not counted."""
        return joined(self.effects)

    def has(self, kind: type[ast.Return | ast.NamedExpr]) -> bool:
        """Whether there is such a node in it."""
        return any(isinstance(each, kind) for each in self.special)


_READS, _STORED, _USED, _CALLS, _ENDED, _SPECIAL, _EFFECTS, _MUTATED = range(8)
"""The kinds of facts: numbers of the fields of `Piece`."""

_ASKED: dict[type, tuple[int, ...]] = {
    ast.Name: (_READS, _STORED, _USED, _ENDED),
    ast.Attribute: (_USED,),
    ast.Call: (_CALLS,),
    ast.AugAssign: (_READS,),
    ast.FunctionDef: (_STORED,),
    ast.AsyncFunctionDef: (_STORED,),
    ast.ClassDef: (_STORED,),
    ast.Import: (_STORED,),
    ast.ImportFrom: (_STORED,),
    ast.ExceptHandler: (_STORED, _ENDED),
    ast.MatchAs: (_STORED,),
    ast.MatchStar: (_STORED,),
    ast.MatchMapping: (_STORED,),
    ast.Return: (_SPECIAL,),
    ast.Break: (_SPECIAL,),
    ast.Continue: (_SPECIAL,),
    ast.NamedExpr: (_SPECIAL,),
}
"""Which facts a kind of node may tell, besides its marks."""

_SCOPES = frozenset((*NESTED_SCOPES, ast.comprehension))
"""What holds names that are bound, but not in the function."""


class Pieces:
    """The pieces of one function's code."""

    def __init__(self, scope: Scope, marks: Marks) -> None:
        tree = scope.tree
        self._tree = tree
        self._own: dict[int, Callable[[ast.AST], Iterable[Any]]] = {
            _READS: lambda node: ((0, name) for name in read_by(node)),
            _STORED: bound_by,
            _USED: lambda node: references(node, scope),
            _CALLS: lambda node: (node,) if effect_call(node, scope) else (),
            _ENDED: ended_by,
            _SPECIAL: lambda node: (node,),
        }
        facts: list[tuple[int, int, Any]] = []
        for kind, found in (
            (_READS, tree.reads.numbered()),
            (_STORED, tree.stores.numbered()),
            (_USED, scope.once(referring).numbered()),
            (_CALLS, ((n, each) for n, each in scope.once(suspending).numbered() if type(each) is ast.Call)),
            (_ENDED, tree.ends.numbered()),
            (_SPECIAL, tree.numbered(ast.Return, ast.Break, ast.Continue, ast.NamedExpr)),
            (_EFFECTS, marks.effects.numbered()),
            (_MUTATED, marks.mutated.numbered()),
        ):
            facts += [(number, kind, fact) for number, fact in found]
        facts.sort(key=itemgetter(0))
        self._facts = facts
        self._numbers = [number for number, _, _ in facts]
        self.named = bool(tree.every(ast.NamedExpr))
        """Whether there is any `:=`."""
        self._known: dict[int, Piece] = {}
        """Pieces that are of the tree, by identity."""

    def of(self, node: ast.AST) -> Piece:
        """What is known of a node, be it of the tree or made anew from parts of it."""
        piece = self._known.get(id(node))
        if piece is None:
            kinds: tuple[list[Any], ...] = ([], [], [], [], [], [], [], [])
            self._add(node, 0, True, kinds)
            piece = Piece(*kinds)
            if node in self._tree:
                self._known[id(node)] = piece
        return piece

    def of_assigned(self, name: str, value: ast.expr) -> Piece:
        """What is known of `name = value`."""
        kinds: tuple[list[Any], ...] = ([], [name], [], [], [], [], [], [])
        self._add(value, 1, True, kinds)
        return Piece(*kinds)

    def _add(self, node: ast.AST, depth: int, local: bool, kinds: tuple[list[Any], ...]) -> None:
        """Add what a node and all inside it tell.

        Args:
            depth: of the node within the piece.
            local: whether a name bound there is one of the function's.
        """
        span = self._tree.spans.get(id(node))
        if span is not None:
            self._add_known(span, depth, local, kinds)
            return
        for kind in _ASKED.get(type(node), ()):
            if kind == _READS:
                kinds[kind].extend((depth, name) for _, name in self._own[kind](node))
            elif local or kind != _STORED:
                kinds[kind].extend(self._own[kind](node))
        if hasattr(node, "avm_effect"):
            kinds[_EFFECTS].append(node.avm_effect)
        kinds[_MUTATED].extend(getattr(node, "avm_mutates", ()))
        if local and type(node) in _SCOPES:
            within = set(map(id, children_in_scope(node)))
            for each in children(node):
                self._add(each, depth + 1, id(each) in within, kinds)
        else:
            for each in children(node):
                self._add(each, depth + 1, local, kinds)

    def _add_known(
        self, span: tuple[int, int], depth: int, local: bool, kinds: tuple[list[Any], ...]
    ) -> None:
        start = bisect_left(self._numbers, span[0])
        deeper = depth - self._tree.depths[span[0]]
        for _, kind, fact in self._facts[start : bisect_left(self._numbers, span[1], start)]:
            if kind == _READS:
                kinds[kind].append((deeper + fact[0], fact[1]))
            elif local or kind != _STORED:
                kinds[kind].append(fact)
