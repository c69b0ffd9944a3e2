"""On programs of independent calls, the model calls in flight reach what the flow of data allows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM

QUIET = 50
"""Turns of the event loop without a new call after which no more are to come before one is answered."""

LOG: list[str] = []


@dataclass
class Width:
    """A model that answers nobody while more calls keep coming, then all that wait."""

    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    most: int = 0
    """Most calls in flight at once."""
    rounds: int = 0
    """How often all that waited were answered: the length of the longest chain of calls."""

    async def answer(self, call: Any) -> str | list[str]:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(mine)
        arrived = len(self.waiting)
        self.most = max(self.most, arrived)
        for _ in range(QUIET):
            await asyncio.sleep(0)
            if mine.done() or len(self.waiting) > arrived:
                break
        else:
            self.rounds += 1
            pending, self.waiting = self.waiting, []
            for each in pending:
                each.set_result(None)
        await mine
        return ["x", "y", "z"] if call.returns is not str else call.prompt[-6:]


@tool(effect="read")
async def fetch(name: str) -> str:
    return f"page {name}"


@tool
async def save(text: str) -> int:
    LOG.append(text)
    return len(LOG)


@agent
async def straight_line(topic: str) -> str:
    pros = await llm(f"pros of {topic}")
    cons = await llm(f"cons of {topic}")
    history = await llm(f"history of {topic}")
    return await llm(f"essay: {pros} {cons} {history}")


@agent
async def comprehension(words: list[str]) -> list[str]:
    return [await llm(f"define {word}") for word in words]


@agent
async def loop_that_appends(words: list[str]) -> list[str]:
    notes: list[str] = []
    for word in words:
        note = await llm(f"about {word}")
        notes.append(note)
    return notes


@agent
async def nested_loops(words: list[str], kinds: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    for word in words:
        for kind in kinds:
            table[f"{word} {kind}"] = await llm(f"{kind} of {word}")
    return table


@agent
async def chains(words: list[str]) -> list[str]:
    finished: list[str] = []
    for word in words:
        draft = await llm(f"draft {word}")
        final = await llm(f"polish {draft} of {word}")
        finished.append(final)
    return finished


@agent
async def digest(word: str) -> str:
    page = await fetch(word)
    return await llm(f"digest {page}")


@agent
async def sub_agents(words: list[str]) -> str:
    digests = [await digest(word) for word in words]
    outlook = await llm("outlook")
    return await llm(f"report {digests} {outlook}")


@agent
async def branches(words: list[str]) -> list[str]:
    answers: list[str] = []
    for word in words:
        if len(word) > 1:
            answer = await llm(f"long {word}")
        else:
            answer = await llm(f"short {word}")
        answers.append(answer)
    return answers


@agent
async def gathered(words: list[str]) -> list[str]:
    first, second = await asyncio.gather(llm("one"), llm("two"))
    rest = await asyncio.gather(*[llm(f"more {word}") for word in words])
    return [first, second, *rest]


@agent
async def one_expression(topic: str) -> str:
    return f"{await llm(f'title {topic}')}: {await llm(f'body {topic}')} ({await llm(f'tags {topic}')})"


@agent
async def before_writes(words: list[str]) -> int:
    for word in words:
        text = await llm(f"letter to {word}")
        await save(text)
    return len(words)


@agent
async def tree(topic: str) -> list[list[str]]:
    parts = await llm(f"parts of {topic}", returns=list[str])
    return [[await llm(f"{side} of {part}") for side in ("good", "bad")] for part in parts]


@agent
async def conditional(words: list[str], deep: bool) -> list[str]:
    return [await llm(f"deep {word}") if deep else await llm(f"flat {word}") for word in words]


@agent
async def votes(question: str) -> str:
    ballots = [await llm(f"vote on {question}", temperature=1.0) for _ in range(5)]
    reason = await llm(f"why {question}")
    return f"{max(set(ballots), key=ballots.count)} since {reason}"


@agent
async def carried(words: list[str]) -> str:
    summary = ""
    for word in words:
        fact = await llm(f"fact on {word}")
        summary = await llm(f"{summary} + {fact}")
    return summary


@agent
async def with_handler(words: list[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        note = await llm(f"note {word}")
        found.append(note)
    try:
        page = await fetch("index")
    except LookupError:
        page = "none"
    title = await llm("title")
    return [page, title, *found]


@agent
async def circle(topic: str, depth: int = 2) -> list[str]:
    """Calls itself by way of another agent; neither writes."""
    page = await fetch(topic)
    note = await llm(f"note {page}")
    if depth == 0:
        return [note]
    found = [await around(each, depth - 1) for each in (topic, f"{topic}!")]
    return [note, *[line for lines in found for line in lines]]


@agent
async def around(topic: str, depth: int) -> list[str]:
    try:
        return await circle(topic, depth)
    except LookupError:
        return []


WORDS = ["a", "bb", "c", "dd"]
PROGRAMS: list[Any] = [
    # agent, arguments, most calls in flight, longest chain of calls
    (straight_line, ("rain",), 3, 2),
    (comprehension, (WORDS,), 4, 1),
    (loop_that_appends, (WORDS,), 4, 1),
    (nested_loops, (WORDS, ["sort", "use", "cost"]), 12, 1),
    (chains, (WORDS,), 4, 2),
    (sub_agents, (WORDS,), 5, 2),
    (branches, (WORDS,), 4, 1),
    (gathered, (WORDS,), 6, 1),
    (one_expression, ("rain",), 3, 1),
    (before_writes, (WORDS,), 4, 1),
    (tree, ("rain",), 6, 2),
    (conditional, (WORDS, True), 4, 1),
    (votes, ("rain",), 6, 1),
    (carried, (WORDS,), 4, 5),
    (with_handler, (WORDS,), 5, 1),
    (circle, ("rain",), 4, 3),
]


@pytest.mark.parametrize(
    ("program", "args", "width", "chain"), PROGRAMS, ids=[each[0].fn.__name__ for each in PROGRAMS]
)
async def test_calls_in_flight_reach_the_optimum(program: Any, args: Any, width: int, chain: int):
    """As many model calls are out at once, and as few wait for others, as the program's data allows."""
    LOG.clear()
    model = Width()
    async with AgentVM(store="memory", llm=ScriptedLLM(model.answer)) as vm:
        await vm.run(program, *args)
    assert (model.most, model.rounds) == (width, chain)
