"""Agents that call each other in a circle: their effects are the least that agree with each other."""

from __future__ import annotations

import asyncio

import pytest

from agentvm import agent, llm, tool
from agentvm_compiler.calls import Agent, Effect
from agentvm_compiler.compile import compile_agent


@tool(effect="read")
async def look(name: str) -> str:
    return name


@tool
async def write(name: str) -> str:
    return name


@agent
async def asks(name: str, depth: int) -> str:
    answer = await llm(name, temperature=0)
    return answer if depth == 0 else await asks(answer, depth - 1)


@agent
async def reads_first(name: str, depth: int) -> str:
    found = await look(name)
    return found if depth == 0 else await reads_second(found, depth - 1)


@agent
async def reads_second(name: str, depth: int) -> str:
    return await reads_first(await llm(name), depth)


@agent
async def writes_first(name: str, depth: int) -> str:
    return name if depth == 0 else await writes_second(name, depth - 1)


@agent
async def writes_second(name: str, depth: int) -> str:
    return await writes_third(await look(name), depth)


@agent
async def writes_third(name: str, depth: int) -> str:
    done = await write(name)
    return await writes_first(done, depth)


@agent
async def calls_the_circle(name: str) -> str:
    return await reads_second(name, 2)


@agent
async def traced(name: str, depth: int) -> str:
    async for each in several(name):  # traced: nothing is known of what it does
        name = each
    return name if depth == 0 else await traced(name, depth - 1)


async def several(name: str):
    yield await look(name)


GATE = asyncio.Semaphore(2)


@agent
async def holds(name: str, depth: int) -> str:
    async with GATE:
        return name if depth == 0 else await held(name, depth - 1)


@agent
async def held(name: str, depth: int) -> str:
    return await holds(await llm(name), depth)


@pytest.mark.parametrize(
    ("agents", "effect"),
    [
        ([asks], Effect.PURE),
        ([reads_first, reads_second, calls_the_circle], Effect.READ),
        ([writes_first, writes_second, writes_third], Effect.WRITE),
        ([traced], Effect.WRITE),
    ],
)
def test_a_circle_does_what_its_parts_do_and_no_more(agents: list[Agent], effect: Effect) -> None:
    """Whichever of them is compiled first."""
    for order in (agents, agents[::-1]):
        for each in order:
            each.__dict__.pop("_agentvm_compiled", None)
        assert {compile_agent(each).effect for each in order} == {effect}


def test_what_holds_a_place_and_may_come_back_to_it_is_traced() -> None:
    """Whoever waits for a place that it holds itself would wait for ever."""
    kinds = {node.kind.value for node in compile_agent(holds).program.body.walk()}
    assert "traced" in kinds
