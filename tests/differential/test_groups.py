"""Task groups."""

from __future__ import annotations

import asyncio

from agentvm import agent, llm, tool

from .test_gather import helper, holds
from .test_kept import is_traced
from .test_regressions import assert_as_plain, assert_resumes_anywhere, write


@tool(effect="read")
async def measured(word: str) -> int:
    if "!" in word:
        raise ValueError(word)
    return len(word)


@agent
async def several(words: list[str], topic: str) -> list[object]:
    await write("before")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(llm(f"about {topic}"))
        group.create_task(llm("nobody asks for this"))
        tasks = [group.create_task(measured(word)) for word in words]
        last = group.create_task(measured(topic))
    await write("after")
    return [first.result(), [task.result() for task in tasks], await last, last.result()]


async def test_a_group_of_calls():
    """Its calls run side by side, and their results are there when it is left."""
    await holds(several, ["a", "bb"], "topic")
    await holds(several, [], "topic")


@agent
async def handled(words: list[str]) -> list[object]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(measured(word)) for word in words]
        return [task.result() for task in tasks]
    except ExceptionGroup as errors:
        await write(f"{errors.message}: {[str(each) for each in errors.exceptions]}")
        return [len(errors.exceptions)]


@agent
async def fails(words: list[str]) -> list[object]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(measured(word)) for word in words]
    await write("not if one failed")
    return [task.result() for task in tasks]


async def test_what_fails_in_a_group_is_raised_by_it():
    """As an exception group of all that failed."""
    for words in (["a", "b"], ["a", "b!", "c", "d!"]):
        await holds(fails, words)
        await assert_as_plain(handled, words)
        await assert_resumes_anywhere(handled, words)


@agent
async def of_helpers(words: list[str]) -> list[object]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(helper(word)) for word in words]
    return [task.result() for task in tasks]


@agent
async def of_writes(words: list[str]) -> list[object]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(word)) for word in words]
    return [task.result() for task in tasks]


@agent
async def argument_fails(words: list[str]) -> list[object]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(llm(word[3])) for word in words]
    return [task.result() for task in tasks]


@agent
async def looked_at(words: list[str]) -> list[object]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(llm(word)) for word in words]
        await write("in the group")
    return [task.done() for task in tasks]


async def test_groups_that_stay_python():
    """Helpers, which may be cancelled half-way, writes, arguments that may fail, more statements or uses."""
    for program in (of_helpers, of_writes, argument_fails, looked_at):
        assert is_traced(program)
        await assert_as_plain(program, ["a", "b"])
        await assert_resumes_anywhere(program, ["a", "b"])
