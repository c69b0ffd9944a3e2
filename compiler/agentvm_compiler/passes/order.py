"""Dependence edges: what a node's effect must wait for, beyond its operands.

A write comes after all that is before it in program order, a read after the
writes before it, the rest after nothing: the memory dependences of a classical
compiler. Edges implied by others are left out, so there are linearly many.

For a region node the edges hold for the effects within it; its other work may
start before.
"""

from __future__ import annotations

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import Module, Node, Region, changed


def order(module: Module) -> Module:
    """Set `Node.after` everywhere. Verified module in, verified module out."""
    return changed(module, programs=tuple(changed(each, body=_region(each.body)) for each in module.programs))


def _region(region: Region) -> Region:
    last_write: str | None = None
    since: list[str] = []
    nodes: list[Node] = []
    for node in region.nodes:
        after: tuple[str, ...] = ()
        if node.effect is not Effect.PURE and last_write is not None:
            after = (last_write,)
        if node.effect is Effect.WRITE:
            after += tuple(since)
        if after or node.after or node.regions:
            node = changed(node, after=after, regions=tuple(_region(each) for each in node.regions))
        nodes.append(node)
        if node.effect is Effect.WRITE:
            last_write, since = node.site, []
        else:
            since.append(node.site)
    return changed(region, nodes=tuple(nodes))
