"""Lowering of `async with` over semaphores and locks: its calls wait at the gate one by one.

A call waits there when all else that it must wait for is there, so that none holds a
place that an earlier one needs; nor does what it calls wait at another gate. What
stands between the calls is plain Python and takes no time.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from agentvm_compiler.calls import Agent, Effect
from agentvm_compiler.ir import Kind

from .decide import Unsupported
from .gates import gates_of

if TYPE_CHECKING:
    from .block import Block, Exit
    from .lower import Lowering


def lower_gated(lowering: Lowering, statement: ast.AsyncWith, block: Block) -> Exit | None:
    """Lower the body where it stands, its calls behind the gates.

    Raises:
        Unsupported: it is over something else, or holds what cannot wait at a gate call by call.
    """
    gates = gates_of(statement, lowering.analysis.types)
    if not gates:
        raise Unsupported(statement, "`with` with an await inside is not compiled yet")
    names = [_held(lowering, each, statement, block) for each in gates]
    count, callees = len(block.nodes), len(lowering.callees)
    lowering.gates += names
    try:
        end = lowering.block(statement.body, block)
    finally:
        del lowering.gates[-len(names) :]
    for node in (inner for each in block.nodes[count:] for inner in each.walk()):
        if node.kind in (Kind.TRACED, Kind.HUMAN):
            raise Unsupported(statement, "what is done within `async with` is more than calls")
    for callee in dict.fromkeys(lowering.callees[callees:]):
        if lowering.effect_of_agent(callee) is not Effect.PURE or _has_gates(callee):
            what = f"`{callee.name}` may wait while it holds a place"
            raise Unsupported(statement, what, "move what reads or writes out of it")
    return end


def _has_gates(agent: Agent) -> bool:
    """Whether it, or an agent that it may call, holds a place; for one that is under way, it may."""
    from agentvm_compiler.compile import compile_agent, is_under_way

    seen: dict[int, Agent] = {}
    pending = [agent]
    while pending:
        each = pending.pop()
        if is_under_way(each):
            return True
        if id(each) not in seen:
            seen[id(each)] = each
            compiled = compile_agent(each)
            if any("gates" in node.attrs for node in compiled.program.body.walk()):
                return True
            pending += compiled.callees
    return False


def _held(lowering: Lowering, gate: ast.Name, statement: ast.AsyncWith, block: Block) -> str:
    """The name under which calls within find the gate."""
    if gate.id in lowering.scope.locals:
        stored = {name for each in statement.body for name in lowering.tree.stored(each)}
        if not lowering.is_bound(gate.id, block) or gate.id in stored:
            raise Unsupported(statement, f"`{gate.id}` may be bound otherwise")
        return gate.id
    name = lowering.own(f"gate{len(lowering.gates)}")
    lowering.assign(name, gate, block)
    return name
