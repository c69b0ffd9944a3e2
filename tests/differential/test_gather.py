"""`asyncio.gather` and comprehensions that await: cases made to break them."""

from __future__ import annotations

import asyncio

from agentvm import agent, llm, tool
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind

from .harness import leaves_coroutines
from .test_regressions import LOG, assert_as_plain, assert_resumes_anywhere, write


@tool
async def write_or_fail(text: str) -> str:
    LOG.append(text)
    if "!" in text:
        raise ValueError(text)
    return text.upper()


@tool(effect="read")
async def written() -> int:
    return len(LOG)


@agent
async def writer(text: str) -> str:
    answer = await llm(text)
    await write(f"{answer} by agent")
    if "!" in text:
        raise LookupError(text)
    return answer


async def helper(text: str, *, loud: bool = False) -> str:
    return (await llm(text)).upper() if loud else await llm(text)


async def holds(program, *args: object) -> None:
    """The agent is compiled throughout, and is what plain Python is, resumed anywhere too."""
    assert not any(node.kind is Kind.TRACED for node in compile_agent(program).program.body.walk())
    await assert_as_plain(program, *args)
    await assert_as_plain(program, *args, seed=7)
    await assert_resumes_anywhere(program, *args)


@agent
async def exceptions_are_values(words: list[str]) -> list[str]:
    found = await asyncio.gather(*[write_or_fail(word) for word in words], return_exceptions=True)
    more = await asyncio.gather(
        write_or_fail("first!"), llm("second"), write("third"), writer("fourth!"), return_exceptions=True
    )
    return [repr(each) for each in [*found, *more]]


async def test_exceptions_as_values():
    """A call that fails gives its exception; those after it write all the same, in order."""
    await holds(exceptions_are_values, ["a", "b!", "c", "d!", "e"])
    await holds(exceptions_are_values, [])


@agent
async def no_exceptions_as_values(words: list[str]) -> list[str]:
    return await asyncio.gather(*(helper(word, loud=True) for word in words), return_exceptions=False)


async def test_the_option_may_be_given_as_false():
    """`return_exceptions=False` is the default."""
    await holds(no_exceptions_as_values, ["a", "b"])


@agent
async def fails_within(words: list[str]) -> list[object]:
    try:
        await asyncio.gather(write_or_fail("a"), write_or_fail("b!"), write_or_fail("c"), write_or_fail("d!"))
    except ValueError as error:
        await write(f"handled {error}")
    await asyncio.gather(*[write_or_fail(word) for word in words])
    await write("not reached")
    return []


async def test_all_tools_of_a_gather_begin():
    """A write tool that fails does not keep its siblings from writing; the first failure is raised."""
    await holds(fails_within, ["e", "f!", "g!", "h"])


@agent
async def argument_fails(words: list[str], number: int) -> list[object]:
    return await asyncio.gather(
        write("a"), *[write(f"{word} {number // len(word)}") for word in words], write("b")
    )


@leaves_coroutines
async def test_arguments_are_evaluated_before_any_call():
    """If an argument cannot be evaluated, no call has begun."""
    await holds(argument_fails, ["x", ""], 3)
    await holds(argument_fails, ["x", "y"], 3)


@agent
async def argument_awaits(words: list[str]) -> list[object]:
    return await asyncio.gather(
        *[write_or_fail(await llm(word) + str(await write(word))) for word in words],
        write_or_fail(await llm("last")),
        return_exceptions=True,
    )


async def test_an_await_in_an_argument_comes_before_any_call():
    """What arguments await and write, all of them do before the first call of the gather."""
    await holds(argument_awaits, ["a", "b"])


@agent
async def exception_objects(word: str) -> list[object]:
    error = ValueError(word)
    found = await asyncio.gather(gives(error), write(word), return_exceptions=True)
    both = await asyncio.gather(gives(error), write(word))
    return [isinstance(found[0], ValueError), isinstance(both[0], ValueError), found[1]]


async def gives(error: ValueError) -> ValueError:
    await llm("x")
    return error


async def test_an_exception_that_is_returned_is_not_raised():
    """An exception as a result is a value."""
    await assert_as_plain(exception_objects, "a")
    await assert_resumes_anywhere(exception_objects, "a")


