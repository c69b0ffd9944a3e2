"""Setting apart: what a loop gathers is made by one node and put away by the next.

The runtime does a statement on a large container in place if it *knows* all its operations
(docs/design/0011). In `notes.append(clean(text))` it does not know `clean`; so that call becomes a
node before the statement, `_1 = clean(text)`, whose small result is recorded as any, and what is left,
`notes.append(_1)`, is known.

Only what cannot be told is done: what Python evaluates before the part that is set apart certainly
evaluates, or is set apart before it; and no part that is set apart changes any name's value.
"""

from __future__ import annotations

import ast
import heapq
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Effect

from .certain import Certainty
from .contents import makes_plainly
from .hoist import Hoisting, get_part, parts_in_order, set_part
from .kinds import certainly, is_immutable, plain
from .opaque import is_opaque
from .records import is_record, record_fields
from .scope import UNKNOWN, member_of
from .targets import replaced
from .tree import children, copied, walk

if TYPE_CHECKING:
    from .block import Block
    from .lower import Lowering

_LISTS = ("append", "extend", "insert")
_GATHERING: dict[Any, tuple[str, ...]] = {
    list: _LISTS,
    deque: (*_LISTS, "appendleft"),
    set: ("add", "update"),
    **dict.fromkeys((dict, defaultdict, Counter, OrderedDict), ("setdefault", "update")),
}
"""What puts something into a container, by its type."""
_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_WATCHED = (ast.Try, ast.With, ast.AsyncWith, *((ast.TryStar,) if hasattr(ast, "TryStar") else ()))
"""What may see how far a statement came that failed."""


class Left(Exception):
    """The statement is left as it is."""


def set_apart(lowering: Lowering, statement: ast.stmt, place: ast.stmt, block: Block) -> ast.stmt:
    """Add nodes for parts of a statement that gathers in a loop; return what is left of it.

    Args:
        place: the statement of the function's that it is, or that it is left of.
    """
    if not is_set_apart(lowering, statement, place, block):
        return statement
    return Apart(lowering, block, statement, place, dry=False).statement(statement)


def is_set_apart(lowering: Lowering, statement: ast.stmt, place: ast.stmt, block: Block | None) -> bool:
    """Whether anything of the statement is to become a node before it.

    Args:
        block: where it is; None if that is not there yet, and all names may have a value then.
    """
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.If):
        return False
    if not any(is_opaque(each, lowering) for each in walk(statement)):
        return False
    if not is_repeated(lowering, place):
        return False
    try:
        return Apart(lowering, block, statement, place, dry=True).statement(statement) is not statement
    except Left:
        return False


def test_apart(lowering: Lowering, statement: ast.If, block: Block) -> ast.If:
    """A condition that becomes a branch. Its test is a node anyway: one that only reads what is gathered."""
    changed = lowering.pieces.of(statement).mutated
    if set(changed).isdisjoint(lowering.pieces.of(statement.test).loaded):
        return statement
    left = set_apart(lowering, statement, statement, block)
    assert isinstance(left, ast.If)
    return left


def is_cut(lowering: Lowering, statement: ast.If) -> bool:
    """Whether a statement in a condition is to be set apart, so that the condition becomes a branch."""
    return any(
        (isinstance(each, ast.If) and is_cut(lowering, each)) or is_set_apart(lowering, each, each, None)
        for each in (*statement.body, *statement.orelse)
    )


def is_repeated(lowering: Lowering, place: ast.stmt) -> bool:
    return any(isinstance(each, _LOOPS) for each in _around(lowering, place))


def _around(lowering: Lowering, place: ast.stmt) -> Iterator[ast.AST]:
    """The statements around one."""
    found = lowering.tree.parents.get(id(place))
    while found is not None and found is not lowering.tree.root:
        yield found
        found = lowering.tree.parents.get(id(found))


