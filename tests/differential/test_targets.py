"""Assignments whose target awaits, or is read before the value awaits."""

from __future__ import annotations

from dataclasses import dataclass

from agentvm import agent, llm

from .test_gather import holds
from .test_regressions import assert_as_plain, write


@agent
async def subscripts(words: list[str]) -> dict[str, int]:
    table: dict[str, int] = {}
    for word in words:
        table[await llm(word) + str(await write(f"key {word}"))] = await write(word)
    return table


async def test_the_value_comes_before_the_subscript():
    """Python evaluates the value of an assignment first."""
    await holds(subscripts, ["a", "b"])


@agent
async def slices(words: list[str]) -> list[str]:
    kept = list(words)
    kept[await write("from") : await write("to")] = [await llm("x")]
    return kept


async def test_slices_as_targets():
    """A slice's bounds may await."""
    await holds(slices, ["a", "b", "c"])


@agent
async def value_fails(words: list[str]) -> None:
    table = {}
    table[await write("key")] = words[9]


@agent
async def subscript_fails(words: list[str]) -> list[str]:
    table = list(words)
    table[await write("key") + 9] = await llm("value")
    return table


async def test_what_fails_first_in_an_assignment():
    """If the value cannot be evaluated the subscript is not asked for."""
    await holds(value_fails, ["a"])
    await holds(subscript_fails, ["a"])


@dataclass
class State:
    total: int = 0


@agent
async def counts(words: list[str]) -> list[object]:
    scores: dict[str, int] = dict.fromkeys(words, 1)
    state = State()
    for word in words:
        scores[word] += await write(word)
        scores[await llm("a")] -= await write("a")
        state.total += len(await llm(word))
    return [scores, state.total]


async def test_augmented_subscripts_and_attributes():
    """The target is read first, then the value awaited, then the sum stored."""
    await holds(counts, ["a", "b"])


@agent
async def no_such_key(words: list[str]) -> dict[str, int]:
    scores: dict[str, int] = {}
    scores[words[0]] += await write("not reached")
    return scores


async def test_a_missing_key_fails_before_the_value():
    """Nothing is written if the target of `+=` is not there."""
    await holds(no_such_key, ["a"])


@agent
async def rebinds(words: list[str]) -> list[object]:
    scores: dict[str, int] = dict.fromkeys(words, 1)
    other: list[list[str]] = [[]]
    key = words[0]
    scores[key] += len(key := await llm("b"))
    other[0] += [await llm("x")]
    return [scores, other]


async def test_targets_that_the_value_rebinds_or_that_are_lists():
    """`:=` in the value changes no target that was read; a list grows in place."""
    await assert_as_plain(rebinds, ["a", "b"])
