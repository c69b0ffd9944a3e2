"""Task groups, semaphores, timeouts, `async with`, `async for`, create_task and generators."""

import asyncio
from contextlib import asynccontextmanager

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def record(text: str) -> None:
    LOG.append(text)


@asynccontextmanager
async def session(name: str):
    await record(f"open {name}")
    try:
        yield name.upper()
    finally:
        await record(f"close {name}")


async def numbers(count: int):
    for number in range(count):
        yield await llm(f"number {number}")


@agent
async def task_group(words: list[str]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(llm(f"task {word}")) for word in words]
    return [task.result() for task in tasks]


@agent
async def limited(words: list[str]) -> list[str]:
    gate = asyncio.Semaphore(2)

    async def one(word: str) -> str:
        async with gate:
            return await llm(f"limited {word}")

    return await asyncio.gather(*[one(word) for word in words])


@agent
async def resource(word: str) -> str:
    async with session(word) as opened:
        await record(opened)
        answer = await llm(f"in {opened}")
    return answer  # noqa: RET504 - bound inside, read outside


@agent
async def generator(count: int) -> list[str]:
    found = []
    async for each in numbers(count):
        found.append(each)
        if len(found) == 3:
            break
    return found + [each async for each in numbers(1)]


@agent
async def background(word: str) -> tuple[str, str]:
    task = asyncio.create_task(llm(f"background {word}"))
    first = await llm(f"foreground {word}")
    return first, await task


@agent
async def closures(words: list[str]) -> list[object]:
    total = 0
    functions = [lambda w=word: len(w) + total for word in words]

    def add(number: int) -> None:
        nonlocal total
        total += number

    for word in words:
        add(len(await llm(f"len {word}")))
    return [total, [function() for function in functions]]


@agent
async def collected(words: list[str]) -> list[object]:
    results = await asyncio.gather(*[checked(word) for word in words], return_exceptions=True)
    return [f"{type(each).__name__}: {each}" for each in results]


@agent
async def checked(word: str) -> str:
    if word == "bad":
        raise ValueError(word)
    return await llm(f"checked {word}")


def script(call):
    return call.prompt.upper()


WORDS = ["a", "bb", "ccc", "bad"]
CASES = [
    (task_group, (WORDS,), {}),
    (limited, (WORDS,), {}),
    (resource, ("r",), {}),
    (generator, (5,), {}),
    (generator, (1,), {}),
    (background, ("w",), {}),
    (closures, (WORDS,), {}),
    (collected, (WORDS,), {}),
]
