"""The text form of the IR, for people, for golden tests, and to be parsed back (`parse`).

One line a node, its code after `|`, regions indented:

    llm llm#1: queries.0 = (question.0, breadth.0) pure calls agentvm:llm hash 3fecfb0b7b1376
      | llm(f'List {breadth} queries for: {question}', returns=list[str])

It says all that a module's hash covers, and no source positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .ir import Module, Node, Program, Region, base

REGION_NAMES = {"branch": ("then", "else"), "loop": ("body",), "map": ("each",), "try": ("body", "handler")}
"""What a node's regions are called, by kind; the last name stands for all that follow."""

WORD = re.compile(r'[^\s,:(){}"|=]*(?:[:=][^\s,:(){}"|=]+)*')
"""A name that needs no quotes; may hold colons and equals signs, but not at its end."""


def print_module(module: Module, *, hashes: bool = True) -> str:
    """The whole module; ends in a newline.

    Args:
        hashes: with the hash of each node's code; without, the text does not tell all.
    """
    return "\n".join(print_program(each, hashes=hashes) for each in module.programs)


def print_program(program: Program, *, hashes: bool = True) -> str:
    head = f"program {word(program.name)}({_words(program.body.params)})"
    if program.params != tuple(base(each) for each in program.body.params):
        head += f" named ({_words(program.params)})"
    lines = [head, *_region_lines(program.body, "  ", hashes)]
    return "\n".join(lines) + "\n"


def word(name: str) -> str:
    """A name as it stands, or in quotes."""
    plain = name and WORD.fullmatch(name) and name.isprintable()
    return name if plain else json.dumps(name)


def region_name(kind: str, index: int) -> str:
    """What a node's region is called."""
    names = REGION_NAMES.get(kind, ("region",))
    return names[min(index, len(names) - 1)]


def _words(names: Iterable[str]) -> str:
    return ", ".join(word(each) for each in names)


def _region_lines(region: Region, indent: str, hashes: bool) -> Iterator[str]:
    for node in region.nodes:
        yield from _node_lines(node, indent, hashes)
    yield f"{indent}yield {_words(region.results)}".rstrip()


def _node_lines(node: Node, indent: str, hashes: bool) -> Iterator[str]:
    head = f"{indent}{node.kind} {word(node.site)}: "
    if node.results:
        head += f"{_words(node.results)} = "
    head += f"({_words(node.operands)}) {node.effect}"
    if node.after:
        head += f" after {_words(node.after)}"
    attrs = dict(sorted(node.attrs.items()))
    if isinstance(attrs.get("callee"), str):
        head += f" calls {word(attrs.pop('callee'))}"
    if attrs:
        head += " {" + ", ".join(f"{word(key)}: {_value(each)}" for key, each in attrs.items()) + "}"
    if hashes and node.code_hash:
        head += f" hash {word(node.code_hash)}"
    yield head
    for line in node.code.split("\n") if node.code else ():
        yield f"{indent}  | {line}" if line else f"{indent}  |"
    for index, region in enumerate(node.regions):
        yield f"{indent}  {region_name(node.kind, index)}({_words(region.params)}):"
        yield from _region_lines(region, indent + "    ", hashes)


def _value(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