class Apart:
    """Sets apart the parts of one statement.

    Args:
        dry: only find out whether it can be done.
    """

    def __init__(
        self, lowering: Lowering, block: Block | None, statement: ast.stmt, place: ast.stmt, *, dry: bool
    ) -> None:
        self.lowering = lowering
        self.block = block
        self.dry = dry
        self.place = place
        self.types = lowering.analysis.types
        self.hoisting = None if block is None else Hoisting(lowering, block)
        self.certainty = Certainty(self.types, self._is_bound)
        piece = lowering.pieces.of(statement)
        self.gathered = frozenset(piece.mutated) | (frozenset(piece.stored) & frozenset(piece.loaded))
        """Names of what the statement changes."""
        self.fills = False
        """Whether getting at the container may put one there first, which what is put away may see."""

    def statement(self, statement: ast.stmt) -> ast.stmt:
        """What is left of it, which is itself if nothing is set apart.

        Raises:
            Left: it cannot be done.
        """
        match statement:
            case ast.Expr(ast.Call() as call) if self._gathers(call):
                first = 1 if self._pushes(call) else 0
                made = copied(call)
                made.args = [*call.args[:first], *self._parts(call.args[first:])]
                return statement if made.args == call.args else replaced(statement, value=made)
            case ast.AugAssign(target, _, value) if self._is_there(target):
                [left] = self._parts([value])
                return statement if left is value else replaced(statement, value=left)
            case ast.Assign([ast.Subscript(owner, key) as target], value) if self.is_container(owner):
                left, place = self._parts([value, key])
                made_target = copied(target)
                made_target.slice = place
                kept = left is value and place is key
                return statement if kept else replaced(statement, value=left, targets=[made_target])
            case ast.Assign([ast.Attribute(owner)], value) if self._holds_container(owner):
                [left] = self._parts([value])
                return statement if left is value else replaced(statement, value=left)
            case ast.Assign([ast.Name(name)], ast.BinOp(ast.Name(same) as begun, ast.Add(), right) as total):
                if name == same and self._is_there(begun):
                    [left] = self._parts([right])
                    made_total = copied(total)
                    made_total.right = left
                    return statement if left is right else replaced(statement, value=made_total)
            case ast.If(test):
                if self.gathered and self._is_own(test):
                    return replaced(statement, test=self._moved(test, ends=True))
        return statement

    # -- what the statement is on ------------------------------------------------------

    def _gathers(self, call: ast.Call) -> bool:
        """Whether the call puts its arguments into a container, and looking for that certainly succeeds."""
        if any(isinstance(each, ast.Starred) for each in call.args) or call.keywords:
            return False
        if self._pushes(call):
            return certainly(self.types.of(call.args[0])) is list and self.certainty.of(call.args[0])
        match call.func:
            case ast.Attribute(owner, name):
                return self.is_container(owner) and name in _GATHERING[certainly(self.types.of(owner))]
        return False

    def _pushes(self, call: ast.Call) -> bool:
        return self.lowering.scope.resolve(call.func) is heapq.heappush and len(call.args) == 2

    def is_container(self, owner: ast.expr) -> bool:
        return certainly(self.types.of(owner)) in _GATHERING and self._is_reached(owner)

    def _is_reached(self, owner: ast.expr) -> bool:
        """Whether getting at it certainly succeeds, and nobody sees if that alone is done."""
        if self.certainty.of(owner):
            return True
        match owner:
            case ast.Subscript(ast.Name() as outer, key):
                cls = certainly(self.types.of(outer))
                filled = cls is Counter or (cls is defaultdict and makes_plainly(outer, self.lowering.scope))
            case ast.Call(ast.Attribute(ast.Name() as outer, "setdefault"), [key, default], []):
                cls = certainly(self.types.of(outer))
                empty = isinstance(default, ast.List | ast.Dict | ast.Constant) and self.certainty.of(default)
                filled = cls in (dict, OrderedDict) and empty
            case _:
                return False
        self.fills = filled and self.certainty.of(outer) and self._is_key(key) and self.is_unseen()
        return self.fills

    def _is_key(self, key: ast.expr) -> bool:
        return certainly(self.types.of(key)) in (str, int, bool) and self.certainty.of(key)

    def is_unseen(self) -> bool:
        """Whether nobody sees the containers any more if the statement fails."""
        analysis = self.lowering.analysis
        held = [analysis.objects[each] for each in self.gathered if each in analysis.objects]
        return not any(isinstance(each, _WATCHED) for each in _around(self.lowering, self.place)) and not any(
            analysis.share(each, analysis.outside)
            or any(analysis.parameter_shared(name, each) for name in self.lowering.scope.params)
            for each in held
        )

    def _is_there(self, target: ast.expr) -> bool:
        """Whether looking at what `+=` adds to certainly succeeds, and it may become large."""
        kind = certainly(self.types.of(target))
        match target:
            case ast.Name():
                return (kind is str or kind in _GATHERING) and self.certainty.of(target)
            case ast.Attribute(owner):
                return self._holds_container(owner) and self.certainty.of(target)
            case ast.Subscript():
                return self._is_reached(target)
        return False

    def _holds_container(self, owner: ast.expr) -> bool:
        cls = plain(self.types.of(owner))
        if not is_record(cls) or not self.certainty.of(owner):
            return False
        return any(plain(each) in _GATHERING for each in record_fields(cls).values())

    # -- its parts ---------------------------------------------------------------------

    def _parts(self, parts: Sequence[ast.expr]) -> list[ast.expr]:
        """Parts that are evaluated one after the other, up to the last of which something is set apart."""
        last = max((n for n, each in enumerate(parts) if self._is_own(each)), default=-1)
        found = [self._held(each) for each in parts[: max(last, 0)]]
        if last >= 0:
            found.append(self._moved(parts[last]))
        return [*found, *parts[len(found) :]]

    def _is_own(self, expression: ast.AST) -> bool:
        return any(is_opaque(each, self.lowering) for each in walk(expression))

    def reads(self, expression: ast.AST) -> bool:
        return not self.gathered.isdisjoint(self.lowering.pieces.of(expression).loaded)

    def _moved(self, expression: ast.expr, *, ends: bool = False) -> ast.expr:
        """What is left of an expression whose own code is set apart, or what it is called then.

        Args:
            ends: only its truth matters.
        """
        if not self.reads(expression):
            return self._temporary(_truth_of(expression) if ends else expression)
        if isinstance(expression, ast.Call) and is_opaque(expression, self.lowering):
            return self._temporary(self._without_gathered(expression))
        places = list(parts_in_order(expression)) if _is_parted(expression) else []
        parts = [get_part(expression, each) for each in places]
        if not {id(each) for each in children(expression) if self._is_own(each)} <= set(map(id, parts)):
            raise Left
        made = copied(expression)
        for where, part in zip(places, self._parts(parts), strict=True):
            set_part(made, where, part)
        return made

    def _without_gathered(self, call: ast.Call) -> ast.Call:
        """A call none of whose arguments reads what is gathered."""
        made = copied(call)
        places = [each for each in parts_in_order(call) if each != ("func", None)]
        parts = [get_part(call, each) for each in places]
        if self.reads(call.func) or not parts or not self._is_looked_up(call.func):
            raise Left
        last = max(n for n, each in enumerate(parts) if self.reads(each))
        for where, part in zip(places[: last + 1], parts, strict=False):
            set_part(made, where, self._held(part))
        return made

    def _is_looked_up(self, function: ast.expr) -> bool:
        """Whether nobody can tell if what is called is looked up late."""
        if self.lowering.scope.resolve(function) is not UNKNOWN:
            return True
        if not isinstance(function, ast.Attribute):
            return False
        cls = self.lowering.scope.resolve(function.value)
        if not isinstance(cls, type):
            cls = plain(self.types.of(function.value)) if self.certainty.of(function.value) else None
        return isinstance(cls, type) and member_of(cls, function.attr) is not UNKNOWN

    def _held(self, part: ast.expr) -> ast.expr:
        """A part that is evaluated now."""
        if isinstance(part, ast.Constant) or (self.hoisting is not None and self.hoisting.is_trivial(part)):
            return part
        if not self.reads(part):
            return self._temporary(part)
        if self._is_own(part) or not is_immutable(self.types.of(part)):
            raise Left
        return self._temporary(part)

    def _temporary(self, value: ast.expr) -> ast.expr:
        self.check(value)
        if self.dry or self.hoisting is None:
            return ast.copy_location(ast.Name(self.lowering.own("0"), ast.Load()), value)
        return self.hoisting.temporary(value)

    def check(self, value: ast.expr) -> None:
        """Raises Left unless evaluating it before the rest of the statement cannot be told."""
        lowering, piece = self.lowering, self.lowering.pieces.of(value)
        if self.fills and self.reads(value):
            raise Left
        if piece.mutated or piece.special or piece.ended or piece.calls:
            raise Left
        if isinstance(value, ast.GeneratorExp | ast.Lambda | ast.Starred | ast.Slice):
            raise Left
        calls = [each.func for each in walk(value) if isinstance(each, ast.Call)]
        if any(isinstance(each, ast.Name) and each.id in lowering.scope.shadowed for each in calls):
            raise Left
        if piece.effect is not Effect.PURE and self._may_share(piece.loaded):
            raise Left

    def _may_share(self, names: Sequence[str]) -> bool:
        """Whether what is made of these names and is read back from a journal may be part of others."""
        analysis = self.lowering.analysis
        objects = analysis.objects
        gathered = [objects[each] for each in self.gathered if each in objects]
        others = [
            analysis.outside,
            *(objects[each] for each in names if each in objects and not is_immutable(self._kind(each))),
        ]
        return any(analysis.share(one, other) for one in gathered for other in others)

    def _kind(self, name: str) -> Any:
        return self.types.names.get(name, Any)

    def _is_bound(self, name: str) -> bool:
        return self.block is None or self.lowering.is_bound(name, self.block)


_PARTED = (ast.BinOp, ast.Compare, ast.UnaryOp, ast.BoolOp, ast.Tuple, ast.List, ast.Dict)
"""Expressions whose parts are evaluated in order, and all of them before anything is done with them."""


def _is_parted(expression: ast.expr) -> bool:
    """Whether it is one of them: not a dictionary that takes in another, which may fail, as it comes."""
    return isinstance(expression, _PARTED) and not (
        isinstance(expression, ast.Dict) and None in expression.keys
    )


def _truth_of(expression: ast.expr) -> ast.expr:
    truth = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), expression))
    return ast.fix_missing_locations(ast.copy_location(truth, expression))
