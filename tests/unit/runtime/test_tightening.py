"""Bringing a run's deadline forward while it goes on: its calls, its scopes and its journal follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentvm import AgentVM, DeadlineExceeded, agent, llm
from agentvm.testing import ScriptedLLM
from agentvm_compiler.wire import CallRecord, HintsChange
from agentvm_runtime import attending, control, updates
from agentvm_runtime.deadlines import tightened
from agentvm_runtime.errors import RunLeased
from agentvm_runtime.records import EventKind, RunStatus
from agentvm_runtime.store import this_holder
from agentvm_runtime.store.sqlite import SqliteStore


class Scheduler:
    """Notes what it is told of calls, by path."""

    def __init__(self) -> None:
        self.told: dict[str, dict[str, Any]] = {}
        self.heard = asyncio.Condition()

    async def update(self, changes: Sequence[HintsChange]) -> None:
        async with self.heard:
            for each in changes:
                self.told.setdefault(each.key.partition("/")[2], {}).update(each.fields)
            self.heard.notify_all()

    async def cancel(self, *, run: str) -> int:
        return 0

    async def served(self, keys: Sequence[str]) -> list[CallRecord]:
        return []

    async def of(self, name: str) -> dict[str, Any]:
        """What it is told of the call at that path, once it is."""
        async with self.heard:
            await self.heard.wait_for(lambda: name in self.told)
            return self.told[name]


class Model(ScriptedLLM):
    """Answers once it may."""

    def __init__(self, open_: bool = False) -> None:
        super().__init__(self.respond)
        self.scheduler = Scheduler()
        self.may, self.asked, self.both = asyncio.Event(), asyncio.Event(), asyncio.Event()
        if open_:
            self.may.set()

    async def respond(self, call: Any) -> str:
        (self.both if self.asked.is_set() else self.asked).set()
        await self.may.wait()
        return str(call.prompt)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are told, and messages read, without a pause."""
    monkeypatch.setattr(updates, "PAUSE", 0.0)
    monkeypatch.setattr(attending, "POLL_SECONDS", 0.01)


@pytest.fixture
def model() -> Model:
    return Model()


@agent
async def twice() -> str:
    return await llm(f"then {await llm('first')}")


@agent(deadline=500)
async def hurried() -> str:
    return await llm("hurried")


@agent
async def beside() -> list[str]:
    return list(await asyncio.gather(hurried(), llm("relaxed")))


def tightenings(events: list[Any]) -> list[float]:
    return [each.detail["deadline_at"] for each in events if each.kind is EventKind.TIGHTENED]


@pytest.mark.parametrize("before", [None, 9000])
async def test_calls_under_way_and_to_come_are_told(model, before):
    """The one at the scheduler is changed there; the next one has it from the start."""
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(twice, deadline=before)
        await model.asked.wait()
        await run.tighten("1000s")
        due = run.record.deadline_at
        assert due == pytest.approx(time.time() + 1000, abs=60)
        told = await model.scheduler.of("llm#1")
        assert told == {"deadline": due, "run_deadline": due, "slo": "deadline"}
        model.may.set()
        await run.result()
        assert (model.calls[1].hints.deadline, model.calls[1].hints.run_deadline) == (due, due)
        assert tightenings(await vm.store.events(run.id)) == [due]
        assert (await vm.get(run.id)).deadline_at == due
        assert run.progress.deadline_at == due


async def test_a_later_deadline_changes_nothing(model):
    """The smaller wins, and nothing is journaled of the other."""
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(twice, deadline=1000)
        await model.asked.wait()
        await run.tighten(2000)
        model.may.set()
        await run.result()
        assert {each.hints.deadline for each in model.calls} == {run.record.deadline_at}
        assert tightenings(await vm.store.events(run.id)) == []
        await run.tighten(1)  # it has ended: that stays as it is
        await vm.tighten(run, 1)
        assert (await vm.get(run.id)).deadline_at == run.record.deadline_at


async def test_the_smaller_deadline_of_a_sub_agent_stays(model):
    """Its calls are told of the run's only."""
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(beside)
        await model.both.wait()
        hints = {each.prompt: each.hints for each in model.calls}
        await run.tighten(1000)
        due = run.record.deadline_at
        relaxed = await model.scheduler.of(hints["relaxed"].path)
        assert relaxed == {"deadline": due, "run_deadline": due, "slo": "deadline"}
        assert await model.scheduler.of(hints["hurried"].path) == {"run_deadline": due}
        model.may.set()
        await run.result()
        assert hints["hurried"].deadline < due


