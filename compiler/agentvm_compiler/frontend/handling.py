"""Lowering of `try ... except ... else`.

The body is one region and each handler another. A handler begins where the body
failed, so it must see the names as they were there: each node of the body, and of
the regions in it, has the versions of the names before it as attribute `before`.
"""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

from agentvm_compiler.calls import joined
from agentvm_compiler.ir import Kind

from .block import Block, Exit
from .control import branch
from .decide import Unsupported
from .scope import UNKNOWN, Scope

if TYPE_CHECKING:
    from .lower import Lowering

LOOKS_AT_EXCEPTIONS = frozenset(("traceback", "sys", "logging", "warnings", "contextlib"))
"""Modules whose functions may ask which exception is being handled."""


def lower_try(lowering: Lowering, statement: ast.Try, block: Block) -> Exit | None:
    """Lower a `try` without `finally`.

    Raises:
        Unsupported: it cannot be lowered exactly.
    """
    _check_handlers(statement, lowering.scope)
    body = Block(lowering.names, block, guarded=True)
    ends = [lowering.block(statement.body, body)]
    kept = [name for name in body.written if not lowering.is_own(name)]
    fallbacks = [block.read(name) or "$unbound" for name in kept]
    handlers = []
    for handler in statement.handlers:
        side = Block(lowering.names, block)
        raised = side.bind(lowering.own("raised"))
        versions = [side.bind(name) for name in kept]
        lowering.unsure.update(versions)
        ends.append(_lower_handler(lowering, handler, side))
        handlers.append((side, (raised, *versions)))
    return _assemble(lowering, statement, block, body, handlers, ends, kept, fallbacks)


def _lower_handler(lowering: Lowering, handler: ast.ExceptHandler, side: Block) -> Exit | None:
    raised = ast.copy_location(ast.Name(lowering.own("raised"), ast.Load()), handler)
    if handler.name:
        lowering.assign(handler.name, raised, side)
        if handler.name not in {name for each in handler.body for name in lowering.tree.stored(each)}:
            # What the handler does to the exception, as adding a note, it does to the one it raises again.
            raised = ast.copy_location(ast.Name(handler.name, ast.Load()), handler)
    end = lowering.block([_reraising(lowering, each, raised) for each in handler.body], side)
    if handler.name:
        side.unbind(handler.name)
    return end


def _assemble(
    lowering: Lowering,
    statement: ast.Try,
    block: Block,
    body: Block,
    handlers: list[tuple[Block, tuple[str, ...]]],
    ends: list[Exit | None],
    kept: list[str],
    fallbacks: list[str],
) -> Exit | None:
    sides = [body, *(side for side, _ in handlers)]
    assigned = dict.fromkeys(name for side in sides for name in side.written)
    written = [each for each in assigned if not lowering.is_own(each)]
    exits = any(ends)
    given = []
    for number, (side, end) in enumerate(zip(sides, ends, strict=True)):
        left = [end.exit, end.value] if end else ["$none", "$none"]
        calm = ("$break" if number else left[0]) if statement.orelse else None
        values = [side.read(each) or "$unbound" for each in written]
        given.append([*(left if exits else []), *([calm] if calm else []), *values])
    captures = tuple(dict.fromkeys(value for side in sides for value in side.captures))
    regions = [body.region(captures, tuple(given[0]))]
    regions += [
        side.region((*params, *captures), tuple(values))
        for (side, params), values in zip(handlers, given[1:], strict=True)
    ]
    own = [lowering.own(each) for each in (("exit", "value") if exits else ())]
    own += [lowering.own("calm")] if statement.orelse else []
    names = tuple(block.write(each) for each in [*own, *written])
    for index, name in enumerate(names):
        if any(each[index] == "$unbound" or each[index] in lowering.unsure for each in given):
            lowering.unsure.add(name)
    lowering.add(
        block,
        Kind.TRY,
        "try",
        (*fallbacks, *captures),
        names,
        _handler_types(statement),
        effect=joined(side.effect for side in sides),
        attrs={"kept": kept, "names": [each.name or "" for each in statement.handlers]},
        regions=tuple(regions),
        place=statement,
    )
    end = Exit(names[0], names[1], all(each is not None and each.always for each in ends)) if exits else None
    if not statement.orelse:
        return end
    return branch(
        lowering,
        names[len(own) - 1],
        lambda then: lowering.block(statement.orelse, then),
        lambda other: Exit(other.capture(end.exit), other.capture(end.value)) if end else None,
        block,
        "else",
        statement.orelse[0],
        {"on": "exit"},
    )


def _handler_types(statement: ast.Try) -> ast.stmt:
    """The exception types of the handlers, as one tuple expression."""
    bare = ast.Name("BaseException", ast.Load())
    types: list[ast.expr] = [handler.type or bare for handler in statement.handlers]
    return ast.copy_location(ast.Expr(ast.Tuple(types, ast.Load())), statement)


def _reraising(lowering: Lowering, statement: ast.stmt, raised: ast.expr) -> ast.stmt:
    """The statement, in which `raise` alone raises what is being handled."""
    if all(each.exc is not None for each in lowering.tree.within(statement, ast.Raise)):
        return statement
    made: ast.stmt = _Reraise(raised).visit(copy.deepcopy(statement))
    return made


class _Reraise(ast.NodeTransformer):
    """`raise` alone raises what is being handled."""

    def __init__(self, raised: ast.expr) -> None:
        self._raised = raised

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        return node if node.exc is not None else ast.copy_location(ast.Raise(self._raised), node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        return node


def _check_handlers(statement: ast.Try, scope: Scope) -> None:
    for handler in statement.handlers:
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for each in types:
            if each is not None and scope.resolve(each) is UNKNOWN and not _is_builtin(each, scope):
                raise Unsupported(each, "which exceptions are handled is computed", "name the classes")
        for node in (part for each in handler.body for part in ast.walk(each)):
            found = scope.resolve(node) if isinstance(node, ast.Name | ast.Attribute) else UNKNOWN
            name = getattr(found, "__module__", None) or getattr(found, "__name__", "")
            if str(name).partition(".")[0] in LOOKS_AT_EXCEPTIONS or getattr(node, "attr", "") == "exception":
                raise Unsupported(node, "this looks at the exception being handled", "use `except ... as`")


def _is_builtin(each: ast.expr, scope: Scope) -> bool:
    return isinstance(each, ast.Name) and isinstance(scope.lookup(each.id), type)
