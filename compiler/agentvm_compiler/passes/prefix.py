"""Shared prefixes: model calls whose prompts begin with the same text are one group.

The *head* of a call is what it sends first: model, system text, and the prompt
up to its first 64 literal characters (about one block of an engine's KV cache)
or its first value. The head's hash is the attribute `prefix_group`, so calls of
the same head are grouped across iterations, agents and runs. Where the head
ends in values it is the same text only for the same values: the attribute
`prefix_values` names these operands, and the group is the hash and the values.
Such a head counts only if calls do share it: another node has it, or it stands in
a loop or map that gives each iteration the same values.

Adds attributes only. Verified module in, verified module out.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentvm_compiler.ir import Kind, Module, Node, Program, Region, base, changed, content_hash, substituted

from .parsed import assigned, call_of, options, prompt_of

ENOUGH = 64
"""Characters of literal text that make a prefix worth sharing."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a call sends first."""

    parts: tuple[str, ...]
    values: tuple[str, ...] = ()
    """What the last part stands for, if it is a value."""

    @property
    def group(self) -> str:
        return content_hash(self.parts)


def prefix(module: Module) -> Module:
    """Set `prefix_group` and `prefix_values` of model calls."""
    return changed(module, programs=tuple(_program(each) for each in module.programs))


def _program(program: Program) -> Program:
    nodes = list(program.body.walk())
    defined = {each.results[0]: each for each in nodes if each.kind is Kind.PYTHON and each.results}
    heads = {
        node.site: head
        for node in nodes
        if node.kind is Kind.LLM and (head := head_of(node, defined)) is not None
    }
    if not heads:
        return program
    shared = Counter(heads.values())
    marked = dict(_marked(program.body, heads, shared, frozenset()))
    return changed(program, body=substituted(program.body, marked))


def _marked(
    region: Region, heads: Mapping[str, Head], shared: Counter[Head], steady: frozenset[str]
) -> Iterator[tuple[str, Node]]:
    """The calls of shared heads in a region, marked, by site.

    Args:
        steady: values that are the same in all iterations of the innermost loop around it.
    """
    for node in region.nodes:
        head = heads.get(node.site)
        if head is not None and (not head.values or shared[head] > 1 or steady.issuperset(head.values)):
            values = {"prefix_values": list(head.values)} if head.values else {}
            yield node.site, changed(node, attrs={**node.attrs, "prefix_group": head.group, **values})
        for each in node.regions:
            yield from _marked(each, heads, shared, _steady(node, each, steady))


def _steady(node: Node, region: Region, steady: frozenset[str]) -> frozenset[str]:
    if node.kind is Kind.MAP:
        return frozenset(region.params[1:])
    if node.kind is Kind.LOOP:
        return frozenset(region.params[1 + node.attrs["carried"] :])
    return steady


def head_of(node: Node, defined: Mapping[str, Node]) -> Head | None:
    """The head of a model call; None if it is too short to share, or not known.

    Args:
        defined: by value, the nodes that may do nothing but assign it.
    """
    call = call_of(node)
    named = options(call) if call is not None else None
    prompt = prompt_of(call) if call is not None else None
    if call is None or named is None or prompt is None:
        return None
    names = {base(each): each for each in node.operands}
    first = [f"model {ast.unparse(named['model'])}"] if "model" in named else []
    if not all(isinstance(named.get(each, ast.Constant("")), ast.Constant) for each in ("model", "system")):
        return None
    text = ""
    values: list[str] = []
    system = named.get("system", ast.Constant(""))
    parts = [("text", f"{getattr(system, 'value', '')}\n"), *_parts(prompt, names, defined)]
    for kind, part in parts:
        if kind == "value":
            values.append(part)
            break
        text += part[: ENOUGH - len(text)] if kind == "text" else ""
        if kind != "text" or len(text) >= ENOUGH:
            break
    if not values and len(text) < ENOUGH:
        return None
    given = tuple(each for each in values if each in node.operands)
    return Head((*first, text, *("a value" for _ in given)), given) if len(given) == len(values) else None


def _parts(
    expression: ast.expr, names: Mapping[str, str], defined: Mapping[str, Node]
) -> list[tuple[str, str]]:
    """Text and values of a prompt from its beginning; `other` for what is not told apart."""
    match expression:
        case ast.Constant(str() as text):
            return [("text", text)]
        case ast.JoinedStr(values):
            return [part for each in values for part in _parts(each, names, defined)]
        case ast.FormattedValue(ast.Name() as value, -1, None):
            return _parts(value, names, defined)
        case ast.BinOp(left, ast.Add(), right):
            return [*_parts(left, names, defined), *_parts(right, names, defined)]
        case ast.Name(name) if name in names:
            made = defined.get(names[name])
            found = assigned(made) if made is not None else None
            if made is not None and found is not None and isinstance(found[1], ast.JoinedStr | ast.Constant):
                return _parts(found[1], {base(each): each for each in made.operands}, defined)
            return [("value", names[name])]
    return [("other", "")]
