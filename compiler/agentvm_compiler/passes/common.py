"""Common subexpressions: what is asked twice is asked once.

Two calls are *common* if they are the same code on the same values, one comes
before the other in its region or in one around it, and the answer cannot
differ: greedy or seeded model calls, and pure tools. Sampled calls never are:
five votes stay five. The later call becomes an assignment from the earlier
one's result, deeply copied unless that is free text, so that no two names share
what either may change; it keeps its site.

Verified module in, verified module out.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import (
    Kind,
    Module,
    Node,
    Program,
    Region,
    base,
    canonical,
    changed,
    content_hash,
)

from .parsed import call_of, options


def common(module: Module) -> Module:
    """Replace calls whose answer is there already."""
    return changed(module, programs=tuple(map(_program, module.programs)))


def _program(program: Program) -> Program:
    keys = {each.site: key for each in program.body.walk() if (key := _key(each))}
    twice = len(set(keys.values())) < len(keys)
    return changed(program, body=_region(program.body, keys, {})[0]) if twice else program


def _region(
    region: Region, keys: Mapping[str, str], before: Mapping[str, str]
) -> tuple[Region, dict[str, None]]:
    """The region, and what it now reads from outside without having it as a parameter.

    Args:
        keys: by site, what is equal for calls with the same answer.
        before: results of the calls around the region that are decided before it, by key.
    """
    known = dict(before)
    own = {*region.params, *(each for node in region.nodes for each in node.results)}
    outside: dict[str, None] = {}
    nodes = []
    for node in region.nodes:
        key = keys.get(node.site, "")
        if key in known:
            outside.update({known[key]: None} if known[key] not in own else {})
            node = _copied(node, known[key])
        elif key:
            known[key] = node.results[0]
        elif node.regions:
            node, read = _entered(node, keys, known)
            outside.update((each, None) for each in read if each not in own)
        nodes.append(node)
    return changed(region, nodes=tuple(nodes)), outside


def _entered(node: Node, keys: Mapping[str, str], known: Mapping[str, str]) -> tuple[Node, dict[str, None]]:
    """A region node with its regions done, and captures added for what these now read."""
    found = [_region(each, keys, known) for each in node.regions]
    new = tuple(dict.fromkeys(each for _, read in found for each in read))
    return changed(
        node,
        operands=(*node.operands, *new),
        regions=tuple(changed(region, params=(*region.params, *new)) for region, _ in found),
    ), dict.fromkeys(new)


def _key(node: Node) -> str:
    """What is equal for calls with the same answer; empty if answers may differ."""
    if node.effect is not Effect.PURE or not (node.kind is Kind.TOOL or _is_deterministic(node)):
        return ""
    attrs = {key: value for key, value in node.attrs.items() if key != "before"}
    return canonical([node.code, node.code_hash, node.operands, attrs])


def _is_deterministic(node: Node) -> bool:
    """Whether it is a model call whose own code says that it is greedy or seeded."""
    call = call_of(node) if node.kind is Kind.LLM else None
    named = options(call) if call is not None else None
    if named is None:
        return False
    match named.get("temperature"):
        case ast.Constant(int() | float() as temperature) if temperature == 0:
            return True
    match named.get("seed"):
        case ast.Constant(int()):
            return True
    return False


def _copied(node: Node, value: str) -> Node:
    target, source = base(node.results[0]), base(value)
    code = f"{target} = {source}"
    if node.kind is Kind.TOOL or "returns" in (options(_required(node)) or {}):
        code = f"from copy import deepcopy as _avm_copied\n{target} = _avm_copied({source})"
    return changed(
        node,
        kind=Kind.PYTHON,
        operands=(value,),
        code=code,
        attrs={key: each for key, each in node.attrs.items() if key == "before"},
        code_hash=content_hash([code, {}, Kind.PYTHON.value]),
    )


def _required(node: Node) -> ast.Call:
    call = call_of(node)
    assert call is not None
    return call