@agent
async def filters(words: list[str]) -> list[object]:
    listed = [word for word in words if await llm(word) != "b"]
    both = [await llm(word + "2") for word in words if word if await llm(word) < "c" if await write(word)]
    table = {word: [x + await llm(y) for y in words for x in word if await llm(y + x)] for word in words}
    distinct = {await llm(word[:1]) for word in words if await llm(word)}
    pairs = [(x, await llm(y)) for x, y in zip(words, reversed(words), strict=True) if x != await llm(y)]
    return [listed, both, table, sorted(distinct), pairs]


async def test_awaits_in_filters_and_nested_comprehensions():
    """Filters, keys, elements and sources may await, at any depth."""
    await assert_as_plain(filters, ["a", "b", "cc", "a"])
    await assert_as_plain(filters, [], seed=3)
    await holds(filters, ["a", "b"])


@agent
async def reads_too_early(words: list[str]) -> list[str]:
    x = "outer"
    return [await llm(x) for y in words if x for x in [await llm(y)]]


async def test_a_target_read_before_it_is_bound():
    """A comprehension's own name has no value before its `for`, whatever the function has under it."""
    await assert_as_plain(reads_too_early, ["a"])


@agent
async def filter_fails(words: list[str], numbers: list[int]) -> list[str]:
    return [await write_or_fail(word) for word, n in zip(words, numbers, strict=True) if 6 // n > 1]


async def test_a_filter_that_fails_stops_the_writes_there():
    """Elements before a filter fails have been written, those after it not."""
    await holds(filter_fails, ["a", "b", "c", "d"], [1, 9, 0, 1])
    await holds(filter_fails, ["a", "b!", "c", "d"], [1, 1, 0, 1])


@agent
async def key_fails(words: list[str]) -> dict[str, int]:
    return {(await llm(word))[3]: await write(word) for word in words}


async def test_a_key_that_fails_stops_the_writes_there():
    """So have the values of a dict."""
    await holds(key_fails, ["abcd", "efgd", "x", "hijk"])


@agent
async def set_fails(words: list[str]) -> int:
    return len({await held(word) for word in words})


@agent
async def held(word: str) -> object:
    await write(word)
    return [word] if word == "b" else word


async def test_an_element_that_cannot_be_hashed_stops_the_writes_there():
    """So have the elements of a set."""
    await assert_as_plain(set_fails, ["a", "b", "c"])


@agent
async def folded(words: list[str]) -> list[object]:
    some = any([await llm(word) == "b" for word in words if await llm(word)])
    joined = "".join([await llm(word) for word in words if word != await llm("a")])
    return [some, joined, sum([len(x) for x in await helper_list(words)])]


async def helper_list(words: list[str]) -> list[str]:
    return [await llm(word) for word in words]


async def test_comprehensions_inside_calls():
    """A comprehension that awaits may be an argument."""
    await holds(folded, ["a", "b"])


@agent
async def lazy(words: list[str]) -> int:
    return sum(len(await llm(word)) for word in words)  # type: ignore[arg-type]


async def test_an_asynchronous_generator_is_no_iterable():
    """A generator expression that awaits cannot be summed: TypeError, as in Python."""
    await assert_as_plain(lazy, ["a"])


@agent
async def reads_after_writes(words: list[str]) -> list[int]:
    return [await written() for word in words if await write(word) % 2]


async def test_effects_in_filters_keep_their_order():
    """A read in an element sees the writes of the filters before it."""
    await holds(reads_after_writes, ["a", "b", "c"])


@agent
async def source_fails(texts: list[str]) -> list[int]:
    return [await write(f"number {number}") for number in map(int, texts)]


async def test_a_source_that_fails_stops_the_writes_there():
    """Items before the one that cannot be had are gone through, those after it not."""
    await holds(source_fails, ["1", "2", "x", "3"])
    await holds(source_fails, ["1", "2"])


@agent
async def reads_unbound(words: list[str]) -> list[str]:
    found = [x + await llm(y) for x in words for y in later[:2]]  # noqa: F821 - bound below
    later = words
    return found + later


async def test_a_name_without_a_value_in_a_comprehension():
    """It is a free variable there, and so the error is NameError."""
    await assert_as_plain(reads_unbound, ["a"])
