"""Programs as pictures: what stands where, whatever is in their text."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from agentvm_compiler.compile import compile_agent
from agentvm_compiler.graph import mermaid
from agentvm_compiler.ir import Kind, Module, Node, Program, Region
from agentvm_compiler.svg import Panel, _program, svg
from tests.unit.compiler.programs import AGENTS

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'f("<a>&amp;\\n#1`|\x07\ud800")\nmore'


def module(*nodes: Node, name: str = "m:f") -> Module:
    return Module((Program(name, ("x",), Region(("x.0",), nodes, ("x.0",))),))


def wide(count: int) -> Module:
    """Independent chains that a last node joins, with a loop in the middle of each."""
    nodes: list[Node] = []
    for number in range(count // 4):
        call = {"code": "llm(a)", "attrs": {"callee": "agentvm:llm"}}
        inner = Node(Kind.LLM, f"in#{number}", ("i.0",), (f"j{number}.0",), **call)
        body = Region(("i.0", f"a{number}.0"), (inner,), (f"j{number}.0",))
        nodes += [
            Node(Kind.LLM, f"a#{number}", ("x.0",), (f"a{number}.0",), **call),
            Node(
                Kind.MAP,
                f"map#{number}",
                (f"a{number}.0", f"a{number}.0"),
                (f"b{number}.0",),
                regions=(body,),
            ),
            Node(Kind.PYTHON, f"c#{number}", (f"b{number}.0", f"a{number}.0"), (f"c{number}.0",), "c = b"),
        ]
    ends = tuple(f"c{number}.0" for number in range(count // 4))
    return module(*nodes, Node(Kind.PYTHON, "end#1", ends, ("end.0",), "end = 1"))


@pytest.mark.parametrize("agent", AGENTS, ids=lambda each: each.name)
def test_mermaid_draws_arrows_after_all_boxes(agent):
    """No arrow stands in a box, so none pulls what it names into it; boxes are closed."""
    lines = mermaid(compile_agent(agent).module).splitlines()
    arrows = [number for number, line in enumerate(lines) if re.search(r" -\.?->? ", line)]
    assert lines[0] == "flowchart TD"
    assert arrows == list(range(len(lines) - len(arrows), len(lines)))
    assert sum(line.strip() == "end" for line in lines) == sum("subgraph" in line for line in lines)


def test_mermaid_text_is_escaped():
    """Titles, labels and code cannot end a string, begin an entity or an escape, or break the line."""
    text = mermaid(module(Node(Kind.PYTHON, 'a"\\#1', (), (), NASTY), name='m:"g\\'))
    assert "\\" not in text and "`" not in text and "\x07" not in text
    assert '["&quot;g&bsol;"]' in text
    assert '["a&quot;&bsol;&num;1: f(&quot;&lt;a&gt;&amp;amp;' in text


@pytest.mark.parametrize("agent", AGENTS, ids=lambda each: each.name)
def test_svg_shows_every_node(agent):
    """The document is XML, and each node of the module is in it once, with its code to hover for."""
    programs = compile_agent(agent).module.programs
    root = ElementTree.fromstring(svg(compile_agent(agent).module))
    titles = [each.text for each in root.iter(f"{SVG}title")]
    nodes = [node for program in programs for node in program.body.walk()]
    assert titles == [
        f"{node.kind} {node.site} ({node.effect})" + (f"\n{node.code}" if node.code else "") for node in nodes
    ]


def test_svg_text_is_escaped():
    """Markup, control characters and lone surrogates in code leave the document well formed."""
    text = svg(module(Node(Kind.PYTHON, "a<&#1", (), (), NASTY), name="m:<g>"))
    text.encode()
    titles = [each.text for each in ElementTree.fromstring(text).iter(f"{SVG}title")]
    assert titles == ['python a<&#1 (pure)\nf("<a>&amp;\\n#1`|��")\nmore']


def boxes_overlap(panel: Panel) -> bool:
    inside = [each for item in panel.items for each in item.panels]
    return any(map(boxes_overlap, inside)) or any(
        abs(a.x - b.x) < (a.width + b.width) / 2 and a.y < b.y + b.height and b.y < a.y + a.height
        for a, b in combinations(panel.items, 2)
    )


@pytest.mark.parametrize("drawn", [wide(100), *(compile_agent(each).module for each in AGENTS)])
def test_svg_boxes_do_not_overlap(drawn):
    """Neither with each other, nor with the edge of the box around them; arrows lead down."""
    for program in drawn.programs:
        panel = _program(program)
        assert not boxes_overlap(panel)
        for item in panel.items:
            assert item.x - item.width / 2 >= 0 and item.x + item.width / 2 <= panel.width
            assert item.y >= 0 and item.y + item.height <= panel.height
        for chain, _ in panel.arrows:
            assert [each.layer for each in chain] == list(range(chain[0].layer, chain[-1].layer + 1))


def test_svg_leaves_out_order_that_follows():
    """Of three writes in a row the first and third are not joined by an arrow of their own."""
    writes = [Node(Kind.PYTHON, f"w#{n}", after=tuple(f"w#{m}" for m in range(n))) for n in range(3)]
    assert svg(module(*writes)).count('class="o"') == 2
