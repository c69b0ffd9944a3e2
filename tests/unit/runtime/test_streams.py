"""Watching a run: events and texts as they come, and readers that are slow."""

from __future__ import annotations

import math

import anyio
import anyio.lowlevel
import pytest

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime import streams
from agentvm_runtime.records import EventKind
from agentvm_runtime.streams import MOST, Audience, Stream

CALLS: list[int] = []


@tool(effect="read")
async def step(number: int) -> int:
    CALLS.append(number)
    return number + 1


@agent
async def count(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await step(number)
    return number


async def settle() -> None:
    for _ in range(5000):
        await anyio.lowlevel.checkpoint()


async def test_a_slow_reader_holds_the_run_up(monkeypatch):
    """New calls begin when it has read on; it gets every event."""
    monkeypatch.setattr(streams, "PATIENCE", math.inf)
    CALLS.clear()
    async with AgentVM(store="memory", llm=ScriptedLLM("")) as vm:
        handle = await vm.start(count, 400)
        seen = 0
        async for event in handle.events():
            if seen == 0:
                await settle()
                assert len(CALLS) <= MOST + 1, "the run waits for its reader"
            seen += event.kind is EventKind.DONE and event.site == "step#1"
        assert await handle.result() == 400
        assert seen == 400


async def test_calls_wait_in_line_for_a_slow_reader(monkeypatch):
    """Each begins when the reader has read on; not all look each time whether it has."""
    monkeypatch.setattr(streams, "MOST", 2)
    looks: list[None] = []
    behind = Stream._is_far_behind
    monkeypatch.setattr(Stream, "_is_far_behind", lambda self: looks.append(None) or behind(self))
    stream: Stream[int] = Stream()
    begun: list[int] = []

    async def begin(number: int) -> None:
        await stream.room()
        begun.append(number)
        stream.tell(number)

    read: list[int] = []
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(begin, number)
        await anyio.wait_all_tasks_blocked()
        async for each in stream.read():
            read.append(each)
            for _ in range(10):  # whoever can go on does
                await anyio.lowlevel.checkpoint()
            assert len(begun) <= len(read) + 2
            if len(read) == 100:
                break
    assert begun == read == list(range(100))
    assert len(looks) <= 400


async def test_a_reader_that_has_left_does_not(monkeypatch):
    """A run is never stuck for want of a reader."""
    monkeypatch.setattr(streams, "PATIENCE", 0.01)
    async with AgentVM(store="memory", llm=ScriptedLLM("")) as vm:
        handle = await vm.start(count, 400)
        events = handle.events()
        await anext(events)
        assert await handle.result() == 400
        await events.aclose()


async def test_a_stream_that_is_given_up_is_forgotten():
    """Leaving the loop ends it."""
    audience: Audience[int] = Audience()
    stream = audience.join()
    reader = stream.read()
    audience.tell(1)
    assert await anext(reader) == 1
    await reader.aclose()
    audience.tell(2)
    assert stream.closed


async def test_what_was_told_before_the_end_is_read():
    """Closing a stream loses nothing."""
    stream: Stream[int] = Stream()
    for number in range(3):
        stream.tell(number)
    stream.close()
    assert [each async for each in stream.read()] == [0, 1, 2]


@agent
async def talk() -> str:
    return await llm(f"then {await llm('first')}")


class Typewriter(ScriptedLLM):
    """A model that gives its answer letter by letter."""

    async def complete(self, call, progress=None):
        result = await super().complete(call)
        for number, letter in enumerate(result.text, 1):
            await anyio.lowlevel.checkpoint()
            progress(number, letter)
        return result


async def test_answers_can_be_read_as_they_come():
    """Each piece with the call it is of."""
    async with AgentVM(store="memory", llm=Typewriter(["ab", "cd"])) as vm:
        handle = await vm.start(talk)
        pieces = [(each.path, each.text) async for each in handle.texts()]
        assert await handle.result() == "cd"
    assert pieces == [("llm#1", "a"), ("llm#1", "b"), ("llm#2", "c"), ("llm#2", "d")]


@pytest.mark.parametrize("reads", ["events", "texts"])
async def test_a_run_that_has_ended_tells_nothing(reads):
    """Its journal is in the store."""
    async with AgentVM(store="memory", llm=ScriptedLLM(["a", "b"])) as vm:
        handle = await vm.start(talk)
        await handle.result()
        assert [each async for each in getattr(handle, reads)()] == []
