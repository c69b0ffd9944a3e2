"""Programs as graphs: regions as boxes, values and order as arrows."""

from __future__ import annotations

from collections.abc import Mapping

from agentvm_compiler.graph import label
from agentvm_compiler.ir import Module, Node, Region, base
from agentvm_compiler.text import region_name
from agentvm_runtime.changes import Names

from .models import Edge, Graph, GraphNode, GraphProgram, GraphRegion


def graph_of(module: Module, names: Names | None = None) -> Graph:
    """The module as the API gives it.

    Args:
        names: what a run calls nodes whose sites an edit has changed.
    """
    renamed = names or {}
    programs = [
        GraphProgram(name=each.name, file=each.file, body=_region(each.body, "", renamed.get(each.name, {})))
        for each in module.programs
    ]
    return Graph(hash=module.hash, programs=programs)


def _region(region: Region, title: str, names: Mapping[str, str]) -> GraphRegion:
    made = {name: node.site for node in region.nodes for name in node.results}
    arrows: dict[tuple[str, str], str] = {}
    for node in region.nodes:
        arrows |= {(made[each], node.site): "value" for each in node.operands if each in made}
        for site in node.after:
            arrows.setdefault((site, node.site), "order")
    return GraphRegion(
        title=title,
        params=[base(each) for each in region.params],
        nodes=[_node(each, names) for each in region.nodes],
        edges=[
            Edge.model_validate(
                {"source": names.get(source, source), "target": names.get(target, target), "kind": kind}
            )
            for (source, target), kind in arrows.items()
        ],
    )


def _node(node: Node, names: Mapping[str, str]) -> GraphNode:
    callee = node.attrs.get("callee")
    return GraphNode(
        site=names.get(node.site, node.site),
        kind=node.kind.value,
        label=label(node),
        code=node.code,
        effect=node.effect.value,
        line=node.span.line,
        callee=callee if isinstance(callee, str) else None,
        gives=list(dict.fromkeys(base(each) for each in node.results if not base(each).startswith("_"))),
        regions=[
            _region(each, region_name(node.kind, index), names) for index, each in enumerate(node.regions)
        ],
    )
