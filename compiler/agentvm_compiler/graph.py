"""Programs as pictures: Mermaid flowcharts, regions as boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .ir import Module, Node, Program, Region

_SHAPES = {
    "llm": '(["{}"])',
    "tool": '[["{}"]]',
    "agent": '{{{{"{}"}}}}',
    "python": '["{}"]',
    "traced": '[/"{}"/]',
}


def mermaid(module: Module) -> str:
    """A flowchart of the module: solid arrows carry values, dotted ones only order effects.

    Names of values that leave a region lead out of its box. Ends in a newline.
    """
    lines = ["flowchart TD"]
    for number, program in enumerate(module.programs):
        lines += _program(program, f"p{number}")
    return "\n".join(lines) + "\n"


def _program(program: Program, prefix: str) -> Iterator[str]:
    title = program.name.rpartition(":")[2]
    yield f'  subgraph {prefix}["{title}"]'
    sources: dict[str, str] = {}
    for param in program.body.params:
        name = f"{prefix}_in_{_identifier(param)}"
        yield f'    {name}>"{_escaped(param.rpartition(".")[0])}"]'
        sources[param] = name
    yield from _region(program.body, prefix, sources, "    ")
    result = program.body.results[0]
    if result in sources:
        yield f'    {prefix}_out(("return"))'
        yield f"    {sources[result]} --> {prefix}_out"
    yield "  end"


def _region(region: Region, prefix: str, sources: dict[str, str], indent: str) -> Iterator[str]:
    for node in region.nodes:
        yield from _node(node, prefix, sources, indent)


def _node(node: Node, prefix: str, sources: dict[str, str], indent: str) -> Iterator[str]:
    name = f"{prefix}_{_identifier(node.site)}"
    origins = {sources[each] for each in node.operands if each in sources}
    if node.regions:
        yield f'{indent}subgraph {name}["{_escaped(node.site)}"]'
        for number, region in enumerate(node.regions):
            inner = dict(_bound(node, region, sources))
            if region.nodes:
                yield from _region(region, prefix, inner, indent + "  ")
            elif not number:
                yield f"{indent}  {name}_empty[ ]"
        yield f"{indent}end"
    else:
        yield f"{indent}{name}{_SHAPES[node.kind].format(_escaped(_label(node)))}"
    for origin in sorted(origins):
        yield f"{indent}{origin} --> {name}"
    for site in node.after:
        before = f"{prefix}_{_identifier(site)}"
        if before not in origins and node.kind in ("tool", "traced", "python"):
            yield f"{indent}{before} -.-> {name}"
    for result in node.results:
        sources[result] = name


def _bound(node: Node, region: Region, sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a region's captures stand for: the arrow comes from where the value was made."""
    values = node.operands[-len(region.params) :] if region.params else ()
    for param, value in zip(region.params, values, strict=False):
        if param == value and value in sources:
            yield param, sources[value]


def _label(node: Node) -> str:
    first = node.code.splitlines()[0] if node.code else ""
    return f"{node.site}: {first[:48]}…" if len(first) > 48 else f"{node.site}: {first}"


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;"), ("#", "&num;")):
        text = text.replace(character, entity)
    return text


def _identifier(text: str) -> str:
    return "".join(each if each.isalnum() else f"_{ord(each)}_" for each in text)
