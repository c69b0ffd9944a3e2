"""Which calls one later node waits for together."""

from __future__ import annotations

import asyncio

from agentvm import agent, llm
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.passes.joins import joins


@agent
async def sub(text: str) -> str:
    return await llm(text)


@agent
async def gathered(text: str) -> str:
    one, two, three = await asyncio.gather(llm(f"one {text}"), llm(f"two {text}"), sub(text))
    return await llm(f"join {one} {two} {three}")


@agent
async def one_by_one(text: str) -> str:
    first = await llm(f"first {text}")
    second = await llm(f"second {first}")
    return await llm(f"join {first} {second}")


@agent
async def by_a_prompt(text: str) -> str:
    first = await llm(f"first {text}")
    second = await llm(f"second {text}")
    alone = await llm(f"alone {text}")
    both = await llm(f"{first} {second}")
    return f"{both} {alone}"


def joined(agent_: object) -> dict[str, tuple[str, int]]:
    return joins(compile_agent(agent_).program.body)


def test_what_is_gathered_is_joined():
    """Model calls and agents alike; what reads them is one node."""
    found = joined(gathered)
    assert {site: count for site, (_, count) in found.items()} == {"llm#1": 3, "llm#2": 3, "sub#1": 3}
    assert len({where for where, _ in found.values()}) == 1


def test_calls_that_wait_for_each_other_are_not_joined():
    """The first is over before the second begins."""
    assert joined(one_by_one) == {}


def test_a_prompt_joins_what_it_quotes():
    """Where several nodes wait for a call, the one that joins most counts."""
    found = joined(by_a_prompt)
    assert found["llm#1"] == found["llm#2"] == ("llm#4", 2)
    assert found["llm#3"] == found["llm#4"] and found["llm#3"][1] == 2
