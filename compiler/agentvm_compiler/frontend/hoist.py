"""Hoisting: cut an expression at its awaits, in Python's order of evaluation.

Each call of the model, a tool or an agent becomes a node of its own and is
replaced by a temporary name. What Python evaluates before it is evaluated
before it here too, unless it is a bare name or a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentvm_compiler.calls import Effect

from . import control
from .block import Block
from .callees import effect_call, is_async_call, is_gather, suspends
from .choosing import choices
from .comprehending import comprehension
from .decide import Unsupported
from .gathering import Caught, caught, gather
from .kinds import is_immutable, plain
from .scope import UNKNOWN
from .tree import children, copied

if TYPE_CHECKING:
    from .lower import Lowering

Place = tuple[str, int | None]
"""A field of a syntax node, and an index if the field is a list."""


def hoist(lowering: Lowering, expression: ast.expr, block: Block, into: str | None = None) -> ast.expr | None:
    """Add nodes for all calls in the expression; return what is left of it.

    Args:
        into: a name for the value, if the whole expression is one call; then
            nothing is left of it and None is returned.

    Raises:
        Unsupported: the expression awaits where lowering cannot follow.
    """
    if not suspends(expression, lowering.scope):
        return expression
    name = _whole_call(lowering, expression, block, into)
    if name is not None:
        return None if name == into else ast.copy_location(ast.Name(name, ast.Load()), expression)
    if into is not None and isinstance(expression, ast.ListComp):
        value = comprehension(Hoisting(lowering, block), expression, into)
        return None if isinstance(value, ast.Name) and value.id == into else value
    return Hoisting(lowering, block).of(expression)


def _whole_call(lowering: Lowering, expression: ast.expr, block: Block, into: str | None) -> str | None:
    call = _call_of(lowering, expression)
    if call is None:
        return None
    hoisting = Hoisting(lowering, block)
    options = choices(call, lowering.scope)
    callee = hoisting.chosen(call) if options else call.func
    ready = hoisting.arguments(call)
    if ready.func is not callee:
        ready = copied(ready)
        ready.func = callee
    name = into or lowering.temporary()
    if options:
        lowering.choice(ready, options, name, block)
    else:
        lowering.call(ready, name, block)
    return name


def _call_of(lowering: Lowering, expression: ast.expr) -> ast.Call | None:
    """The call of ours that an expression makes: awaited, or of a synchronous tool."""
    if isinstance(expression, ast.Await) and is_async_call(expression.value, lowering.scope):
        assert isinstance(expression.value, ast.Call)
        return expression.value
    if effect_call(expression, lowering.scope) and not is_async_call(expression, lowering.scope):
        assert isinstance(expression, ast.Call)
        return expression
    return None


class Hoisting:
    """Hoists from one expression into one block."""

    def __init__(self, lowering: Lowering, block: Block) -> None:
        self.lowering = lowering
        self.scope = lowering.scope
        self.tree = lowering.tree
        self.marks = lowering.marks
        self.block = block
        self._rebound: set[str] = set()
        """Names that `:=` binds within the expression: reading them later would make a difference."""

    def of(self, expression: ast.expr) -> ast.expr:
        if not suspends(expression, self.scope):
            return expression
        if isinstance(expression, ast.NamedExpr):
            return self._named(expression)
        if isinstance(expression, Caught):
            return caught(self, expression)
        self._note_rebound(expression)
        if _call_of(self.lowering, expression) is not None:
            name = _whole_call(self.lowering, expression, self.block, None)
            assert name is not None
            return ast.copy_location(ast.Name(name, ast.Load()), expression)
        if isinstance(expression, ast.Await):
            if is_gather(expression.value, self.scope):
                assert isinstance(expression.value, ast.Call)
                return gather(self, expression.value)
            raise Unsupported(
                expression,
                f"nothing is known of what `{ast.unparse(expression.value)[:40]}` awaits",
                "make it an @agent or a @tool",
            )
        if isinstance(expression, ast.ListComp | ast.SetComp | ast.DictComp):
            return comprehension(self, expression)
        if isinstance(expression, ast.BoolOp) and self._awaits(expression.values[1:]):
            return self._boolean(expression)
        if isinstance(expression, ast.IfExp) and self._awaits([expression.body, expression.orelse]):
            condition = control.truth_of(self.lowering, expression.test, self.block)
            return control.either(
                self.lowering, condition, expression.body, expression.orelse, self.block, expression
            )
        if isinstance(expression, ast.Compare) and self._awaits(expression.comparators[1:]):
            return self._chain(expression)
        return self._parts(expression)

    def _awaits(self, expressions: list[ast.expr]) -> bool:
        return any(suspends(each, self.scope) for each in expressions)

    def _note_rebound(self, expression: ast.expr) -> None:
        if self.lowering.pieces.named:
            found = self.lowering.pieces.of(expression).special
            self._rebound |= {each.target.id for each in found if isinstance(each, ast.NamedExpr)}

    def _boolean(self, expression: ast.BoolOp) -> ast.expr:
        """`a and b`: b is evaluated only if a is true, and a is the value if it is not."""
        first = self.held(expression.values[0])
        condition = control.truth_of(self.lowering, first, self.block)
        others = expression.values[1:]
        rest = others[0] if len(others) == 1 else ast.BoolOp(expression.op, others)
        rest = ast.copy_location(rest, others[0])
        then, otherwise = (rest, first) if isinstance(expression.op, ast.And) else (first, rest)
        return control.either(self.lowering, condition, then, otherwise, self.block, expression)

    def _chain(self, expression: ast.Compare) -> ast.expr:
        """`a < b < c` is `a < b and b < c` with b evaluated once."""
        left = self.held(expression.left)
        middle = self.held(expression.comparators[0])
        head = ast.Compare(left, expression.ops[:1], [middle])
        tail = ast.Compare(middle, expression.ops[1:], expression.comparators[1:])
        both = ast.BoolOp(ast.And(), [ast.copy_location(each, expression) for each in (head, tail)])
        return self._boolean(ast.copy_location(both, expression))

    def held(self, expression: ast.expr) -> ast.expr:
        """The value of an expression under a name that stands for it from now on."""
        left = self.of(expression)
        return left if self.is_trivial(left) else self.temporary(left)

    def _named(self, expression: ast.NamedExpr) -> ast.expr:
        left = hoist(self.lowering, expression.value, self.block, into=expression.target.id)
        if left is not None:
            self.lowering.assign(expression.target.id, left, self.block)
        return ast.copy_location(ast.Name(expression.target.id, ast.Load()), expression)

    def chosen(self, call: ast.Call) -> ast.expr:
        """What is called, chosen before the arguments are evaluated, as Python does."""
        self._note_rebound(call)
        callee = self.of(call.func)
        return callee if self.is_trivial(callee) else self.temporary(callee)

    def arguments(self, call: ast.Call, *, early: bool = False) -> ast.Call:
        """The call with its arguments hoisted, and evaluated before it if evaluating them has effects.

        If there is nothing to be done, it is the call itself.

        Args:
            early: evaluate them before it in any case.
        """
        self._note_rebound(call)
        early = early or (self.lowering.pieces.named and self.lowering.pieces.of(call).has(ast.NamedExpr))
        parts = [*call.args, *call.keywords]
        pieces = [self.lowering.pieces.of(each) for each in parts]
        eager = early or any(each.mutated or each.effect is not Effect.PURE for each in pieces)
        awaiting = [number for number, each in enumerate(parts) if suspends(each, self.scope)]
        if not eager and not awaiting:
            return call
        last = awaiting[-1] if awaiting else -1
        self._check_changed_by_later([*call.args, *(each.value for each in call.keywords)])
        made = copied(call)
        made.args = [
            self._argument(each, eager or number < last, number <= last)
            for number, each in enumerate(call.args)
        ]
        made.keywords = [copied(each) for each in call.keywords]
        for number, keyword in enumerate(made.keywords, len(made.args)):
            keyword.value = self._argument(keyword.value, eager or number < last, number <= last)
        return made

    def _check_changed_by_later(self, arguments: list[ast.expr]) -> None:
        """Refuse arguments of which a later one may change what an earlier one gave."""
        types = self.lowering.analysis.types
        for number, value in enumerate(arguments):
            later = arguments[number + 1 :]
            if not any(self.lowering.pieces.of(each).mutated for each in later):
                break
            if not isinstance(value, ast.Name | ast.Constant) and not is_immutable(types.of(value)):
                raise Unsupported(value, "a later argument may change this one", "put it into a name first")

    def _argument(self, value: ast.expr, early: bool, hoisted: bool) -> ast.expr:
        value = self.of(value) if hoisted else value
        if early and not self.is_trivial(value):
            return self._listed(value) if isinstance(value, ast.Starred) else self.temporary(value)
        return value

    def temporary(self, value: ast.expr) -> ast.Name:
        name = self.lowering.temporary()
        self.lowering.assign(name, value, self.block)
        return ast.copy_location(ast.Name(name, ast.Load()), value)

    def _parts(self, expression: ast.expr) -> ast.expr:
        """Hoist from the parts of a plain expression, in order of evaluation."""
        places = list(parts_in_order(expression))
        awaiting = [n for n, place in enumerate(places) if suspends(get_part(expression, place), self.scope)]
        covered = {id(get_part(expression, place)) for place in places}
        for child in children(expression):
            if isinstance(child, ast.expr) and id(child) not in covered and suspends(child, self.scope):
                raise Unsupported(
                    expression,
                    f"whether `{ast.unparse(child)[:40]}` is awaited depends on the rest",
                    "use an if statement",
                )
        if not awaiting:
            raise Unsupported(
                expression, f"an await inside a {type(expression).__name__} is not compiled yet"
            )
        made = copied(expression)
        for number, place in enumerate(places[: awaiting[-1] + 1]):
            part = get_part(expression, place)
            if suspends(part, self.scope):
                part = self.of(part)
                set_part(made, place, part)
            if number == awaiting[-1]:
                break
            if isinstance(part, ast.Starred):
                set_part(made, place, self._listed(part))
            elif isinstance(part, ast.FormattedValue):
                if not self.is_trivial(part.value):
                    early = copied(part)
                    early.value = self.temporary(part.value)
                    set_part(made, place, early)
            elif isinstance(expression, ast.Call) and places[number] == ("func", None):
                set_part(made, place, self._callee(part, expression))
            elif not self.is_trivial(part):
                if self.marks.mutated_in(expression) and not is_immutable(
                    self.lowering.analysis.types.of(part)
                ):
                    raise Unsupported(expression, "the expression changes a value while it is evaluated")
                set_part(made, place, self.temporary(part))
        return made

    def _listed(self, starred: ast.Starred) -> ast.Starred:
        """`*xs` with the elements it has now."""
        elements = ast.copy_location(ast.List([starred], ast.Load()), starred)
        return ast.copy_location(ast.Starred(self.temporary(elements), ast.Load()), starred)

    def is_trivial(self, expression: ast.expr) -> bool:
        """Whether evaluating it later makes no difference."""
        if isinstance(expression, ast.Constant):
            return True
        if (
            not isinstance(expression, ast.Name)
            or self.marks.mutated_in(expression)
            or expression.id in self._rebound
        ):
            return False
        if expression.id in self.scope.locals or self.block.read(expression.id) is not None:
            return self.lowering.is_bound(expression.id, self.block)
        return (
            self.scope.lookup(expression.id) is not UNKNOWN
            and self.marks.effect_of(expression) is Effect.PURE
        )

    def _callee(self, callee: ast.expr, call: ast.Call) -> ast.expr:
        """What is called, looked up late: a name, or a method of a value that is held already."""
        owner = callee
        while isinstance(owner, ast.Attribute):
            owner = owner.value
        arguments = [*call.args, *call.keywords]
        changed = any(map(self.marks.mutated_in, arguments))
        steps = isinstance(callee, ast.Attribute) and callee.value is not owner
        late = isinstance(owner, ast.Name) and (
            self.is_trivial(owner)
            or (owner.id not in self._rebound and self.lowering.is_bound(owner.id, self.block))
        )
        if late and not (steps and changed):
            return callee
        if isinstance(callee, ast.Attribute):
            kind = self.lowering.analysis.types.of(callee.value)
            if is_immutable(kind) or (plain(kind) in (list, dict, set) and not changed):
                held = self.held(callee.value)
                return ast.copy_location(ast.Attribute(held, callee.attr, ast.Load()), callee)
        raise Unsupported(callee, "what is called is computed before an await", "await into a name first")


def parts_in_order(expression: ast.expr) -> Iterator[Place]:
    """The parts that are certainly evaluated, in order."""
    match expression:
        case ast.BinOp():
            yield from (("left", None), ("right", None))
        case ast.Compare():
            yield from (("left", None), ("comparators", 0))
        case ast.BoolOp():
            yield ("values", 0)
        case ast.IfExp():
            yield ("test", None)
        case ast.UnaryOp():
            yield ("operand", None)
        case ast.Attribute() | ast.Starred() | ast.FormattedValue():
            yield ("value", None)
        case ast.Subscript():
            yield from (("value", None), ("slice", None))
        case ast.Slice():
            yield from ((field, None) for field in ("lower", "upper", "step") if getattr(expression, field))
        case ast.List() | ast.Tuple() | ast.Set():
            yield from (("elts", index) for index in range(len(expression.elts)))
        case ast.JoinedStr():
            yield from (("values", index) for index in range(len(expression.values)))
        case ast.Dict():
            for index, key in enumerate(expression.keys):
                if key is not None:
                    yield ("keys", index)
                yield ("values", index)
        case ast.Call():
            yield ("func", None)
            yield from (("args", index) for index in range(len(expression.args)))
            yield from (("keywords", index) for index in range(len(expression.keywords)))


def get_part(expression: ast.expr, place: Place) -> ast.expr:
    field, index = place
    found = getattr(expression, field)
    found = found if index is None else found[index]
    return found.value if isinstance(found, ast.keyword) else found


def set_part(expression: ast.expr, place: Place, value: ast.expr) -> None:
    field, index = place
    if index is None:
        setattr(expression, field, value)
        return
    parts = list(getattr(expression, field))
    here = parts[index]
    parts[index] = ast.keyword(here.arg, value) if isinstance(here, ast.keyword) else value
    setattr(expression, field, parts)
