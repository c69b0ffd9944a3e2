"""Where the syntax tree of a function comes from."""

from __future__ import annotations

import ast

from agentvm_compiler.frontend.source import source_of


class Indented:
    def method(self) -> str:
        return """one
        two"""


def made():
    def inner(value: int) -> int:
        return value

    return inner


def test_text_over_several_lines_stays_as_it_is_in_an_indented_function():
    """Finding the tree of a method does not take blanks out of its texts."""
    source = source_of(Indented.method)
    assert source is not None
    assert [each.value for each in ast.walk(source.tree) if isinstance(each, ast.Constant)] == [
        Indented().method()
    ]


def test_a_tree_stands_where_it_does_in_its_file():
    """Lines and columns are those of the file, and so is the quoted line."""
    source = source_of(Indented.method)
    assert source is not None
    code = Indented.method.__code__
    assert (source.tree.lineno, source.tree.col_offset) == (code.co_firstlineno, 4)
    assert source.quote(source.tree.lineno, 4, 7) == "    def method(self) -> str:\n    ^^^"


def test_functions_of_the_same_code_have_trees_of_their_own():
    """What is found out about one is not found on the other, whose names may mean something else."""
    one, other = source_of(made()), source_of(made())
    assert one is not None and other is not None
    assert one.tree is not other.tree
    assert ast.unparse(one.tree) == ast.unparse(other.tree)
