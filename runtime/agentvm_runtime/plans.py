"""Plans: what is known of a program's regions before they run, found once in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentvm_compiler.ir import CONTROL_OPERANDS, Node, Region
from agentvm_compiler.passes.joins import joins

from .chains import is_chain, is_chained, takes_no_time


@dataclass(frozen=True, slots=True)
class Step:
    """A node, as the frames of its region see it."""

    index: int
    node: Node
    needed: tuple[str, ...]
    """Operands that must be there before it starts."""
    instant: bool
    """Whether it takes no time, so needs no task."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A region, as its frames see it."""

    region: Region
    """Kept alive here, as plans are found by its identity."""
    steps: tuple[Step, ...]
    made: tuple[str, ...]
    """All that the nodes give."""
    index: Mapping[str, int]
    """The nodes by site."""
    chain: bool
    """Whether its nodes can only run one after the other."""
    joins: Mapping[str, tuple[str, int]]
    """By site of a call that is joined with others: where, and how many they are."""


class Plans:
    """Those of one run's programs."""

    def __init__(self, *, chains: bool) -> None:
        """Unless `chains` are to be found, nothing counts as one."""
        self._chains = chains
        self._plans: dict[int, Plan] = {}
        self._loops: dict[int, tuple[Node, bool]] = {}

    def of(self, region: Region) -> Plan:
        plan = self._plans.get(id(region))
        if plan is None:
            plan = self._plans[id(region)] = _plan(region, self._chains and is_chain(region))
        return plan

    def chained(self, loop: Node) -> bool:
        """Whether a loop's iterations can only run one after the other."""
        known = self._loops.get(id(loop))
        if known is None:
            known = self._loops[id(loop)] = (loop, self._chains and is_chained(loop))
        return known[1]


def _plan(region: Region, chain: bool) -> Plan:
    steps = tuple(
        Step(index, node, node.operands[: CONTROL_OPERANDS.get(node.kind)], takes_no_time(node))
        for index, node in enumerate(region.nodes)
    )
    made = tuple(name for node in region.nodes for name in node.results)
    joined = {} if chain else joins(region)
    return Plan(region, steps, made, {each.node.site: each.index for each in steps}, chain, joined)