@pytest.mark.parametrize("before", [None, 9000])
async def test_a_run_that_misses_its_new_deadline_is_cancelled(model, before):
    """As it would have been by one that it had from the start."""
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(twice, deadline=before)
        await model.asked.wait()
        await run.tighten(0.01)
        with pytest.raises(DeadlineExceeded, match=f"Run {run.id} was not done by its deadline"):
            await run.result()
        assert run.record.status is RunStatus.DEADLINE_MISSED


async def test_it_survives_the_process(tmp_path, model):
    """A resumed run has the deadline that it was given last."""
    store = f"sqlite:///{tmp_path}/runs.db"
    async with AgentVM(store=store, llm=model) as vm:
        run = await vm.start(twice, deadline=9000)
        await model.asked.wait()
        await run.tighten(1000)
        due = run.record.deadline_at
    later = Model(open_=True)
    async with AgentVM(store=store, llm=later) as vm:
        again = await vm.resume(run.id)
        await again.result()
        assert (again.record.deadline_at, (await vm.get(run.id)).deadline_at) == (due, due)
        assert tightenings(await vm.store.events(run.id)) == [due]
    assert {each.hints.deadline for each in later.calls} == {due}


async def test_the_journal_has_it_even_where_the_row_has_not(tmp_path, model):
    """The process died between the two."""
    store, due = f"sqlite:///{tmp_path}/runs.db", time.time() + 1000
    async with AgentVM(store=store, llm=model) as vm:
        run = await vm.start(twice, deadline=9000)
        await model.asked.wait()
    later = Model(open_=True)
    async with AgentVM(store=store, llm=later) as vm:
        await vm.store.append(run.id, tightened(due)).wait()
        await (await vm.resume(run.id)).result()
        assert (await vm.get(run.id)).deadline_at == due
    assert {each.hints.deadline for each in later.calls} == {due}


async def test_any_process_may_do_it(tmp_path, model):
    """Whoever drives the run reads the message."""
    store = f"sqlite:///{tmp_path}/runs.db"
    async with AgentVM(store=store, llm=model) as vm, AgentVM(store=store, llm=Model()) as other:
        run = await vm.start(twice, deadline=9000)
        await model.asked.wait()
        await other.tighten(run.id, "1000s")
        told = await model.scheduler.of("llm#1")
        due = run.record.deadline_at
        assert told == {"deadline": due, "run_deadline": due, "slo": "deadline"}
        model.may.set()
        await run.result()
        assert tightenings(await vm.store.events(run.id)) == [due]


async def test_a_run_that_nobody_drives_has_it_at_once(tmp_path, model):
    """A queued one begins with it."""
    store = f"sqlite:///{tmp_path}/runs.db"
    async with AgentVM(store=store, llm=Model(open_=True)) as vm:
        name = await vm.enqueue(twice, deadline=9000)
        await vm.tighten(name, 1000)
        due = (await vm.get(name)).deadline_at
        assert due < time.time() + 1001
        assert (await control.tighten(vm.store, await vm.get(name), due + 1)).deadline_at == due
        taken = await vm.resume(name)
        await taken.result()
        assert (taken.record.deadline_at, tightenings(await vm.store.events(name))) == (due, [due])


async def test_who_has_lost_the_lease_does_not_tighten(model: Model, tmp_path: Path) -> None:
    """It is told so, and what another process wrote of the run since stays."""
    mine = SqliteStore(tmp_path / "runs.db")
    # To the other one, the lease has run out.
    others = SqliteStore(tmp_path / "runs.db", clock=lambda: time.time() + 3600)
    async with AgentVM(store=mine, llm=model) as vm:
        await others.open()
        run = await vm.start(twice)
        await model.asked.wait()
        await others.acquire_lease(run.id, this_holder(), 15)
        revised = replace(run.record, meta={**run.record.meta, "budget": {"calls": 1}})
        await others.revise_run(revised).wait()
        with pytest.raises(RunLeased):
            await run.tighten(50)
        assert await others.get_run(run.id) == revised
    await others.aclose()
