"""Malformed IR is refused, with the stage, the node and what is wrong."""

from __future__ import annotations

import pytest

from agentvm_compiler.errors import InternalError
from agentvm_compiler.ir import Kind, Module, Node, Program, Region, changed
from agentvm_compiler.verify import verify


def llm(site: str, operands: tuple[str, ...], result: str, **rest: object) -> Node:
    options = {"code": "llm(x)", "attrs": {"callee": "agentvm:llm"}, **rest}
    return Node(Kind.LLM, site, operands, (result,), **options)  # type: ignore[arg-type]


def module(*nodes: Node, results: tuple[str, ...] = ("$none",), params: tuple[str, ...] = ("x.0",)) -> Module:
    return Module((Program("m:f", ("x",), Region(params, nodes, results)),))


GOOD = llm("llm#1", ("x.0",), "y.0")
EMPTY = Region(("x.0",), (), ("$none",))


def test_well_formed_ir_is_returned_unchanged():
    """The verifier gives back the very module."""
    program = module(GOOD, llm("llm#2", ("y.0",), "z.0", after=("llm#1",)), results=("z.0",))
    assert verify(program) is program


MALFORMED = {
    "llm#1 comes after y.0, which is not defined before it": module(
        llm("llm#1", (), "y.0", attrs={"callee": "agentvm:llm", "before": {"y": "y.0"}})
    ),
    "try#1 does not name what its handlers handle": module(
        Node(Kind.TRY, "try#1", attrs={"kept": []}, regions=(Region(), Region(("e.0",))))
    ),
    "site llm#1 stands twice": module(GOOD, llm("llm#1", ("x.0",), "z.0")),
    "2 results instead of one": module(GOOD, results=("x.0", "y.0")),
    "m:f: a parameter stands twice": module(params=("x.0", "x.0")),
    "llm#1 reads q.0 before it is defined": module(llm("llm#1", ("q.0",), "y.0")),
    "llm#2 reads y.0 before it is defined": module(llm("llm#2", ("y.0",), "z.0"), GOOD),
    "llm#1 comes after llm#2, which is not before it": module(
        llm("llm#1", (), "y.0", after=("llm#2",)), llm("llm#2", (), "z.0")
    ),
    "llm#1 defines x.0 again": module(llm("llm#1", (), "x.0")),
    "llm#1 defines $none again": module(llm("llm#1", (), "$none")),
    "m:f yields q.0, which is not defined": module(results=("q.0",)),
    "llm#1 is a call without code, callee or result": module(llm("llm#1", (), "y.0", code="")),
    "tool#1 is a call without code, callee or result": module(Node(Kind.TOOL, "tool#1", (), ("y.0",), "f()")),
    "python#1 has 1 regions": module(Node(Kind.PYTHON, "python#1", regions=(EMPTY,))),
    "if#1 has 1 regions": module(Node(Kind.BRANCH, "if#1", ("x.0",), regions=(EMPTY,))),
    "map#1 has a region with 1 parameters for 2 values": module(
        Node(Kind.MAP, "map#1", ("x.0", "x.0"), ("y.0",), regions=(EMPTY,))
    ),
    "map#1 has a region with 1 results for 2": module(
        Node(Kind.MAP, "map#1", ("x.0",), ("y.0", "z.0"), regions=(EMPTY,))
    ),
    "for#1 yields q.0, which is not defined": module(
        Node(Kind.MAP, "for#1", ("x.0",), ("y.0",), regions=(Region(("i.0",), (), ("q.0",)),))
    ),
    "llm#1 reads x.0 before it is defined": module(
        Node(Kind.MAP, "map#1", ("x.0",), ("y.0",), regions=(Region(("i.0",), (GOOD,), ("i.0",)),))
    ),
}


@pytest.mark.parametrize("problem", MALFORMED)
def test_malformed_ir_is_refused(problem: str):
    """The message names the program, the stage and the problem, and asks for a report."""
    with pytest.raises(InternalError) as caught:
        verify(MALFORMED[problem], "lowering")
    message = str(caught.value)
    assert "m:f after lowering" in message and problem in message and "report" in message


def test_only_what_changed_is_verified_again():
    """A sound region stays sound in a later version; one that was made anew is looked at."""
    inner = Region(("a.0",), (), ("a.0",))
    node = Node(Kind.MAP, "map#1", ("xs.0",), ("ys.0",), regions=(inner,))
    first = Module((Program("m:f", ("xs",), Region(("xs.0",), (node,), ("ys.0",))),))
    sound: dict[int, Region] = {}
    verify(first, "lowering", sound)
    assert {id(inner), id(first.main.body)} <= sound.keys()
    broken = changed(node, regions=(Region(("a.0",), (), ("b.0",)),))
    body = changed(first.main.body, nodes=(broken,))
    again = Module((changed(first.main, body=body),))
    for _ in range(2):
        with pytest.raises(InternalError, match=r"after dead: map#1 yields b\.0"):
            verify(again, "dead", sound)
