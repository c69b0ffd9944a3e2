"""Programs in which what comes next depends on which result came first, stopped anywhere and resumed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest

from agentvm import AgentVM, UncertainWrite, agent, tool
from agentvm_runtime.errors import UnstorableValue
from agentvm_runtime.records import Event, EventKind

from .crash import CrashingStore, unsettled

MADE: list[int] = []
SEED = [0]
"""Says how long calls take: other times after each start of the program."""


async def _pause(*about: Any) -> None:
    delay = random.Random(f"{SEED[0]} {about}").choice([None, None, 0.001, 0.002, 0.004])
    if delay is not None:
        await asyncio.sleep(delay)


@tool(effect="read")
async def fetch(number: int) -> int:
    MADE.append(number)
    await _pause("fetch", number)
    return number * number


@tool(effect="read")
def size(numbers: list[int]) -> int:
    MADE.append(len(numbers))
    return len(numbers)


@tool(effect="read")
async def flaky(number: int) -> int:
    MADE.append(number)
    await _pause("flaky", number)
    if number % 3 == 1:
        raise ValueError(f"not {number}")
    return number


@tool(idempotent=True)
async def put(number: int) -> int:
    MADE.append(number)
    await _pause("put", number)
    return number * number


SENT: list[int] = []


@tool
async def send(number: Any) -> int:
    SENT.append(number)
    await _pause("send", number)
    return int(number)


@agent
async def counted(numbers: list[int], number: int) -> int:
    """Changes what it is given while others do."""
    numbers.append(await fetch(number))
    numbers.append(await fetch(number + 100))
    return len(numbers)


Work = Callable[[int], Awaitable[int]]


async def worker(queue: asyncio.Queue[int], work: Work, out: list[Any]) -> None:
    while not queue.empty():
        number = queue.get_nowait()
        try:
            out.append(await work(number))
        except ValueError as error:
            out.append(str(error))


def filled(count: int) -> asyncio.Queue[int]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    for number in range(count):
        queue.put_nowait(number)
    return queue


@agent
async def pool(count: int) -> list[Any]:
    queue, out = filled(count), []
    await asyncio.gather(*(worker(queue, fetch, out) for _ in range(3)))
    return out


@agent
async def failing_pool(count: int) -> list[Any]:
    queue, out = filled(count), []
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(worker(queue, flaky, out))
    return out


@agent
async def writing_pool(count: int) -> list[Any]:
    """Writes wait for their commits, reads beside them do not."""
    queue, out = filled(count), []
    await asyncio.gather(worker(queue, put, out), worker(queue, fetch, out), worker(queue, put, out))
    return out


@agent
async def polite_pool(count: int) -> list[int]:
    """Pauses of its own, which are no calls."""
    queue, out = filled(count), []

    async def one(pause: float) -> None:
        while not queue.empty():
            out.append(await fetch(queue.get_nowait()))
            await asyncio.sleep(pause)

    await asyncio.gather(one(0.001), one(0.004), one(0))
    return out


@agent
async def as_they_come(count: int) -> list[int]:
    out = []
    for each in asyncio.as_completed([fetch(number) for number in range(count)]):
        number = await each
        out.append(await fetch(number + len(out)))
    return out


@agent
async def two_at_a_time(count: int) -> list[int]:
    """Tasks that start in any order, and wait for each other before their first calls."""
    gate = asyncio.Semaphore(2)

    async def one(number: int) -> int:
        async with gate:
            return await fetch(number)

    return [await each for each in asyncio.as_completed([one(number) for number in range(count)])]


@agent
async def with_timeouts(count: int) -> list[int]:
    """Which none of the calls reaches, beside code with a pause of its own."""
    out: list[int] = []

    async def late() -> None:
        await asyncio.sleep(0.02)
        out.append(await fetch(0))

    async def each() -> None:
        for number in range(1, count):
            async with asyncio.timeout(0.1):
                out.append(await fetch(number))

    await asyncio.gather(late(), each())
    return out


@agent
async def first_of_all(count: int) -> list[int]:
    out: list[int] = []
    left = list(range(3, count))
    pending = {asyncio.create_task(fetch(number)) for number in range(3)}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for each in sorted(done, key=lambda task: task.result()):
            out.append(each.result())
            if left:
                pending.add(asyncio.create_task(fetch(left.pop())))
    return out


@agent
async def pipeline(count: int) -> list[int]:
    """Producers and a consumer, which looks at what it has."""
    queue: asyncio.Queue[int | None] = asyncio.Queue(2)
    out: list[int] = []

    async def produce(numbers: range) -> None:
        for number in numbers:
            await queue.put(await fetch(number))
        await queue.put(None)

    async def consume() -> None:
        ended = 0
        while ended < 2:
            found = await queue.get()
            if found is None:
                ended += 1
            else:
                out.append(await fetch(found + size(out)))

    await asyncio.gather(produce(range(0, count, 2)), produce(range(1, count, 2)), consume())
    return out


@agent
async def blackboard(count: int) -> list[int]:
    """Agents and code side by side that change one list."""
    numbers: list[int] = []

    found = await asyncio.gather(*(counted(numbers, number) for number in range(count)))
    return [*found, *numbers]


@agent
async def streamed(count: int) -> list[int]:
    """Two at a time, by a generator and a semaphore."""
    gate = asyncio.Semaphore(2)
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def one(number: int) -> None:
        async with gate:
            queue.put_nowait(await fetch(number + queue.qsize()))

    async def results() -> AsyncIterator[int]:
        tasks = [asyncio.create_task(one(number * 10)) for number in range(count)]
        for _ in tasks:
            yield await queue.get()

    out = []
    async with aclosing(results()) as found:
        async for each in found:
            out.append(await fetch(each % 97))
    return out


@agent
async def sending(number: int) -> int:
    return await send(await fetch(number)) + await fetch(number + 100)


@agent
async def agents_as_they_come(count: int) -> list[int]:
    return [await each for each in asyncio.as_completed([sending(number) for number in range(count)])]


@agent
async def joined_pool(count: int) -> list[int]:
    """Nobody waits for the workers themselves."""
    queue, out = filled(count), []

    async def work() -> None:
        while True:
            number = await queue.get()
            out.append(await send(number))
            queue.task_done()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await queue.join()
    for each in workers:
        each.cancel()
    return out


@agent
async def unstorable_first(count: int) -> list[int]:
    """Calls that fail before anything is known of them."""
    out: list[int] = []

    async def one(number: int) -> None:
        with suppress(UnstorableValue):
            await send(lambda: number)
        out.append(await send(number))

    async def two() -> None:
        for number in range(count):
            out.append(await fetch(number))

    await asyncio.gather(one(1), two(), one(2))
    return out


@agent
async def polling(count: int) -> int:
    """Code that never rests."""
    number = 0
    for each in range(count):
        task = asyncio.create_task(send(each))
        while not task.done():
            number += size([each])
            await asyncio.sleep(0.001)
        number += task.result()
    return number >= count


async def run_until(program: Any, count: int, store: CrashingStore) -> tuple[str, Any]:
    """Start the program; to its end, or until the store is dead."""
    MADE.clear()
    async with AgentVM(store=store) as vm:
        run = await vm.start(program, count)
        ended = asyncio.ensure_future(run.result())
        crashed = asyncio.ensure_future(store.crashed.wait())
        await asyncio.wait([ended, crashed], return_when=asyncio.FIRST_COMPLETED)
        crashed.cancel()
        outcome = await ended if ended.done() else None
        ended.cancel()
        await asyncio.gather(ended, crashed, return_exceptions=True)
    store.limit = None
    return run.id, outcome


def results(journal: list[Event]) -> list[str]:
    kinds = (EventKind.DONE, EventKind.FAILED)
    return [each.path for each in journal if each.kind in kinds and each.node in ("tool", "agent")]


FIXED = [pool, failing_pool, writing_pool, two_at_a_time, with_timeouts, first_of_all]
"""Do each of their calls once, in whatever order."""
PROGRAMS = [*FIXED, as_they_come, pipeline, blackboard, streamed]


@pytest.mark.parametrize("seed", [0, 9, 13])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.name.rpartition(":")[2])
async def test_results_come_in_the_order_in_which_they_came(program: Any, seed: int):
    """Wherever it is stopped, it resumes as the program that it was: what is recorded is not done again."""
    count = 5
    SEED[0] = seed
    store = CrashingStore()
    _, expected = await run_until(program, count, store)
    for point in range(store.appended + 1):
        SEED[0] = seed
        store = CrashingStore(point)
        run_id, _ = await run_until(program, count, store)
        journal = await store.events(run_id)
        SEED[0] = 100 + seed + point
        MADE.clear()
        async with AgentVM(store=store) as vm:
            outcome = await (await vm.resume(run_id)).result()
        after = results(await store.events(run_id))
        assert len(set(after)) == len(after), f"stopped after {point} events: some results came twice"
        assert set(results(journal)) <= set(after)
        if program in FIXED:
            assert sorted(map(str, outcome)) == sorted(map(str, expected)), f"stopped after {point} events"


SENDING = [agents_as_they_come, joined_pool, unstorable_first, polling]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("program", SENDING, ids=lambda each: each.name.rpartition(":")[2])
async def test_nothing_is_sent_twice(program: Any, seed: int):
    """Wherever it is stopped, it ends, if only with a write in doubt."""
    SEED[0] = seed
    store = CrashingStore()
    SENT.clear()
    _, expected = await run_until(program, 4, store)
    for point in range(store.appended + 1):
        SEED[0] = seed
        store = CrashingStore(point)
        SENT.clear()
        run_id, _ = await run_until(program, 4, store)
        SEED[0] = 100 + seed + point
        journal = await store.events(run_id)
        async with AgentVM(store=store) as vm, asyncio.timeout(10):
            try:
                outcome = await (await vm.resume(run_id)).result()
            except UncertainWrite:
                assert unsettled(journal), f"stopped after {point} events"
            else:
                assert sorted_if_list(outcome) == sorted_if_list(expected), f"stopped after {point} events"
        twice = [each for each in set(SENT) if SENT.count(each) > 1]
        assert not twice, f"stopped after {point} events: {twice}"


def sorted_if_list(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


async def test_a_resumed_program_can_be_resumed_again():
    """Results of both processes come in their order."""
    SEED[0] = 0
    store = CrashingStore(3)
    run_id, _ = await run_until(pool, 8, store)
    for point in (3, 5):
        SEED[0] += 1
        store.limit, store.crashed = store.appended + point, asyncio.Event()  # type: ignore[assignment]
        async with AgentVM(store=store) as vm:
            await vm.resume(run_id)
            await store.crashed.wait()
        store.limit = None
    async with AgentVM(store=store) as vm:
        outcome = await (await vm.resume(run_id)).result()
    assert sorted(outcome) == [number * number for number in range(8)]
