"""Loops that gather: what an iteration costs in time and space when the loop is four times as long.

Each shape is a loop that calls a tool or a model and keeps something of the answer.
Whatever an iteration does by itself (a prompt that has all turns so far) is in the figures, too.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM

from .figures import Bench, Case, Found, Place, Row, Taken, Watch
from .space import sizes

TEXT = 100
"""Characters of a text that is gathered."""


@dataclass
class Hit:
    text: str
    score: int


@dataclass
class State:
    notes: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)


class Memory(BaseModel):
    facts: list[str] = []
    turns: int = 0


class Passage(BaseModel):
    text: str
    number: int = 0


def clean(text: str) -> str:
    """A helper of the program's."""
    return " ".join(text.split()).capitalize()


@tool(effect="read")
async def note(number: int) -> str:
    return f"{number:{TEXT}}"


@tool(effect="read")
async def find(number: int) -> Hit:
    return Hit(f"{number:{TEXT}}", number % 97)


@tool(effect="read")
async def page(number: int) -> list[Hit]:
    return [Hit(f"{number}.{place:{TEXT}}", place) for place in range(4)]


@tool(effect="read")
async def links(page: int) -> list[int]:
    return [page * 2 + 1, page * 2 + 2]


@tool(effect="read")
async def latest(messages: list[dict[str, str]]) -> str:
    """Stands for a model: it gets the history."""
    return f"{len(messages):{TEXT}}"


