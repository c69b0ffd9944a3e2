"""Lowering of `asyncio.gather`: its calls run side by side, and write in the order of the arguments.

All arguments are evaluated before the first call begins. All calls begin: where
there are write tools among them, one that fails does not keep the others from
writing. What fails is *caught*, and raised when all are done; with `return_exceptions`
it is a value.
"""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

from agentvm_compiler.calls import Effect, Tool
from agentvm_compiler.grouped import SETTLED, grouped
from agentvm_compiler.ir import Kind
from agentvm_compiler.parsing import parse

from .block import Block
from .callees import is_async_call, suspends
from .certain import Certainty
from .comprehending import certainty
from .decide import Unsupported
from .fitting import check_bound

if TYPE_CHECKING:
    from .hoist import Hoisting


class Caught(ast.expr):
    """The awaited `value`, or the exception that it raised; never part of a program's text."""

    _fields = ("value",)

    value: ast.expr
    pair: bool
    """Give `(value, None)` or `(None, exception)`, so that an exception returned is no exception raised."""


def gather(hoisting: Hoisting, call: ast.Call) -> ast.expr:
    """Add nodes for the calls in a gather; return its value.

    Raises:
        Unsupported: an argument is not a call of ours.
    """
    exceptions = _options(call)
    calls = [_element(hoisting, each) for each in call.args]
    for each in calls:
        check_bound(each, hoisting.scope)
    group = hoisting.scope.resolve(call.func) is grouped
    caught = group or _writes_directly(hoisting, calls)
    how = "value" if exceptions else "pair" if caught else ""
    ready = [_ready(hoisting, each) for each in call.args]
    parts = [_begun(hoisting, each, how) for each in ready]
    if len(parts) == 1 and isinstance(parts[0], ast.Starred):
        value = parts[0].value
    else:
        value = ast.fix_missing_locations(ast.copy_location(ast.List(parts, ast.Load()), call))
    if group:
        settle = ast.Call(ast.Name(SETTLED, ast.Load()), [value], [])
        return ast.fix_missing_locations(ast.copy_location(settle, call))
    return _raised(hoisting, value) if how == "pair" else value


def _options(call: ast.Call) -> bool:
    """Whether exceptions are values."""
    for keyword in call.keywords:
        constant = isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool)
        if keyword.arg != "return_exceptions" or not constant:
            raise Unsupported(call, "an option of asyncio.gather is computed")
    return any(isinstance(each.value, ast.Constant) and each.value.value for each in call.keywords)


def _element(hoisting: Hoisting, argument: ast.expr) -> ast.Call:
    """The call that an argument makes, or each item of a starred comprehension."""
    found = argument
    if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.ListComp | ast.GeneratorExp):
        found = argument.value.elt
    if not is_async_call(found, hoisting.scope):
        raise Unsupported(argument, "asyncio.gather takes something that is not a call of ours")
    assert isinstance(found, ast.Call)
    return found


def _writes_directly(hoisting: Hoisting, calls: list[ast.Call]) -> bool:
    """Whether there are writes, all of them by tools, which begin at once."""
    found = [each for each in calls if hoisting.lowering.effect_of_call(each) is Effect.WRITE]
    return bool(found) and all(isinstance(hoisting.scope.resolve(each.func), Tool) for each in found)


def _ready(hoisting: Hoisting, argument: ast.expr) -> ast.expr | tuple[str, ast.expr, ast.Call]:
    """The argument with all evaluated that must be before the first call begins.

    Of a comprehension: the items, a target for each, and the call.
    """
    certain = certainty(hoisting, argument)
    if isinstance(argument, ast.Call):
        plainly = all(_stays(hoisting, certain, each) for each in _operands(argument))
        return hoisting.arguments(argument, early=not plainly)
    assert isinstance(argument, ast.Starred) and isinstance(argument.value, ast.ListComp | ast.GeneratorExp)
    inner = argument.value
    assert isinstance(inner.elt, ast.Call)
    filters = [part for each in inner.generators for part in each.ifs]
    filters += [each.iter for each in inner.generators[1:]]
    if all(_stays(hoisting, certain, each) for each in [*_operands(inner.elt), *filters]):
        return argument
    call = copy.copy(inner.elt)
    names = [hoisting.lowering.temporary() for _ in _operands(call)]
    loads = [ast.copy_location(ast.Name(each, ast.Load()), call) for each in names]
    call.args = [*loads[: len(call.args)]]
    call.keywords = [
        ast.keyword(each.arg, load) for each, load in zip(call.keywords, loads[len(call.args) :], strict=True)
    ]
    given = ast.copy_location(ast.Tuple(_operands(inner.elt), ast.Load()), call)
    items = ast.ListComp(given, inner.generators)
    target = ast.Tuple([ast.Name(each, ast.Store()) for each in names], ast.Store())
    listed = hoisting.of(ast.fix_missing_locations(ast.copy_location(items, inner)))
    name = listed.id if isinstance(listed, ast.Name) else hoisting.temporary(listed).id
    return name, ast.copy_location(target, call), call


