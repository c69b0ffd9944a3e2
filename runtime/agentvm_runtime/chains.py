"""Chains: code whose calls can only run one after the other.

A *chain* is a region in which each node that takes time needs the outcome of all
before it. Nothing in it runs side by side, so it needs no tasks of its own: its
nodes run in the task of the node around it. The same holds for the iterations of
a loop if each begins with what the one before it ends with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import CONTROL_OPERANDS, LITERALS, Kind, Node, Region

_EARLY = frozenset({Kind.BRANCH, Kind.LOOP, Kind.TRY})
"""Kinds of nodes some of whose results may be there before the node has ended."""


def takes_no_time(node: Node) -> bool:
    """Whether the node is plain Python that waits for nothing but its operands."""
    return node.kind is Kind.PYTHON and node.effect is Effect.PURE


def is_chain(region: Region) -> bool:
    """Whether nothing in the region could run beside something else that takes time."""
    needed, _ = _needs(region)
    timed = [index for index, node in enumerate(region.nodes) if not takes_no_time(node)]
    if any(region.nodes[index].kind in _EARLY for index in timed[:-1]):
        return False
    return all(needed[index].issuperset(range(index)) for index in timed)


def is_chained(loop: Node) -> bool:
    """Whether a loop's iterations can only run one after the other."""
    [region] = loop.regions
    timed = [index for index, node in enumerate(region.nodes) if not takes_no_time(node)]
    if not timed or region.nodes[timed[-1]].kind in _EARLY or not is_chain(region):
        return False
    places = slice(1, 1 + loop.attrs["carried"])
    carried = zip(region.params[places], region.results[1 + places.start : 1 + places.stop], strict=True)
    needed, results = _needs(region, [name for name, result in carried if result not in LITERALS])
    ends = [results.get(each, frozenset()) for each in region.results if each not in LITERALS]
    return all(timed[-1] in each for each in ends) and _BEFORE in needed[timed[0]]


_BEFORE = -1
"""Stands for the iteration before, among the nodes that something needs."""


def _needs(
    region: Region, carried: Sequence[str] = ()
) -> tuple[list[frozenset[int]], dict[str, frozenset[int]]]:
    """Which nodes must have ended before each node can begin, and before each value is there."""
    values = dict.fromkeys(carried, frozenset({_BEFORE}))
    nodes = []
    for index, node in enumerate(region.nodes):
        begins = node.operands[: CONTROL_OPERANDS.get(node.kind, len(node.operands))]
        nodes.append(_joined(values, begins))
        values.update(dict.fromkeys(node.results, _joined(values, node.operands) | {index}))
    return nodes, values


def _joined(values: Mapping[str, frozenset[int]], names: Sequence[str]) -> frozenset[int]:
    return frozenset().union(*(values.get(each, frozenset()) for each in names))
