"""Lowering of control flow: conditions, branches, loops, `match`.

Each becomes a node with regions; what may leave a block early does so by an
*exit* (see `block.Exit`), and what follows stands in a branch on it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentvm_compiler.calls import Effect, joined
from agentvm_compiler.ir import Kind
from agentvm_compiler.parsing import parse

from . import hoist
from .block import Block, Exit
from .callees import suspends
from .decide import Unsupported
from .exits import breaks, returns
from .kinds import certainly

if TYPE_CHECKING:
    from .lower import Lowering


def lower_if(lowering: Lowering, statement: ast.If, block: Block) -> Exit | None:
    condition = truth_of(lowering, statement.test, block)
    return branch(
        lowering,
        condition,
        lambda then: lowering.block(statement.body, then),
        lambda other: lowering.block(statement.orelse, other),
        block,
        "if",
        statement,
    )


def truth_of(lowering: Lowering, test: ast.expr, block: Block) -> str:
    value = hoist.hoist(lowering, test, block)
    assert value is not None
    truth = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), value))
    lowering.assign(lowering.own("if"), ast.copy_location(truth, test), block)
    condition = block.read(lowering.own("if"))
    assert condition is not None
    return condition


def either(
    lowering: Lowering, condition: str, then: ast.expr, otherwise: ast.expr, block: Block, place: ast.AST
) -> ast.expr:
    """The value of one of two expressions, under a temporary name."""
    name = lowering.temporary()

    def side(expression: ast.expr) -> Callable[[Block], None]:
        def lower(inner: Block) -> None:
            left = hoist.hoist(lowering, expression, inner, into=name)
            if left is not None:
                lowering.assign(name, left, inner)

        return lower

    branch(lowering, condition, side(then), side(otherwise), block, "if", place, keep=name)
    return ast.copy_location(ast.Name(name, ast.Load()), place)


def is_listed(lowering: Lowering, iterable: ast.expr) -> bool:
    """Whether the items are certainly there before the first is asked for."""
    if isinstance(iterable, ast.Call) and lowering.scope.resolve(iterable.func) in (enumerate, zip, reversed):
        return all(is_listed(lowering, each) for each in iterable.args)
    return certainly(lowering.analysis.types.of(iterable)) in (list, tuple, dict, set, frozenset, str, range)


def lower_guarded(lowering: Lowering, rest: list[ast.stmt], end: Exit, block: Block) -> Exit | None:
    """What follows a statement that may have left the block."""
    return branch(
        lowering,
        end.exit,
        lambda then: lowering.block(rest, then),
        lambda other: Exit(other.capture(end.exit), other.capture(end.value)),
        block,
        "rest",
        rest[0],
        {"on": "exit"},
    )


def branch(
    lowering: Lowering,
    condition: str,
    then: Callable[[Block], Exit | None],
    otherwise: Callable[[Block], Exit | None],
    block: Block,
    label: str,
    place: ast.AST,
    attrs: dict[str, object] | None = None,
    keep: str = "",
) -> Exit | None:
    """Add a branch; names that a side assigns get new versions, of our own names only `keep`."""
    sides = (Block(lowering.names, block), Block(lowering.names, block))
    ends = (then(sides[0]), otherwise(sides[1]))
    written = [
        each
        for each in dict.fromkeys([*sides[0].written, *sides[1].written])
        if each == keep or not lowering.is_own(each)
    ]
    exits = any(end is not None for end in ends)
    results = []
    for side, end in zip(sides, ends, strict=True):
        left = [end.exit, end.value] if end else ["$none", "$none"]
        results.append([*(left if exits else []), *(side.read(each) or "$unbound" for each in written)])
    captures = tuple(dict.fromkeys([*sides[0].captures, *sides[1].captures]))
    names = tuple(
        block.write(each)
        for each in [*([lowering.own("exit"), lowering.own("value")] if exits else []), *written]
    )
    for index, name in enumerate(names):
        if any(given[index] == "$unbound" or given[index] in lowering.unsure for given in results):
            lowering.unsure.add(name)
    lowering.add(
        block,
        Kind.BRANCH,
        label,
        (condition, *captures),
        names,
        effect=joined(side.effect for side in sides),
        attrs=attrs,
        regions=tuple(
            side.region(captures, tuple(given)) for side, given in zip(sides, results, strict=True)
        ),
        place=place,
    )
    if not exits:
        return None
    return Exit(names[0], names[1], always=all(end is not None and end.always for end in ends))


def lower_for(lowering: Lowering, statement: ast.For, block: Block) -> Exit | None:
    iterable = hoist.hoist(lowering, statement.iter, block)
    assert iterable is not None
    name = getattr(statement, "avm_items", "")
    if name and any(name in lowering.marks.mutated_in(each) for each in statement.body):
        return _lower_counted(lowering, statement, iterable, name, block)
    if (
        not isinstance(iterable, ast.Name)
        or not lowering.is_bound(iterable.id, block)
        or lowering.marks.mutated_in(iterable)
    ):
        lowering.assign(lowering.own("in"), iterable, block)
        iterable = ast.Name(lowering.own("in"), ast.Load())
    items = block.read(iterable.id)
    assert items is not None
    return _loop(lowering, items, statement.target, statement.body, statement.orelse, block, "for", statement)


def _lower_counted(
    lowering: Lowering, statement: ast.For, iterable: ast.expr, name: str, block: Block
) -> Exit | None:
    """A loop whose body changes its items, under whatever name: each is taken out when it is its turn.

    The list of them is carried, and changed together with what shares the items.
    """
    listed = ast.List([ast.Starred(iterable, ast.Load())], ast.Load())
    lowering.assign(name, ast.copy_location(listed, statement.iter), block)
    numbers = parse(f"range(len({name}))", mode="eval").body
    lowering.assign(lowering.own("in"), ast.copy_location(numbers, statement.iter), block)
    item = parse(f"{name}[{lowering.own('item')}]", mode="eval").body
    take = ast.Assign([statement.target], item)
    body = [ast.copy_location(take, statement), *statement.body]
    count = block.read(lowering.own("in"))
    assert count is not None
    end = _loop(lowering, count, None, body, statement.orelse, block, "for", statement)
    block.unbind(name)
    return end


def lower_match(lowering: Lowering, statement: ast.Match, block: Block) -> Exit | None:
    """Which case matches is plain Python; its body is then chosen by number."""
    if any(case.guard is not None and suspends(case.guard, lowering.scope) for case in statement.cases):
        raise Unsupported(statement, "a guard of `match` awaits", "use if statements")
    subject = hoist.hoist(lowering, statement.subject, block)
    assert subject is not None
    chosen = lowering.temporary()
    lowering.assign(chosen, ast.copy_location(ast.Constant(None), statement), block)
    cases = []
    for number, case in enumerate(statement.cases):
        choose = ast.Assign([ast.Name(chosen, ast.Store())], ast.Constant(number), lineno=statement.lineno)
        cases.append(ast.match_case(case.pattern, case.guard, [choose]))
    choice = ast.copy_location(ast.Match(subject, cases), statement)
    lowering.python(choice, block)
    rest: list[ast.stmt] = []
    for number, case in reversed(list(enumerate(statement.cases))):
        test = ast.Compare(ast.Name(chosen, ast.Load()), [ast.Eq()], [ast.Constant(number)])
        ast.copy_location(test, case.body[0])
        rest = [ast.copy_location(ast.If(test, case.body, rest), case.body[0])]
    return lowering.block(rest, block)


def lower_while(lowering: Lowering, statement: ast.While, block: Block) -> Exit | None:
    body = statement.body
    orelse = statement.orelse
    if orelse and breaks(orelse):
        raise Unsupported(statement, "the `else` of the loop leaves a loop around it")
    if not (isinstance(statement.test, ast.Constant) and statement.test.value):
        guard = ast.If(
            statement.test, [ast.Pass()], [*orelse, ast.copy_location(ast.Break(), statement.test)]
        )
        orelse = []
        body = [ast.copy_location(guard, statement.test), *body]
    return _loop(lowering, "$none", None, body, orelse, block, "while", statement)


def _loop(
    lowering: Lowering,
    items: str,
    target: ast.expr | None,
    statements: list[ast.stmt],
    orelse: list[ast.stmt],
    block: Block,
    label: str,
    place: ast.stmt,
) -> Exit | None:
    inside: list[ast.AST] = [*statements, *([target] if target is not None else [])]
    carried = list(dict.fromkeys(name for each in inside for name in lowering.tree.stored(each)))
    carried += sorted(frozenset().union(*map(lowering.marks.mutated_in, inside)) - set(carried))
    if any(lowering.marks.effect_of(each) is not Effect.PURE for each in inside):
        # What shares with them is read back from a journal together with them.
        carried += sorted(lowering.analysis.families.around(carried, block.is_bound) - set(carried))
    before = tuple(block.read(each) or "$unbound" for each in carried)
    body = Block(lowering.names, block)
    versions = tuple(body.bind(each) for each in carried)
    ended = {name for each in inside for name in lowering.tree.ended(each)}
    lowering.unsure.update(
        version
        for name, version, early in zip(carried, versions, before, strict=True)
        if early == "$unbound" or early in lowering.unsure or name in ended
    )
    if isinstance(target, ast.Name):
        item = body.bind(target.id)
    else:
        item = body.bind(lowering.own("item"))
        if target is not None:
            lowering._unpack(target, body, target)
    end = lowering.block(statements, body)
    left = (end.exit, end.value) if end else ("$none", "$none")
    given = tuple(body.read(each) or "$unbound" for each in carried)
    captures = tuple(body.captures)
    names = tuple(block.write(each) for each in [lowering.own("exit"), lowering.own("value"), *carried])
    lowering.unsure.update(
        result
        for name, result, early in zip(carried, names[2:], before, strict=True)
        if early == "$unbound" or early in lowering.unsure or name in ended
    )
    lowering.add(
        block,
        Kind.LOOP,
        label,
        (items, *before, *captures),
        names,
        effect=body.effect,
        attrs={"carried": len(carried), **({"tells_break": True} if orelse else {})},
        regions=(body.region((item, *versions, *captures), (*left, *given)),),
        place=place,
    )
    end = Exit(names[0], names[1]) if returns(statements) else None
    return _loop_else(lowering, names[0], end, orelse, block) if orelse else end


def _loop_else(
    lowering: Lowering, left: str, end: Exit | None, orelse: list[ast.stmt], block: Block
) -> Exit | None:
    """The `else` of a loop: what is done unless the loop was left by `break` or `return`."""

    def broken(other: Block) -> Exit | None:
        if end is None:
            return None
        name = lowering.own("exit")
        unless = parse(f"None if {name} == 'break' else {name}", mode="eval").body
        lowering.assign(name, ast.copy_location(unless, orelse[0]), other)
        reason = other.read(name)
        assert reason is not None
        return Exit(reason, other.capture(end.value))

    return branch(
        lowering,
        left,
        lambda then: lowering.block(orelse, then),
        broken,
        block,
        "else",
        orelse[0],
        {"on": "exit"},
    )