def _operands(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(each.value for each in call.keywords)]


def _stays(hoisting: Hoisting, certain: Certainty, expression: ast.expr) -> bool:
    """Whether it may be evaluated only when its call begins."""
    return not suspends(expression, hoisting.scope) and certain.of(expression)


def _begun(hoisting: Hoisting, ready: ast.expr | tuple[str, ast.expr, ast.Call], how: str) -> ast.expr:
    """Make the calls of one argument."""
    if isinstance(ready, tuple):
        items, target, call = ready
        name = hoisting.lowering.temporary()
        hoisting.lowering.map(items, target, _awaited(call, how), name, hoisting.block, call)
        return ast.Starred(ast.copy_location(ast.Name(name, ast.Load()), call), ast.Load())
    if isinstance(ready, ast.Call):
        return hoisting.of(_awaited(ready, how))
    assert isinstance(ready, ast.Starred) and isinstance(ready.value, ast.ListComp | ast.GeneratorExp)
    inner = ready.value
    whole = ast.ListComp(_awaited(inner.elt, how), inner.generators)
    return ast.Starred(hoisting.of(ast.copy_location(whole, inner)), ast.Load())


def _awaited(call: ast.expr, how: str) -> ast.expr:
    awaited = ast.copy_location(ast.Await(call), call)
    if not how:
        return awaited
    made = Caught()
    made.value, made.pair = awaited, how == "pair"
    return ast.copy_location(made, call)


def caught(hoisting: Hoisting, node: Caught) -> ast.expr:
    """Add a `try` around a call that gives the exception as a value."""
    lowering, block = hoisting.lowering, hoisting.block
    name = lowering.temporary()
    body, handler = Block(lowering.names, block), Block(lowering.names, block)
    raised = handler.bind(lowering.own("raised"))
    hoisted = type(hoisting)(lowering, body).of(node.value)
    assert isinstance(hoisted, ast.Name)
    error: ast.expr = ast.copy_location(ast.Name(lowering.own("raised"), ast.Load()), node)
    if node.pair:
        nothing = ast.Constant(None)
        for side, pair in ((body, [hoisted, nothing]), (handler, [nothing, error])):
            made = ast.fix_missing_locations(ast.copy_location(ast.Tuple(pair, ast.Load()), node))
            lowering.assign(name, made, side)
        results = body.read(name), handler.read(name)
    else:
        results = body.read(hoisted.id), raised
    assert results[0] is not None and results[1] is not None
    captures = tuple(dict.fromkeys([*body.captures, *handler.captures]))
    lowering.add(
        block,
        Kind.TRY,
        "try",
        captures,
        (block.write(name),),
        ast.Expr(ast.Tuple([ast.Name("BaseException", ast.Load())], ast.Load())),
        effect=body.effect,
        attrs={"kept": [], "names": [""]},
        regions=(
            body.region(captures, (results[0],)),
            handler.region((raised, *captures), (results[1],)),
        ),
        place=node,
    )
    return ast.copy_location(ast.Name(name, ast.Load()), node)


def _raised(hoisting: Hoisting, pairs: ast.expr) -> ast.expr:
    """The values of pairs, or what is raised by the first that has no value."""
    name = hoisting.temporary(pairs).id
    one = hoisting.lowering.temporary()
    code = f"for {one} in {name}:\n    if {one}[1] is not None:\n        raise {one}[1]"
    check = parse(code).body[0]
    for each in ast.walk(check):
        ast.copy_location(each, pairs)
    hoisting.lowering.python(check, hoisting.block)
    values = parse(f"[_each[0] for _each in {name}]", mode="eval").body
    return ast.copy_location(values, pairs)
