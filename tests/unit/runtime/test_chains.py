"""Chains: found where nothing could run side by side, and only there."""

from __future__ import annotations

from agentvm import agent, tool
from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind, Node
from agentvm_runtime.chains import is_chain, is_chained


@tool(effect="read")
async def look(what: str) -> str:
    return what


@tool(effect="read")
async def both(one: str, other: str) -> str:
    return one + other


@agent
async def carries(text: str) -> str:
    for _ in range(3):
        text = await look(text)
        text = await look(text.upper())
    return text


@agent
async def counts(text: str) -> tuple[str, int]:
    number = 0
    for _ in range(3):
        text = await look(text)
        number += 1
    return text, number


@agent
async def gathers(items: list[str]) -> str:
    text = ""
    for item in items:
        found = await look(item)
        text = text + found
    return text


@agent
async def pairs(text: str) -> str:
    for _ in range(3):
        one = await look(text)
        other = await look(text.upper())
        text = await both(one, other)
    return text


@agent
async def chooses(text: str) -> str:
    for _ in range(3):
        if len(text) < 10:
            text = await look(text)
    return text


def loop_of(wanted: Agent) -> Node:
    [loop] = [node for node in compile_agent(wanted).program.body.nodes if node.kind is Kind.LOOP]
    return loop


def told(wanted: Agent) -> tuple[bool, bool]:
    """Whether the body of the agent's loop is a chain, and whether its iterations are one."""
    loop = loop_of(wanted)
    return is_chain(loop.regions[0]), is_chained(loop)


def test_calls_that_take_each_others_results_are_a_chain():
    """So are the iterations of a loop that carries the last one's result."""
    assert told(carries) == (True, True)


def test_what_is_known_before_the_calls_end_is_not_held_up():
    """A counter may be read while the calls of the loop still go on."""
    assert told(counts)[1] is False


def test_calls_of_other_iterations_may_overlap():
    """Calls that do not take what the iteration before has made need not wait for it."""
    assert told(gathers)[1] is False


def test_calls_side_by_side_are_no_chain():
    """Two calls that take the same value run at the same time, in the loop's body."""
    assert told(pairs)[0] is False


def test_a_loop_that_ends_in_a_branch_is_none():
    """A side of the branch may give some of its results early."""
    assert told(chooses) == (True, False)
