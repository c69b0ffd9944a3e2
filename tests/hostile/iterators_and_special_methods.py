"""Hostile programs: iterators over what changes, special methods that act, functions called wrongly."""

import asyncio
import collections
import dataclasses
import itertools
from typing import Any

from agentvm import agent, llm, tool

from .cases import LOG, Cases, reply

CASES = Cases()
case = CASES.case
script = reply

EVENTS: list[Any] = []


def reset():
    EVENTS.clear()


@tool
async def w(x):
    LOG.append(x)
    return x


@tool(effect="read")
async def rfail(x: str) -> str:
    raise ValueError(x)


@tool(effect="read")
async def r(x: str) -> str:
    return x


@case()
@agent
async def iter_grows():
    xs: list[str] = ["a", "b", "c"]
    it = iter(xs)
    a = next(it)
    b = await llm(next(it))
    xs.append("d")
    return a, b, list(it)


@case()
@agent
async def zip_grows():
    xs: list[str] = ["a", "b"]
    pairs = zip(xs, ["1", "2", "3"])
    xs.append(await llm("x"))
    return list(pairs)


@case()
@agent
async def map_grows():
    xs: list[str] = ["a", "b"]
    upper = map(str.upper, xs)
    xs.append(await llm("x"))
    return list(upper)


@case()
@agent
async def elements_grows():
    counts = collections.Counter(["a"])
    each = counts.elements()
    counts["b"] += 2
    await w(1)
    return sorted(each)


@case()
@agent
async def tee_grows():
    xs: list[str] = ["a", "b"]
    one, two = itertools.tee(xs)
    first = next(one)
    xs.append(await llm("x"))
    return first, list(one), list(two)


@dataclasses.dataclass
class Words:
    xs: list[str]


@case()
@agent
async def numbered_part_grows():
    words = Words(["a"])
    out: list[str] = []
    for number, x in enumerate(words.xs):
        out.append(await llm(x))
        if number < 2:
            words.xs.append("n")
    return out, words


@dataclasses.dataclass
class Loud:
    n: int

    def __eq__(self, other):
        EVENTS.append(("eq", self.n))
        return self.n == other.n

    def __hash__(self):
        EVENTS.append(("hash", self.n))
        return self.n

    def __lt__(self, other):
        EVENTS.append(("lt", self.n))
        return self.n < other.n

    def __bool__(self):
        EVENTS.append("bool")
        return True

    def __iter__(self):
        EVENTS.append("iter")
        return iter([1, 2])

    def __setitem__(self, key, value):
        EVENTS.append("set")

    def __index__(self):
        EVENTS.append("index")
        return 1

    def __deepcopy__(self, memo):
        EVENTS.append("copy")
        return Loud(self.n)


@case()
@agent
async def hashes_shown_nowhere():
    a = Loud(1)
    x = await llm("q")
    await w(list(EVENTS))
    d = {a: x}
    s = {a for _ in x}
    await w(list(EVENTS))
    return len(d) + len(s), list(EVENTS)


@case()
@agent
async def truth_shown_nowhere():
    a = Loud(1)
    x = await llm("q")
    await w(list(EVENTS))
    if a:
        x = "yes"
    y = [z for z in (1, 2) if a]
    await w(list(EVENTS))
    return x, y


@case()
@agent
async def comparison_shown_nowhere():
    a, b = Loud(1), Loud(2)
    x = await llm("q")
    await w(list(EVENTS))
    y = [a] == [b], (a, 1) < (b, 1), max(a, b).n
    await w(list(EVENTS))
    return x, y


@case()
@agent
async def statements_shown_nowhere():
    a = Loud(1)
    x = await llm("q")
    await w(list(EVENTS))
    a[0] = 1
    first, second = a
    part = [1, 2, 3][a]
    await w(list(EVENTS))
    return x, first, second, part


@case()
@agent
async def keys_are_copied():
    d: dict[Loud, int] = {}
    x = await llm("q")
    d[Loud(1)] = 1
    await w(list(EVENTS))
    d[Loud(2)] = 2
    return x, list(EVENTS)


@case()
@agent
async def inner_given_too_many():
    k = await llm("k")

    def inner(x: str) -> str:
        return x + k

    try:
        return inner("a", "b")  # type: ignore[call-arg]
    except TypeError as error:
        return str(error)


@case()
@agent
async def inner_given_what_it_captures():
    k = await llm("k")

    async def inner(x: str) -> str:
        return x + k

    try:
        return await inner("a", **{"k": "1"})
    except TypeError as error:
        return str(error)


@case()
@agent
async def inner_given_too_few():
    k = await llm("k")

    def inner(x: str, *, y: str) -> str:
        return x + y + k

    try:
        return inner("a")  # type: ignore[call-arg]
    except TypeError as error:
        return str(error)


@case()
@agent
async def task_of_a_failed_group():
    try:
        async with asyncio.TaskGroup() as group:
            a = group.create_task(rfail("a"))
            b = group.create_task(r("b"))
    except ExceptionGroup:
        await w("caught")
    try:
        return a.result()
    except ValueError as error:
        return str(error), b.done()
