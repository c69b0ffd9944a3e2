"""What a numbered tree tells of its parts is what walking them tells."""

from __future__ import annotations

import ast

import pytest

from agentvm_compiler.frontend.tree import Tree, loaded_names

SOURCE = """
async def f(a, *rest):
    b = [x for x in a if (y := x)]
    for c, (d, *e) in rest:
        with open(c) as handle:
            b += d
        import os.path as p, sys
    try:
        del b
    except ValueError as error:
        def g(h):
            hidden = h
        match a:
            case {"k": k, **others} | [*others, k]:
                (lambda q: (z := q))(k)
    return b
"""


@pytest.fixture
def tree() -> Tree:
    root = ast.parse(SOURCE).body[0]
    assert isinstance(root, ast.AsyncFunctionDef)
    return Tree(root)


def test_names_bound_are_those_of_the_function(tree):
    """Names bound in nested functions and by comprehensions are not the function's, but `:=` in these is."""
    assert " ".join(tree.stored(tree.root)) == "b y c d e handle b p sys b error g others k others k"


def test_a_part_has_the_facts_that_are_in_it(tree):
    """For every node, the nodes of a type within it are those that walking it finds."""
    for node in ast.walk(tree.root):
        if node in tree:
            walked = {id(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Call)}
            assert {id(each) for each in tree.within(node, ast.Name, ast.Call)} == walked


def test_a_node_made_of_parts_has_the_facts_of_its_parts(tree):
    """What is not of the tree itself is walked down to what is."""
    loop = tree.root.body[1]
    new = ast.Assign([ast.Name("new", ast.Store())], loop.iter)
    made = ast.If(ast.Name("test", ast.Load()), [loop], [new])
    assert tree.stored(made) == [*tree.stored(loop), "new"]
    assert [each.id for each in tree.within(made, ast.Name)] == [
        "test",
        *(each.id for each in tree.within(loop, ast.Name)),
        "new",
        "rest",
    ]


def test_nodes_inside_nested_functions_can_be_left_out(tree):
    """The nested function itself is among those of the body, what is in it is not."""
    assert [type(each) for each in tree.every(ast.FunctionDef, ast.NamedExpr, nested=False)] == [
        ast.NamedExpr,
        ast.FunctionDef,
    ]
    assert len(tree.every(ast.FunctionDef, ast.NamedExpr)) == 3


def test_names_read_come_by_depth(tree):
    """The order is that of `ast.walk`, which decides the order of operands, with and without a tree."""
    made = ast.Expr(ast.List([tree.root.body[1], ast.Name("last", ast.Load())], ast.Load()))
    assert loaded_names(ast.parse("f(a[b], c)")) == ["f", "c", "a", "b"]
    assert tree.loaded(tree.root) == loaded_names(tree.root)
    assert tree.loaded(made) == loaded_names(made)
