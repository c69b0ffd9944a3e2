"""Programs as pictures: Mermaid flowcharts, regions as boxes."""

from __future__ import annotations

from collections.abc import Iterator

from .ir import Module, Node, Program, Region

_SHAPES = {
    "llm": '(["{}"])',
    "tool": '[["{}"]]',
    "agent": '{{{{"{}"}}}}',
    "traced": '[/"{}"/]',
    "human": '>"{}"]',
}
_PLAIN = '["{}"]'


def mermaid(module: Module) -> str:
    """A flowchart of the module: solid arrows carry values, dotted ones only order effects.

    Arrows stand after all boxes: Mermaid puts what an arrow names first into the
    box the arrow stands in. Names of values that leave a region lead out of its
    box. Ends in a newline.
    """
    drawing = _Drawing()
    lines = ["flowchart TD"]
    for number, program in enumerate(module.programs):
        lines += drawing.program(program, f"p{number}")
    return "\n".join([*lines, *drawing.arrows]) + "\n"


def label(node: Node, width: int = 48) -> str:
    """A node's site and the beginning of its code."""
    first = node.code.split("\n")[0]
    short = f"{first[:width]}…" if len(first) > width else first
    return f"{node.site}: {short}" if first else node.site


class _Drawing:
    """Lines of boxes as they come, and the arrows for the end."""

    def __init__(self) -> None:
        self.arrows: list[str] = []

    def program(self, program: Program, prefix: str) -> Iterator[str]:
        title = program.name.rpartition(":")[2]
        yield f'  subgraph {prefix}["{_escaped(title)}"]'
        sources: dict[str, str] = {}
        for param in program.body.params:
            name = f"{prefix}_in_{_identifier(param)}"
            yield f'    {name}>"{_escaped(param.rpartition(".")[0])}"]'
            sources[param] = name
        yield from self.region(program.body, prefix, sources, "    ")
        result = program.body.results[0]
        if result in sources:
            yield f'    {prefix}_out(("return"))'
            self.arrows.append(f"  {sources[result]} --> {prefix}_out")
        yield "  end"

    def region(self, region: Region, prefix: str, sources: dict[str, str], indent: str) -> Iterator[str]:
        for node in region.nodes:
            yield from self.node(node, prefix, sources, indent)

    def node(self, node: Node, prefix: str, sources: dict[str, str], indent: str) -> Iterator[str]:
        name = f"{prefix}_{_identifier(node.site)}"
        origins = {sources[each] for each in node.operands if each in sources}
        if node.regions:
            yield f'{indent}subgraph {name}["{_escaped(label(node))}"]'
            for region in node.regions:
                # a captured value keeps its name inside: the arrow comes from where it was made
                inner = {each: sources[each] for each in region.params if each in sources}
                yield from self.region(region, prefix, inner, indent + "  ")
            if not any(each.nodes for each in node.regions):
                yield f'{indent}  {name}_empty[" "]'
            yield f"{indent}end"
        else:
            yield f"{indent}{name}{_SHAPES.get(node.kind, _PLAIN).format(_escaped(label(node)))}"
        self.arrows += [f"  {each} --> {name}" for each in sorted(origins)]
        before = [f"{prefix}_{_identifier(each)}" for each in node.after]
        self.arrows += [f"  {each} -.-> {name}" for each in before if each not in origins]
        for result in node.results:
            sources[result] = name


_ENTITIES = {
    "&": "&amp;",
    '"': "&quot;",
    "<": "&lt;",
    ">": "&gt;",
    "#": "&num;",
    "\\": "&bsol;",
    "`": "&grave;",
}


def _escaped(text: str) -> str:
    """The text with what Mermaid would read otherwise as entities, on one line."""
    return "".join(_ENTITIES.get(each, each if each.isprintable() else " ") for each in text)


def _identifier(text: str) -> str:
    return "".join(each if each.isascii() and each.isalnum() else f"_{ord(each)}_" for each in text)
