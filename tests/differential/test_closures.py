"""Functions defined inside agents."""

from __future__ import annotations

import asyncio

from agentvm import agent, llm

from .test_gather import holds, write_or_fail
from .test_kept import is_traced
from .test_regressions import assert_as_plain, assert_resumes_anywhere, write


@agent
async def captures(words: list[str], topic: str) -> list[object]:
    prefix = f"about {topic}: "
    limit = 3

    async def one(word: str, *, loud: bool = False) -> str:
        answer = await llm(prefix + word[:limit] + topic)
        return answer.upper() if loud else answer

    async def two(word: str) -> str:
        return await write_or_fail(f"{prefix}{word}")

    def short(word: str) -> str:
        return word[:limit]

    first = await one(words[0])
    rest = await asyncio.gather(*[one(word, loud=True) for word in words])
    calls = [two(word) for word in words]
    written = await asyncio.gather(*calls, return_exceptions=True)
    return [first, rest, short(first), [await one(short(word)) for word in words], *map(repr, written)]


async def test_functions_that_capture():
    """They are helpers that are given what they capture."""
    await holds(captures, ["a", "bcdef"], "t")
    await holds(captures, ["a", "b!", "c"], "t")


@agent
async def rebinds(words: list[str]) -> list[str]:
    prefix = "early "

    async def one(word: str) -> str:
        return await llm(prefix + word)

    first = await one(words[0])
    prefix = "late "
    return [first, await one(words[0])]


@agent
async def in_a_loop(words: list[str]) -> list[str]:
    functions = []
    for word in words:

        async def one() -> str:
            return await llm(word)  # noqa: B023 - late binding is what is tested

        functions.append(one)
    return [await function() for function in functions]


@agent
async def called_in_a_loop(words: list[str]) -> list[str]:
    found = []
    for word in words:

        async def one() -> str:
            return await llm(word)  # noqa: B023 - late binding is what is tested

        found.append(await one())
    return found


@agent
async def counts(words: list[str]) -> list[object]:
    total = 0

    async def one(word: str) -> None:
        nonlocal total
        total += await write(word)

    for word in words:
        await one(word)
    return [total]


@agent
async def collects(words: list[str]) -> list[object]:
    found: list[str] = []

    async def one(word: str) -> None:
        found.append(await llm(word))

    await asyncio.gather(*[one(word) for word in words])
    return [found]


@agent
async def itself(words: list[str]) -> list[object]:
    async def down(number: int) -> int:
        return await down(number - 1) if number else await write("down")

    return [await down(len(words))]


@agent
async def bound_later(words: list[str]) -> list[object]:
    async def one(word: str) -> str:
        return await llm(word + suffix)

    try:
        await one("x")
    except NameError as error:
        await write(type(error).__name__)
    suffix = "!"
    return [await one(word) for word in words]


@agent
async def shadowed(words: list[str]) -> list[object]:
    word = "outer"

    async def one() -> str:
        return await llm(word)

    return [await one() for word in words]


@agent
async def handed_on(words: list[str]) -> list[object]:
    async def one(word: str) -> str:
        return await llm(word)

    return [await applied(one, word) for word in words]


async def applied(function, word: str) -> str:
    return await function(word)


@agent
async def with_default(words: list[str]) -> list[object]:
    count = len(words)

    async def one(number: int = count) -> str:
        return await llm(str(number))

    count = 9
    return [await one(), count]


@agent
async def deleted(words: list[str]) -> list[object]:
    prefix = words[0]

    async def one(word: str) -> str:
        return await llm(prefix + word)  # noqa: F821 - deleted below

    del prefix
    return [await one("x")]


@agent
async def perhaps_defined(words: list[str]) -> list[object]:
    if len(words) > 5:

        async def one(word: str) -> str:
            return await llm(word)

    return [await one("x")]


@agent
async def called_before(words: list[str]) -> list[object]:
    found = []
    for word in words:
        try:
            found.append(await one(word))  # noqa: F821 - defined below
        except UnboundLocalError:
            found.append("not yet")

        async def one(word: str) -> str:
            return await llm(word)

    return found


async def test_functions_that_cannot_be_lifted():
    """Late binding, `nonlocal`, recursion, shadowing, defaults, functions as values or not there yet."""
    for program in (
        rebinds,
        in_a_loop,
        called_in_a_loop,
        counts,
        collects,
        itself,
        bound_later,
        shadowed,
        handed_on,
        with_default,
        deleted,
        perhaps_defined,
        called_before,
    ):
        assert is_traced(program)
        await assert_as_plain(program, ["a", "b"])
        await assert_resumes_anywhere(program, ["a", "b"])