@agent
async def fold(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(await note(number))
    return len(notes)


@agent
async def unseen(count: int) -> int:
    seen: set[str] = set()
    notes = []
    for number in range(count):
        text = await note(number)
        if text not in seen:
            seen.add(text)
            notes.append(text)
    return len(notes)


@agent
async def grouped(count: int) -> int:
    groups: dict[str, list[str]] = {}
    for number in range(count):
        hit = await find(number)
        groups.setdefault(f"group {hit.score}", []).append(hit.text)
    return len(groups)


@agent
async def attribute(count: int) -> int:
    notes = []
    for number in range(count):
        hit = await find(number)
        notes.append(hit.text)
    return len(notes)


@agent
async def text(count: int) -> int:
    text = ""
    for number in range(count):
        text += await note(number) + "\n"
    return len(text)


@agent
async def history(count: int) -> int:
    """A chat whose turns are looked at by a tool."""
    messages = [{"role": "user", "content": "begin"}]
    for _ in range(count):
        answer = await latest(messages[-8:])
        messages.append({"role": "assistant", "content": answer})
    return len(messages)


@agent
async def counted(count: int) -> int:
    counts: dict[str, int] = {}
    for number in range(count):
        word = await note(number)
        counts[word] = counts.get(word, 0) + 1
    return len(counts)


@agent
async def parted(count: int) -> int:
    good, bad = [], []
    for number in range(count):
        hit = await find(number)
        if hit.score % 2:
            good.append(hit)
        else:
            bad.append(hit)
    return len(good) + len(bad)


@agent
async def best(count: int) -> int:
    best, scores = 0, []
    for number in range(count):
        hit = await find(number)
        best = max(best, hit.score)
        scores.append(best)
    return best


@agent
async def queue(count: int) -> int:
    waiting, done = list(range(count)), 0
    while waiting:
        hit = await find(waiting.pop(0))
        done += hit.score
    return done


@agent
async def deleted(count: int) -> int:
    waiting, done = list(range(count)), 0
    while waiting:
        hit = await find(waiting[0])
        del waiting[0]
        done += hit.score
    return done


@agent
async def crawl(count: int) -> int:
    frontier, visited = [0], set()
    while frontier and len(visited) < count:
        page = frontier.pop()
        if page in visited:
            continue
        visited.add(page)
        frontier.extend(await links(page % 1000 + len(visited)))
    return len(visited)


@agent
async def breadth(count: int) -> int:
    frontier, order = deque([0]), []
    while len(order) < count:
        page = frontier.popleft()
        order.append(page)
        for link in await links(page):
            frontier.append(link)
    return len(order)


@agent
async def ranked(count: int) -> int:
    best: list[tuple[int, str]] = []
    for number in range(count):
        hit = await find(number)
        heapq.heappush(best, (hit.score, hit.text))
    return len(best)


@agent
async def updated(count: int) -> int:
    known: dict[str, Any] = {}
    for number in range(count):
        hit = await find(number)
        known.update({hit.text: hit.score})
    return len(known)


@agent
async def placed(count: int) -> int:
    results = [None] * count
    for number in range(count):
        results[number] = await note(number)
    return len(results)


@agent
async def state(count: int) -> int:
    state = State()
    for number in range(count):
        text = await note(number)
        state.notes.append(text)
        state.seen[text] = number
    return len(state.notes)


@agent
async def memory(count: int) -> int:
    memory = Memory()
    for number in range(count):
        memory.facts.extend(await asyncio.gather(note(number)))
        memory.turns += 1
    return memory.turns


@agent
async def records(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(Hit(await note(number), number))
    return len(notes)


@agent
async def models(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(Passage(text=await note(number), number=len(notes)))
    return len(notes)


@agent
async def helped(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(clean(await note(number)))
    return len(notes)


@agent
async def comprehended(count: int) -> int:
    notes = []
    for number in range(count):
        hit = await find(number)
        notes.append([clean(word) for word in hit.text.split()])
    return len(notes)


@agent
async def unseen_cleaned(count: int) -> int:
    seen: set[str] = set()
    notes = []
    for number in range(count):
        hit = await find(number)
        if clean(hit.text) not in seen and hit.score >= 0:
            seen.add(clean(hit.text))
            notes.append(Passage(text=hit.text))
    return len(notes)


@agent
async def weighed(count: int) -> int:
    totals: dict[str, int] = {}
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for number in range(count):
        hit = await find(number)
        totals[clean(hit.text)] = len(clean(hit.text))
        groups[hit.score].append(clean(hit.text))
    return len(totals) + len(groups)


@agent
async def paged(count: int) -> int:
    notes = []
    for number in range(count):
        hits = await page(number)
        for hit in hits:
            if clean(hit.text):
                notes.append(Passage(text=hit.text, number=hit.score))
    return len(notes)


@agent
async def traced(count: int) -> int:
    notes: list[str] = []
    lock = asyncio.Lock()
    for number in range(count):
        async with lock:
            notes.append(await note(number))
    return len(notes)


@agent
async def chat(count: int) -> int:
    """The whole history is the prompt: what is asked grows by itself."""
    messages = [{"role": "user", "content": "begin"}]
    for number in range(count):
        answer = await llm(messages=messages)
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": f"and {number}?"})
    return len(messages)


SHAPES: dict[str, Any] = {
    "notes.append(await note(x))": fold,
    "if x not in seen: seen.add(x); notes.append(x)": unseen,
    "groups.setdefault(k, []).append(x)": grouped,
    "notes.append(hit.text)": attribute,
    'text += await note(x) + "\\n"': text,
    'messages.append({"role": ...})': history,
    "counts[k] = counts.get(k, 0) + 1": counted,
    "if ok: good.append(x) else: bad.append(x)": parted,
    "best = max(best, x); scores.append(best)": best,
    "queue.pop(0)": queue,
    "del queue[0]": deleted,
    "frontier.pop(), visited.add(), extend()": crawl,
    "deque.popleft(), append() in a loop": breadth,
    "heapq.heappush(best, (score, x))": ranked,
    "known.update({k: v})": updated,
    "results[i] = x": placed,
    "state.notes.append(x), state.seen[x] = n": state,
    "memory.facts.extend(...)": memory,
    "notes.append(Hit(x, n))": records,
    "notes.append(Model(text=x, number=len(notes)))": models,
    "notes.append(clean(x))": helped,
    "notes.append([clean(w) for w in x])": comprehended,
    "if clean(x) not in seen: notes.append(Model(x))": unseen_cleaned,
    "totals[clean(x)] = n; groups[k].append(clean(x))": weighed,
    "for hit in hits: notes.append(Model(hit.text))": paged,
    "async with lock: notes.append(...)": traced,
    "answer = await llm(messages=messages)": chat,
}


async def run(folder: Path, shape: str, count: int) -> tuple[Taken, float]:
    """What an iteration takes: time, and bytes of the database, which is the only file of its folder."""
    url = f"sqlite+aiosqlite:///{folder}/runs.db"
    async with AgentVM(store=url, llm=ScriptedLLM(lambda _: "." * TEXT)) as vm:
        await vm.run(SHAPES[shape], 10)  # compiles
        watch = Watch()
        await vm.run(SHAPES[shape], count)
        taken = watch.each(count)
    return taken, sum(sizes(folder)) / count


def growing(shape: str, count: int) -> Bench:
    """An iteration of a loop of so many, and of one four times as long."""

    async def bench(place: Place) -> Found:
        with TemporaryDirectory(dir=place.folder) as folder:
            short, few = await run(Path(folder), shape, count)
        with TemporaryDirectory(dir=place.folder) as folder:
            long, many = await run(Path(folder), shape, 4 * count)
        assert short.processor and long.processor
        return {
            "each": long,
            "time": Taken(long.processor / short.processor),
            "bytes": Taken(many),
            "space": Taken(many / few),
        }

    return bench


def cases(thousand: int) -> list[Case]:
    """Each shape with two thousand iterations, and with four times as many."""
    count = 2 * thousand

    def rows(name: str) -> list[Row]:
        return [
            Row("each", name, "us/iteration"),
            Row("time", f"  {4 * count:,} against {count:,}", "times the time", 1.3),
            Row("bytes", "  the same", "B/iteration"),
            Row("space", "  the same", "times the space", 1.3),
        ]

    return [Case(rows(name), growing(name, count)) for name in SHAPES]
