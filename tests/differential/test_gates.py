"""`async with` over semaphores and locks."""

from __future__ import annotations

import asyncio

import anyio.lowlevel

from agentvm import AgentVM, agent, llm
from agentvm.testing import ScriptedLLM

from .test_gather import holds, write_or_fail, writer, written
from .test_kept import is_traced
from .test_regressions import assert_as_plain, assert_resumes_anywhere, write

GATE = asyncio.Semaphore(3)


@agent
async def limited(words: list[str]) -> list[object]:
    gate = asyncio.Semaphore(2)

    async def one(word: str) -> str:
        async with gate:
            answer = await llm(word)
            if answer == "b":
                return "early"
            await write_or_fail(answer)
        return answer + await llm("after")

    return [
        repr(each) for each in await asyncio.gather(*[one(word) for word in words], return_exceptions=True)
    ]


async def test_a_semaphore_around_calls():
    """Results, exceptions and writes are those of plain Python."""
    assert not is_traced(limited)
    await assert_as_plain(limited, ["a", "b", "c!", "d"])
    await assert_resumes_anywhere(limited, ["a", "b", "c!", "d"])


class Counting:
    """A model that notes how many calls were under way at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def __call__(self, call) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        self.now -= 1
        return call.prompt


@agent
async def narrow(words: list[str]) -> list[str]:
    gate = asyncio.Semaphore(2)

    async def one(word: str) -> str:
        async with gate:
            return await llm(word)

    return await asyncio.gather(*[one(word) for word in words])


@agent
async def narrowed_by_a_global(words: list[str]) -> list[str]:
    found = []
    for word in words:
        async with GATE:
            found.append(await llm(word))
    return found


async def test_no_more_calls_than_the_semaphore_lets_through():
    """The limit holds for the graph, too, which would otherwise make all calls at once."""
    for program, most in ((narrow, 2), (narrowed_by_a_global, 3)):
        assert not is_traced(program)
        counting = Counting()
        async with AgentVM(store="memory", llm=ScriptedLLM(counting)) as vm:
            words = [str(number) for number in range(9)]
            assert await vm.run(program, words) == words
        assert counting.most == most


@agent
async def locked(words: list[str]) -> list[int]:
    lock = asyncio.Lock()

    async def one(word: str) -> int:
        async with lock:
            before = await written()
            await write(f"{word} {before}")
        return before

    return await asyncio.gather(*[one(word) for word in words])


async def test_a_lock_around_reading_and_writing():
    """What is read in it is not changed before it is left."""
    await holds(locked, ["a", "b", "c"])


@agent
async def leaves_early(words: list[str]) -> list[str]:
    gate = asyncio.Semaphore(1)
    found = []
    for word in words:
        async with gate, GATE:
            answer = await llm(word)
            if answer == "skip":
                continue
            if answer == "stop":
                break
            found.append(answer)
        await write(word)
    return found


async def test_leaving_a_gate_early():
    """`continue`, `break` and `return` leave it."""
    await holds(leaves_early, ["a", "skip", "b", "stop", "c"])


@agent
async def in_both_orders(words: list[str]) -> list[str]:
    one = asyncio.Lock()
    two = asyncio.Semaphore(2)
    found = []
    for word in words:
        async with one, two:
            found.append(await llm(f"{word} in two"))
        async with two, one:
            found.append(await llm(f"{word} in one"))
        async with two, two:
            found.append(await llm(f"{word} twice"))
    return found


async def test_gates_in_any_order_do_not_wait_for_each_other():
    """Calls that pass two gates in either order, or one twice, all get through, though they overlap."""
    await holds(in_both_orders, ["a", "b", "c"])


async def asks(word: str) -> str:
    return await llm(word)


async def asks_behind(word: str, gate: asyncio.Semaphore) -> str:
    async with gate:
        return await llm(word)


@agent
async def holds_a_helper(words: list[str]) -> list[str]:
    gate = asyncio.Semaphore(1)
    found = []
    for word in words:
        async with gate:
            found.append(await asks(word))
    return found


async def test_a_helper_behind_a_gate():
    """What only asks the model may hold a place meanwhile."""
    await holds(holds_a_helper, ["a", "b", "c"])


@agent
async def two_gates(word: str) -> list[str]:
    one = asyncio.Semaphore(1)
    two = asyncio.Semaphore(1)
    found = []
    for _ in range(3):
        async with one:
            found.append(await asks_behind(word, two))
        async with two:
            found.append(await asks_behind(word, one))
    return found


@agent
async def by_hand(word: str) -> list[object]:
    gate = asyncio.Semaphore(1)
    await gate.acquire()
    taken = gate.locked()
    gate.release()
    async with gate:
        return [taken, await llm(word)]


@agent
async def holds_an_agent(word: str) -> list[object]:
    gate = asyncio.Semaphore(1)
    async with gate:
        return [await writer(word), await write(word)]


@agent
async def bound_twice(word: str) -> list[object]:
    gate = asyncio.Semaphore(1)
    async with gate:
        gate = asyncio.Semaphore(1)
        async with gate:
            return [await llm(word)]


async def test_gates_that_stay_python():
    """A semaphore used by hand, one around what writes or waits at another, one bound again."""
    for program in (by_hand, holds_an_agent, bound_twice, two_gates):
        assert is_traced(program)
        await assert_as_plain(program, "a")
        await assert_resumes_anywhere(program, "a")
