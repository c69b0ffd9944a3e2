"""Lowering of `try ... finally`.

What the `finally` guards is one region, the `finally` another, which begins with
how the first was left: its exit and value, or an exception, which goes on after
the `finally` unless that leaves the block itself.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from agentvm_compiler.calls import joined
from agentvm_compiler.ir import Kind

from .block import Block, Exit
from .control import branch

if TYPE_CHECKING:
    from .lower import Lowering


def lower_finally(lowering: Lowering, statement: ast.Try, block: Block) -> Exit | None:
    """Lower a `try` with `finally`, its handlers included."""
    guarded: list[ast.stmt] = list(statement.body)
    if statement.handlers:
        inner = ast.Try(statement.body, statement.handlers, statement.orelse, [])
        guarded = [ast.copy_location(inner, statement)]
    body = Block(lowering.names, block, guarded=True)
    end = lowering.block(guarded, body)
    kept = [name for name in body.written if not lowering.is_own(name)]
    fallbacks = [block.read(name) or "$unbound" for name in kept]
    final = Block(lowering.names, block)
    left = (final.bind(lowering.own("exit")), final.bind(lowering.own("value")))
    versions = [final.bind(name) for name in kept]
    lowering.unsure.update(versions)
    exit_, value = _left(lowering, statement, final, left)
    how = (end.exit, end.value) if end else ("$none", "$none")
    body_results = (*how, *(body.read(name) or "$unbound" for name in kept))
    written = [name for name in dict.fromkeys([*kept, *final.written]) if not lowering.is_own(name)]
    results = (exit_, value, *(final.read(name) or "$unbound" for name in written))
    captures = tuple(dict.fromkeys([*body.captures, *final.captures]))
    names = tuple(block.write(each) for each in [lowering.own("exit"), lowering.own("value"), *written])
    lowering.unsure.update(names[2:])
    lowering.add(
        block,
        Kind.TRY,
        "finally",
        (*fallbacks, *captures),
        names,
        effect=joined((body.effect, final.effect)),
        attrs={"final": True, "kept": kept},
        regions=(
            body.region(captures, body_results),
            final.region((*left, *versions, *captures), results),
        ),
        place=statement,
    )
    if end is None and exit_ == left[0]:  # neither part leaves the block, so nothing has to wait to know
        return None
    return Exit(names[0], names[1], end is not None and end.always)


def _left(lowering: Lowering, statement: ast.Try, final: Block, before: tuple[str, str]) -> tuple[str, str]:
    """How the whole statement is left: as the `finally` leaves it, else as what it guards did."""
    own = lowering.block(statement.finalbody, final)
    if own is None:
        return before
    if own.always:
        return own.exit, own.value
    end = branch(
        lowering,
        own.exit,
        lambda then: Exit(then.capture(before[0]), then.capture(before[1])),
        lambda other: Exit(other.capture(own.exit), other.capture(own.value)),
        final,
        "left",
        statement.finalbody[0],
        {"on": "exit"},
    )
    assert end is not None
    return end.exit, end.value
