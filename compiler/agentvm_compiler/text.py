"""The text form of the IR, for people and golden tests.

One line a node, regions indented:

    llm llm#1: queries.0 = (question.0, breadth.0) pure
      | llm(f'List {breadth} queries for: {question}', returns=list[str])
"""

from __future__ import annotations

from collections.abc import Iterator

from .ir import Module, Node, Program, Region

REGION_NAMES = {"branch": ("then", "else"), "loop": ("body",), "map": ("each",)}


def print_module(module: Module) -> str:
    """The whole module; ends in a newline."""
    return "\n".join(print_program(each) for each in module.programs)


def print_program(program: Program) -> str:
    lines = [f"program {program.name}({', '.join(program.body.params)})"]
    lines += _region_lines(program.body, "  ")
    return "\n".join(lines) + "\n"


def _region_lines(region: Region, indent: str) -> Iterator[str]:
    for node in region.nodes:
        yield from _node_lines(node, indent)
    yield f"{indent}yield {', '.join(region.results)}"


def _node_lines(node: Node, indent: str) -> Iterator[str]:
    head = f"{indent}{node.kind} {node.site}: "
    if node.results:
        head += f"{', '.join(node.results)} = "
    head += f"({', '.join(node.operands)}) {node.effect}"
    if node.after:
        head += f" after {', '.join(node.after)}"
    attrs = {key: value for key, value in sorted(node.attrs.items()) if key != "callee"}
    if attrs:
        head += " {" + ", ".join(f"{key}: {value!r}" for key, value in attrs.items()) + "}"
    yield head
    for line in node.code.splitlines():
        yield f"{indent}  | {line}"
    names = REGION_NAMES.get(node.kind, ())
    for name, region in zip(names, node.regions, strict=False):
        yield f"{indent}  {name}({', '.join(region.params)}):"
        yield from _region_lines(region, indent + "    ")
