"""What is known of a piece of code at once is what asking for each fact by itself tells."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from operator import itemgetter

import pytest

from agentvm_compiler.calls import Effect
from agentvm_compiler.frontend.alias import Analysis
from agentvm_compiler.frontend.callees import effect_calls
from agentvm_compiler.frontend.fingerprint import referring
from agentvm_compiler.frontend.pieces import Pieces
from agentvm_compiler.frontend.scope import Scope
from agentvm_compiler.frontend.source import source_of

from .programs import look


def everything(a, *rest):
    """Binds, reads, changes, calls, refers to and leaves in many ways."""
    b = [x for x in a if (y := x)]
    for c, (d, *e) in rest:
        with c as handle:
            b += d
            b.append(look(handle))
        if y:
            continue
        print(ast.AST, len(b), e)
    try:
        del b
    except ValueError as error:
        match a:
            case {"k": k, **others} | [*others, k]:
                print(error, max(others, key=lambda q: (q, k)))
                return others
    while a:
        a.pop()
        break
    return {**{each: [inner.part for inner in each] for each in a}}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    source = source_of(everything)
    assert source is not None
    return Analysis(Scope(source))


@pytest.fixture(scope="module")
def pieces(analysis) -> Pieces:
    return Pieces(analysis.scope, analysis.marks)


def parts(analysis) -> Iterator[ast.stmt | ast.expr]:
    """All statements and expressions of the function that lowering could meet."""
    return (each for each in analysis.scope.tree.nodes if isinstance(each, ast.stmt | ast.expr))


def made_of(node: ast.stmt | ast.expr) -> Iterator[ast.AST]:
    """The node, and others made of it as lowering makes them."""
    yield node
    yield copy.copy(node)
    if isinstance(node, ast.stmt):
        yield ast.If(ast.Name("test", ast.Load()), [node], [ast.Break()])
        return
    yield ast.Assign([ast.Name("new", ast.Store())], ast.UnaryOp(ast.Not(), node))
    yield ast.ListComp(node, [ast.comprehension(ast.Name("item", ast.Store()), node, [], 0)])
    yield ast.Return(ast.Call(ast.Attribute(ast.Name("look", ast.Load()), "fn", ast.Load()), [node], []))


def test_a_piece_has_the_facts_that_are_asked_for_one_by_one(analysis, pieces):
    """For every part of a function, and for what is made anew of it."""
    scope, tree, marks = analysis.scope, analysis.scope.tree, analysis.marks
    used = scope.once(referring)
    for node in (made for part in parts(analysis) for made in made_of(part)):
        piece = pieces.of(node)
        assert piece.loaded == tree.loaded(node)
        assert piece.stored == tree.stored(node)
        assert piece.used == used.within(node)
        assert piece.calls == effect_calls(node, scope)
        assert {*piece.ended} == tree.ended(node)
        assert piece.has(ast.Return) == bool(tree.within(node, ast.Return))
        assert piece.has(ast.NamedExpr) == bool(tree.within(node, ast.NamedExpr))
        assert piece.effect is marks.effect_of(node)
        assert {*piece.mutated} == marks.mutated_in(node)


def test_an_assignment_is_known_by_its_value(analysis, pieces):
    """What is known of `new = value` is the same whether it is asked for as a whole or not."""
    for value in parts(analysis):
        if isinstance(value, ast.expr):
            whole = pieces.of(ast.Assign([ast.Name("new", ast.Store())], value))
            told = pieces.of_assigned("new", value)
            assert told.loaded == whole.loaded
            whole.reads.sort(key=itemgetter(1))
            told.reads.sort(key=itemgetter(1))
            assert told == whole


def test_the_example_has_all_kinds_of_facts(analysis, pieces):
    """So that the tests above compare more than empty lists."""
    whole = pieces.of(analysis.scope.tree.root)
    assert whole.effect is not Effect.PURE
    assert all(
        (whole.reads, whole.stored, whole.used, whole.calls, whole.ended, whole.special, whole.mutated)
    )
