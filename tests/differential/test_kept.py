"""Coroutines and tasks that are kept before they are awaited."""

from __future__ import annotations

import asyncio

from agentvm import agent, llm
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind

from .harness import leaves_coroutines
from .test_gather import helper, holds, write_or_fail
from .test_regressions import assert_as_plain, assert_resumes_anywhere, write


def is_traced(program) -> bool:
    return any(node.kind is Kind.TRACED for node in compile_agent(program).program.body.walk())


@agent
async def kept(words: list[str]) -> list[object]:
    count = 1
    first, second = words
    one = write_or_fail(f"{first} {count}")
    two = write_or_fail(text=second * count)
    count = 2
    second = "changed"
    await write("before both")
    answer = await two
    return [answer, await one, count, second]


@leaves_coroutines
async def test_a_coroutine_begins_where_it_is_awaited():
    """With the arguments it was given; what it writes is written then."""
    await holds(kept, ["a", "b"])
    await holds(kept, ["a", "b!"])


@agent
async def gathered(words: list[str]) -> list[object]:
    tasks = [write_or_fail(word) for word in words]
    extra = write_or_fail("extra")
    await write("before")
    some = [write("x"), llm("y")]
    found = await asyncio.gather(*tasks, extra, return_exceptions=True)
    return [*map(repr, found), *(await asyncio.gather(*some))]


async def test_lists_of_coroutines():
    """They begin where they are gathered."""
    await holds(gathered, ["a", "b!", "c"])
    await holds(gathered, [])


@agent
async def appended(words: list[str]) -> list[str]:
    tasks = []
    for word in words:
        if word:
            tasks.append(asyncio.create_task(helper(word, loud=True)))
    tasks.append(asyncio.create_task(helper(words[0], loud=False)))
    await write("meanwhile")
    return list(await asyncio.gather(*tasks))


async def test_lists_that_grow():
    """Tasks may be appended to a list one by one."""
    await holds(appended, ["a", "", "b"])


@agent
async def one_by_one(words: list[str]) -> list[object]:
    calls = [write_or_fail(word) for word in words]
    await write("before")
    found = []
    for call in calls:
        found.append(await call)
    others = [helper(word) for word in words]
    return [found, [await other + "!" for other in others]]


@leaves_coroutines
async def test_coroutines_awaited_in_a_loop():
    """Each begins in its turn; one that fails stops those after it."""
    await holds(one_by_one, ["a", "b"])
    await holds(one_by_one, ["a", "b!", "c"])


@agent
async def tasks_in_background(word: str) -> list[object]:
    task = asyncio.create_task(helper(word, loud=True))
    await write("foreground")
    other = asyncio.ensure_future(llm("other"))
    first = await llm("first")
    if first:
        return [await task, await other]
    return [first]


async def test_tasks_of_model_calls():
    """A task may begin at any time; its value is there when it is awaited."""
    await holds(tasks_in_background, "w")


@agent
async def task_that_fails(numbers: list[int]) -> list[object]:
    task = asyncio.create_task(divides(numbers[0], numbers[1]))
    await write("before it is awaited")
    try:
        return [await task]
    except ZeroDivisionError as error:
        return [str(error)]


async def divides(left: int, right: int) -> float:
    await llm("division")
    return left / right


async def test_a_task_fails_where_it_is_awaited():
    """What a task raises is raised by the await, and nowhere before."""
    await holds(task_that_fails, [1, 0])
    await holds(task_that_fails, [1, 2])


@agent
async def made_and_awaited(words: list[str]) -> list[object]:
    one = await asyncio.create_task(write_or_fail(words[0]), name="one")
    return [one, *(await asyncio.gather(*[asyncio.create_task(write_or_fail(word)) for word in words]))]


async def test_tasks_awaited_where_they_are_made():
    """They are calls."""
    await holds(made_and_awaited, ["a", "b"])
    await holds(made_and_awaited, ["a", "b!"])


@agent
async def awaited_twice(word: str) -> list[object]:
    call = write_or_fail(word)
    return [await call, await call]


@agent
async def awaited_in_a_loop(word: str) -> list[object]:
    call = write_or_fail(word)
    return [await call for _ in range(2)]


@agent
async def rebound(word: str) -> list[object]:
    call = write_or_fail(word)
    if word:
        call = llm(word)
    return [await call]


@agent
async def gathered_twice(words: list[str]) -> list[object]:
    calls = [write_or_fail(word) for word in words]
    return [await asyncio.gather(*calls) for _ in range(2)]


@agent
async def writes_in_background(word: str) -> list[object]:
    task = asyncio.create_task(write_or_fail(word))
    await write("first")
    return [await task]


@agent
async def never_awaited(words: list[str]) -> list[object]:
    calls = [write_or_fail(word) for word in words]
    return [len(calls)]


@agent
async def does_not_fit(words: list[str]) -> list[object]:
    call = helper(words[0], 1, 2)  # type: ignore[call-arg]
    await write("not reached")
    return [await call]


@leaves_coroutines
async def test_what_is_not_certainly_awaited_once_stays_python():
    """Awaited twice is RuntimeError, never awaited is nothing done, a task that writes may come first."""
    for program in (awaited_twice, awaited_in_a_loop, rebound, writes_in_background):
        assert is_traced(program)
        await assert_as_plain(program, "a")
        await assert_resumes_anywhere(program, "a")
    for program in (gathered_twice, never_awaited, does_not_fit):
        await assert_as_plain(program, ["a", "b"])
        await assert_resumes_anywhere(program, ["a", "b"])


@agent
async def changed_meanwhile(words: list[str]) -> list[object]:
    own = list(words)
    call = counted(own)
    own.append("more")
    return [await call, own]


async def counted(words: list[str]) -> int:
    await llm("count")
    return len(words)


async def test_an_argument_changed_before_the_await():
    """A coroutine sees what its arguments have become when it begins."""
    await assert_as_plain(changed_meanwhile, ["a"])
