"""A program that gathers in many ways, run in new processes by `python -m tests.integration.gathering`."""

from __future__ import annotations

import asyncio
import heapq
import json
import sys
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agentvm import AgentVM, agent, tool
from agentvm.testing import ScriptedLLM, plain

COUNT = 60
CALLS: list[int] = []
held: dict[int, asyncio.Event] = {}
"""Calls that begin and never end, with what is told when they have begun."""


@dataclass
class Hit:
    text: str
    score: int


@dataclass
class State:
    notes: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)


class Passage(BaseModel):
    text: str
    number: int


def shortened(text: str) -> str:
    return text.removeprefix("hit ")


@tool(effect="read")
async def find(number: int) -> Hit:
    CALLS.append(number)
    if number in held:
        held[number].set()
        await asyncio.Event().wait()
    return Hit(f"hit {number * 7919 % 41}", number * 31 % 17)


@agent
async def gathers(count: int) -> dict[str, Any]:
    seen: set[str] = set()
    state, groups, counts = State(), defaultdict(list), {}
    good, heap, queue, text, last = [], [], deque(range(count)), "", ""
    pages = list(range(count))
    short: set[str] = set()
    passages, words = [], []
    while queue:
        number = queue.popleft()
        hit = await find(number)
        if hit.text not in seen:
            seen.add(hit.text)
            state.notes.append(hit.text)
        else:
            seen.discard(last)
        groups[hit.score % 3].append(hit.text)
        counts[hit.text] = counts.get(hit.text, 0) + 1
        state.seen[hit.text] = len(seen)
        good.append(Hit(hit.text.upper(), len(text)))
        heapq.heappush(heap, (hit.score, number))
        text += f"{hit.text}, {sorted(seen)[0]}\n"
        pages[number // 2] = pages.pop() + hit.score
        pages.insert(0, number)
        if shortened(hit.text) not in short:
            short.add(shortened(hit.text))
            passages.append(Passage(text=shortened(hit.text), number=len(passages)))
        words.append([shortened(each) for each in sorted(seen)[:2]])
        last = hit.text
    order = [heapq.heappop(heap) for _ in range(len(heap))]
    return {
        "state": repr(state),
        "groups": repr(list(groups.items())),
        "counts": repr(list(counts.items())),
        "good": repr(good),
        "passages": repr((passages, words, sorted(short))),
        "rest": repr((order, sorted(seen), text, pages, last)),
    }


async def interrupted(folder: Path, at: int) -> None:
    """A run that is left while a call is under way."""
    held[at] = asyncio.Event()
    async with AgentVM(store=f"sqlite:///{folder}/{at}.db", llm=ScriptedLLM("unused")) as vm:
        await vm.start(gathers, COUNT, run_id="run")
        await held[at].wait()
    held.clear()


async def resumed(folder: Path, at: int) -> tuple[dict[str, Any], list[int]]:
    """What the run gives in the end, and which calls that took."""
    CALLS.clear()
    async with AgentVM(store=f"sqlite:///{folder}/{at}.db", llm=ScriptedLLM("unused")) as vm:
        found = await (await vm.resume("run")).result()
    return found, CALLS.copy()


async def main(what: str, folder: Path, places: list[int]) -> None:
    if what == "plain":
        with plain():
            print(json.dumps(await gathers(COUNT)))
    elif what == "begin":
        for at in places:
            await interrupted(folder, at)
    else:
        print(json.dumps([await resumed(folder, at) for at in places]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), [int(each) for each in sys.argv[3:]]))
