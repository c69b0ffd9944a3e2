"""What a scheduler is told of calls under way, and what the journal gets to know from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_compiler.errors import BackendError
from agentvm_compiler.wire import CallRecord, HintsChange, ModelCall, Stage
from agentvm_runtime import updates
from agentvm_runtime.errors import RunCancelled
from agentvm_runtime.records import CALLS, EventKind
from agentvm_runtime.siblings import Siblings


class Scheduler:
    """Remembers what it is told, and knows of every call that it was queued at second 1."""

    def __init__(self) -> None:
        self.messages: list[list[HintsChange]] = []
        self.cancelled: list[str] = []
        self.asked: list[str] = []
        self.told = asyncio.Event()
        self.failing = False

    async def update(self, changes: Sequence[HintsChange]) -> None:
        if self.failing:
            raise BackendError("gone")
        self.messages.append(list(changes))
        self.told.set()

    async def cancel(self, *, run: str) -> int:
        self.cancelled.append(run)
        return 1

    async def served(self, keys: Sequence[str]) -> list[CallRecord]:
        if self.failing:
            raise BackendError("gone")
        self.asked += keys
        return [CallRecord(each, 1.0, started_at=2.0, preempted_at=(3.0,), outcome="met") for each in keys]

    def of(self, path: str) -> list[dict[str, Any]]:
        """What it was told of the call at a path."""
        return [dict(e.fields) for m in self.messages for e in m if e.key.endswith(f"/{path}")]


class Model(ScriptedLLM):
    """Answers a prompt when its gate is open; all others at once."""

    def __init__(self) -> None:
        super().__init__(self.respond)
        self.scheduler = Scheduler()
        self.gates: dict[str, asyncio.Event] = {}
        self.arrived: dict[str, asyncio.Event] = {}

    def gate(self, *prompts: str) -> None:
        for each in prompts:
            self.gates[each], self.arrived[each] = asyncio.Event(), asyncio.Event()

    async def respond(self, call: ModelCall) -> str:
        if call.prompt in self.gates:
            self.arrived[call.prompt].set()
            await self.gates[call.prompt].wait()
        return call.prompt


@pytest.fixture
def model(monkeypatch) -> Model:
    """A model with a scheduler, which is told of changes at once."""
    monkeypatch.setattr(updates, "PAUSE", 0.0)
    return Model()


gates: dict[str, asyncio.Event] = {}


@tool(effect="read")
async def topics(count: int) -> list[str]:
    await gates["topics"].wait()
    return [f"topic {number}" for number in range(count)]


@agent
async def unfolding(count: int) -> str:
    style = await llm("style")
    found = await topics(count)
    parts = [await llm(f"{each} in {style}", max_tokens=20) for each in found]
    return await llm(f"join {len(parts)}", max_tokens=30)


async def test_a_region_that_unfolds_changes_the_forecast_of_a_call_under_way(model):
    """How many calls will wait for it is known with the items of the map they are made in."""
    gates["topics"] = asyncio.Event()
    model.gate("style")
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(unfolding, 7)
        await model.arrived["style"].wait()
        [style] = [each for each in model.calls if each.prompt == "style"]
        assert [each.calls for each in style.hints.remaining] == [3, 1]  # what is expected of any map
        gates["topics"].set()
        await model.scheduler.told.wait()
        [changed] = model.scheduler.of(style.path)
        assert [Stage.model_validate(each).calls for each in changed["remaining"]] == [7, 1]
        model.gates["style"].set()
        assert await run.result() == "join 7"
    late = next(each for each in model.calls if each.prompt.startswith("topic"))
    assert [each.calls for each in late.hints.remaining] == [1]


@agent
async def side_by_side(names: list[str]) -> str:
    answers = [await llm(each) for each in names]
    return await llm("join" + "".join(answers))


async def test_the_last_siblings_are_told_that_they_are(model):
    """When half of them have ended, and then half of those; calls that are over are told nothing."""
    names = [f"n{number}" for number in range(8)]
    model.gate(*names)
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(side_by_side, names)
        for each in names:
            await model.arrived[each].wait()
        assert {each.hints.siblings for each in model.calls} == {8}
        last = next(each.path for each in model.calls if each.prompt == "n7")
        for expected, done in ((4, names[:4]), (2, names[4:6]), (1, names[6:7])):
            model.scheduler.told.clear()
            for each in done:
                model.gates[each].set()
            await model.scheduler.told.wait()
            assert model.scheduler.of(last)[-1] == {"siblings": expected}
        model.gates["n7"].set()
        await run.result()
    first = next(each.path for each in model.calls if each.prompt == "n0")
    assert model.scheduler.of(first) == []
    assert len(model.scheduler.of(last)) == 3


@agent
async def gathered() -> str:
    one, two = await asyncio.gather(llm("one"), llm("two"))
    return await llm(one + two)


async def test_calls_that_are_gathered_are_siblings(model):
    """Each knows of the other, and the one that is left that it is the last; a call by itself has none."""
    model.gate("one", "two")
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(gathered)
        for each in ("one", "two"):
            await model.arrived[each].wait()
        model.gates["one"].set()
        await model.scheduler.told.wait()
        model.gates["two"].set()
        assert await run.result() == "onetwo"
    calls = {each.prompt: each for each in model.calls}
    assert {prompt: each.hints.siblings for prompt, each in calls.items()} == {
        "one": 2,
        "two": 2,
        "onetwo": 1,
    }
    assert model.scheduler.of(calls["two"].path) == [{"siblings": 1}]


def test_siblings_of_maps_within_maps_multiply():
    """Until only the call itself is left."""
    outer = Siblings(3)
    inner = Siblings(4, outer)
    assert inner.count == 12
    inner.ended()
    outer.ended()
    assert inner.count == 6
    for _ in range(9):
        inner.ended()
        outer.ended()
    assert inner.count == 1


async def test_many_changes_are_told_in_few_messages(model, monkeypatch):
    """A wide map sends a handful of messages of bounded size, however many of its calls end."""
    monkeypatch.setattr(updates, "PAUSE", 0.02)
    names = [f"n{number}" for number in range(600)]
    model.gate(*names[:100])
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(side_by_side, names)
        for each in names[:100]:
            await model.arrived[each].wait()
        await model.scheduler.told.wait()
        for each in names[:100]:
            model.gates[each].set()
        await run.result()
    assert max(map(len, model.scheduler.messages)) <= updates.MOST
    assert sum(map(len, model.scheduler.messages)) <= 100 * 10  # by halves: the logarithm of 600
    assert len(set(model.scheduler.asked)) == len(model.scheduler.asked)


@agent(deadline=0.05, on_deadline="best_effort")
async def hasty() -> str:
    return await llm("slow")


@agent
async def patient() -> str:
    return await hasty()


async def test_a_deadline_that_is_given_up_is_no_deadline_any_more(model):
    """Missed, where the agent goes on as well as it can."""
    model.gate("slow")
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(patient)
        await model.scheduler.told.wait()
        [call] = model.calls
        assert call.hints.deadline is not None
        assert model.scheduler.of(call.path) == [{"deadline": None, "slo": "best_effort"}]
        model.gates["slow"].set()
        await run.result()


@agent
async def pair() -> str:
    first = await llm("one")
    return await llm(f"two {first}")


async def test_what_the_scheduler_noted_is_journaled_with_the_run(model):
    """By path; what there is not to say is left out."""
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(pair)
        await run.result()
        events = await vm.store.events(run.id)
    noted = {}
    for each in events:
        if each.kind is EventKind.SCHEDULED:
            noted.update(each.detail[CALLS])
    said = {"queued_at": 1.0, "started_at": 2.0, "preempted_at": [3.0], "outcome": "met"}
    assert {path: [_lists(each) for each in found] for path, found in noted.items()} == {
        call.path: [said] for call in model.calls
    }


def _lists(noted: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in noted.items()}


async def test_a_scheduler_that_fails_fails_no_run(model):
    """It is left alone for a while, and the run comes to its end."""
    model.scheduler.failing = True
    async with AgentVM(store="memory", llm=model) as vm:
        assert await vm.run(side_by_side, ["a", "b", "c"]) == "joinabc"
    assert model.scheduler.messages == []


async def test_calls_of_a_cancelled_run_are_ended_together(model):
    """One message names the run; a run without calls under way sends none."""
    model.gate("one")
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(pair)
        await model.arrived["one"].wait()
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result()
        assert model.scheduler.cancelled == [run.id]
        model.gates["one"].set()
        await vm.run(pair)
    assert model.scheduler.cancelled == [run.id]
