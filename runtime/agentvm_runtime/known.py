"""Known code: Python whose every operation is one of a few whose outcome is known to be the same everywhere.

Such code is rewritten so that each operation goes through `Doing`, which looks at
the values it meets: whether it is what it seems is only known then. A *place* is
how the rewritten code speaks of what may change: a variable, or a part of one.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Sequence

from agentvm_compiler.parsing import parse, statements_of

DO = "__avm_do__"
"""What the rewritten code calls the `Doing` it is given."""
LOCALS = "__avm_locals__"
DEFAULTING = "setdefault"


class Unknown(Exception):
    """The code has something that is not known."""


@functools.lru_cache(maxsize=4096)
def is_known(code: str) -> bool:
    """Whether the code has only operations that may be known, as far as its text tells."""
    try:
        _Rewriter().block(statements_of(code))
    except Unknown:
        return False
    return True


def rewritten(code: str, given: Collection[str]) -> list[ast.stmt]:
    """Known code as the body of a function that returns how it was left, what with, and its variables.

    Args:
        given: variables that it begins with.
    """
    tree = parse(code)
    named = [each for each in ast.walk(tree) if isinstance(each, ast.Name)]
    own = {each.id for each in named if isinstance(each.ctx, ast.Store)}
    return [*_Rewriter(own.union(given)).block(tree.body), _leave(None, ast.Constant(None))]


def _do(name: str, *args: ast.expr, keywords: Sequence[ast.keyword] = ()) -> ast.Call:
    """A call of a method of `Doing`."""
    return ast.Call(ast.Attribute(ast.Name(DO, ast.Load()), name, ast.Load()), list(args), list(keywords))


def _leave(reason: str | None, value: ast.expr) -> ast.stmt:
    variables = ast.Call(ast.Name(LOCALS, ast.Load()), [], [])
    return ast.Return(ast.Tuple([ast.Constant(reason), value, variables], ast.Load()))


def _is_target(target: ast.expr) -> bool:
    """Whether it is a variable, or several."""
    if isinstance(target, ast.Tuple):
        return all(isinstance(each, ast.Name) for each in target.elts)
    return isinstance(target, ast.Name)


class _Rewriter:
    """Statements and expressions with their operations made explicit. Raises Unknown."""

    def __init__(self, own: Collection[str] = ()) -> None:
        self.own = own
        """Names that are the code's variables; others are of what is around it."""
        self.loops = 0

    # -- statements --------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        return [self.statement(each) for each in statements]

    def maybe(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """A block that may not be reached: what is not known in it matters only then."""
        loops = self.loops
        try:
            return self.block(statements)
        except Unknown:
            self.loops = loops
            return [ast.Expr(_do("unknown"))]

    def statement(self, statement: ast.stmt) -> ast.stmt:
        match statement:
            case ast.Pass():
                return statement
            case ast.Expr(value):
                return ast.Expr(self.value(value))
            case ast.Assign([target], value) | ast.AnnAssign(target, _, ast.expr() as value):
                return self.assigned(target, value)
            case ast.AugAssign(target, operator, value):
                return self.augmented(target, type(operator).__name__, self.value(value))
            case ast.Delete([ast.Subscript(place, key)]):
                return ast.Expr(_do("delete", self.place(place), self.value(key)))
            case ast.If(test, body, orelse):
                tested = _do("truth", self.value(test))
                return ast.If(tested, self.maybe(body), self.maybe(orelse) if orelse else [])
            case ast.For(target, items, body, orelse) if _is_target(target):
                return self.loop(target, items, body, orelse)
            case ast.Break() | ast.Continue():
                return (
                    statement if self.loops else _leave(type(statement).__name__.lower(), ast.Constant(None))
                )
            case ast.Return(value):
                return _leave("return", self.value(value) if value else ast.Constant(None))
        raise Unknown

    def loop(
        self, target: ast.expr, items: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]
    ) -> ast.stmt:
        inner: ast.expr = target
        first: list[ast.stmt] = []
        if isinstance(target, ast.Tuple):
            inner = ast.Name("__avm_item__", ast.Store())
            first = [self.assigned(target, ast.Name("__avm_item__", ast.Load()))]
        self.loops += 1
        within = [*first, *self.block(body)]
        self.loops -= 1
        return ast.For(inner, _do("iterate", self.value(items)), within, self.block(orelse))

    def assigned(self, target: ast.expr, value: ast.expr) -> ast.stmt:
        match target:
            case ast.Name():
                return ast.Assign([target], self.whole(value))
            case ast.Tuple(items) if _is_target(target):
                if isinstance(value, ast.Tuple) and len(value.elts) == len(items):
                    parts: ast.expr = ast.Tuple([self.whole(each) for each in value.elts], ast.Load())
                else:
                    parts = _do("taken_apart", self.value(value))
                return ast.Assign([target], parts)
            case ast.Subscript(place, key):
                return ast.Expr(_do("put", self.value(value), self.place(place), self.value(key)))
            case ast.Attribute(place, name):
                return ast.Expr(
                    _do("put_attribute", self.value(value), self.place(place), ast.Constant(name))
                )
        raise Unknown

    def augmented(self, target: ast.expr, operator: str, value: ast.expr) -> ast.stmt:
        name = ast.Constant(operator)
        match target:
            case ast.Name(id):
                return ast.Assign([target], _do("augmented", name, ast.Name(id, ast.Load()), value))
            case ast.Subscript(place, key):
                # What is there is looked up before the value is made, which may change it.
                there = _do("item_there", self.place(place), self.value(key))
                return ast.Expr(_do("augment_item", name, there, value))
            case ast.Attribute(place, attribute):
                there = _do("attribute_there", self.place(place), ast.Constant(attribute))
                return ast.Expr(_do("augment_attribute", name, there, value))
        raise Unknown

    # -- expressions -------------------------------------------------------------------

    def place(self, expression: ast.expr) -> ast.expr:
        """Where something is: a variable or a part of it; of anything else the value."""
        match expression:
            case ast.Name(name):
                return expression if name in self.own else _do("outside", expression)
            case ast.Attribute(owner, name):
                return _do("at_attribute", self.place(owner), ast.Constant(name))
            case ast.Subscript(owner, key) if not isinstance(key, ast.Slice):
                return _do("at_item", self.place(owner), self.value(key))
            case ast.Call(ast.Attribute(owner, name), [key, default], []) if name == DEFAULTING:
                return _do("at_default", self.place(owner), self.value(key), self.value(default))
        return self.value(expression)

    def whole(self, expression: ast.expr) -> ast.expr:
        """What a variable is set to: another variable's container as it is, or a sum that may grow."""
        match expression:
            case ast.Name():
                return self.place(expression)
            case ast.BinOp(ast.Name() as left, ast.Add(), right):
                return _do("sum", self.place(left), self.value(right))
        return self.value(expression)

    def value(self, expression: ast.expr) -> ast.expr:
        match expression:
            case ast.Constant():
                return expression
            case ast.Name() | ast.Attribute():
                return _do("value", self.place(expression))
            case ast.Subscript(owner, ast.Slice() as part):
                ends = [self.value(each) if each else ast.Constant(None) for each in _ends(part)]
                return _do("part", self.value(owner), *ends)
            case ast.Subscript():
                return _do("value", self.place(expression))
            case ast.Call():
                return self.call(expression)
            case ast.BinOp(left, operator, right):
                return _do(
                    "operate", ast.Constant(type(operator).__name__), self.value(left), self.value(right)
                )
            case ast.UnaryOp(ast.Not(), operand):
                return ast.UnaryOp(ast.Not(), _do("truth", self.value(operand)))
            case ast.UnaryOp(operator, operand):
                return ast.UnaryOp(operator, _do("plain", self.value(operand)))
            case ast.BoolOp(operator, values):
                return ast.BoolOp(operator, [_do("truth", self.value(each)) for each in values])
            case ast.IfExp(test, body, orelse):
                return ast.IfExp(_do("truth", self.value(test)), self.value(body), self.value(orelse))
            case ast.Compare(left, [ast.Is() | ast.IsNot()], [ast.Constant(None)]):
                return ast.Compare(self.value(left), expression.ops, expression.comparators)
            case ast.Compare(left, [operator], [right]):
                return _do(
                    "compare", ast.Constant(type(operator).__name__), self.value(left), self.value(right)
                )
        return self.display(expression)

    def display(self, expression: ast.expr) -> ast.expr:
        match expression:
            case ast.Tuple(items):
                return ast.Tuple([self.value(each) for each in items], ast.Load())
            case ast.List(items):
                return ast.List([self.value(each) for each in items], ast.Load())
            case ast.Set(items):
                return ast.Set([_do("key", self.value(each)) for each in items])
            case ast.Dict(keys, values):
                named = [_do("key", self.value(each)) for each in keys if each is not None]
                if len(named) == len(keys):
                    return ast.Dict(list(named), [self.value(each) for each in values])
            case ast.JoinedStr(pieces):
                return _do("joined", *map(self.piece, pieces))
        raise Unknown

    def piece(self, piece: ast.expr) -> ast.expr:
        """A piece of an f-string."""
        match piece:
            case ast.Constant():
                return piece
            case ast.FormattedValue(value, conversion, form):
                if form is None or isinstance(form, ast.JoinedStr):
                    form = form and ast.JoinedStr([self.piece(each) for each in form.values])
                    written = ast.FormattedValue(_do("plain", self.value(value)), conversion, form)
                    return ast.JoinedStr([written])
        raise Unknown

    def call(self, call: ast.Call) -> ast.expr:
        if any(each.arg is None for each in call.keywords):
            raise Unknown
        keywords = [ast.keyword(each.arg, self.value(each.value)) for each in call.keywords]
        match call.func:
            case ast.Attribute(ast.Name() as module, name) if not keywords and call.args:
                # `heapq.heappush(rows, row)`, or a method: only the value tells.
                first, *others = call.args
                rest = [self.value(each) for each in others]
                return _do("called", self.place(module), ast.Constant(name), self.place(first), *rest)
            case ast.Attribute(owner, name):
                given = [self.value(each) for each in call.args]
                return _do("method", self.place(owner), ast.Constant(name), *given, keywords=keywords)
            case function:
                given = [self.place(each) for each in call.args[:1]]
                given += [self.value(each) for each in call.args[1:]]
                return _do("function", self.value(function), *given, keywords=keywords)


def _ends(part: ast.Slice) -> tuple[ast.expr | None, ...]:
    return part.lower, part.upper, part.step
