"""Deadlines: of runs, of agents within them, and what missing one does."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from agentvm import AgentVM, ConfigError, DeadlineExceeded, RunFailed, agent, current, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import EventKind, RunStatus

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


@tool
async def write(text: str) -> str:
    LOG.append(text)
    return text


@tool(effect="read")
async def deadline() -> float | None:
    return current().deadline


async def answer(call):
    if "hang" in call.prompt:
        await asyncio.Event().wait()
    if "slow" in call.prompt:
        await anyio.sleep(0.1)
    return call.prompt.upper()


@pytest.fixture
def model() -> ScriptedLLM:
    return ScriptedLLM(answer)


@agent(deadline=0.05)
async def hasty(prompt: str) -> str:
    try:
        said = await llm(prompt)
    except Exception:
        said = "swallowed"
    return await write(said)


@agent
async def patient(prompt: str) -> str:
    try:
        return await hasty(prompt)
    except DeadlineExceeded as error:
        return await write(f"missed: {error}")


@agent
async def careless(prompt: str) -> str:
    return await hasty(prompt)


async def test_an_agent_that_misses_its_own_deadline_is_cancelled(model):
    """It cannot catch that and writes nothing more; its caller gets an exception, and goes on."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(patient, "hang", deadline=6000)
        message = "missed: hasty at hasty#1 was not done by its deadline, 0.1 s after its start."
        assert await handle.result() == message
        assert [message] == LOG
        events = await vm.store.events(handle.id)
    assert [each.path for each in events if each.kind is EventKind.MISSED] == ["hasty#1"]
    assert [each.path for each in events if each.kind is EventKind.FAILED] == ["hasty#1"]


async def test_a_missed_deadline_nobody_handles_fails_the_run(model):
    """It can be tried again, with all the time it had at first."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(careless, "hang")
        with pytest.raises(RunFailed) as raised:
            await handle.result()
        assert isinstance(raised.value.error, DeadlineExceeded)
        with pytest.raises(RunFailed):
            await (await vm.resume(handle, retry=True)).result()
        begun = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.BEGUN]
        assert len(begun) == 2
        assert len(model.calls) == 2


@agent(deadline=6000)
async def roomy() -> list[float | None]:
    return [await deadline()]


@agent(deadline=500)
async def tight() -> list[float | None]:
    return [await deadline()]


@agent(deadline=3000)
async def nested() -> list[float | None]:
    here = await deadline()
    return [here, *await roomy(), *await tight()]


async def test_the_smaller_deadline_counts(model):
    """A sub-agent has its own or its caller's, whichever is sooner; tools and model calls are told."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(nested)
        own, roomier, tighter = await handle.result()
        assert own == handle.record.deadline_at
        assert roomier == own
        assert tighter is not None and own is not None and tighter < own


async def test_a_run_that_goes_on_after_its_deadline(model):
    """With `best_effort` it is completed; the miss is recorded, and later calls have no deadline."""

    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(late, deadline=0.05, on_deadline="best_effort")
        assert await handle.result() == "AND THEN SLOW"
        report = await handle.report()
        assert (report.status, report.deadline_met) == (RunStatus.COMPLETED, False)
        missed = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.MISSED]
        assert [each.path for each in missed] == [""]
    assert [each.hints.slo for each in model.calls] == ["deadline", "best_effort"]


@agent
async def late() -> str:
    return await llm(f"and then {await llm('slow')}")


@agent(deadline=0.05, on_deadline="best_effort")
async def unhurried() -> str:
    return await llm("slow")


@agent
async def calls_unhurried() -> str:
    return await unhurried()


async def test_a_sub_agent_may_go_on_too(model):
    """Its own policy counts."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(calls_unhurried)
        assert await handle.result() == "SLOW"
        missed = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.MISSED]
        assert [each.path for each in missed] == ["unhurried#1"]


@tool
async def stuck() -> None:
    LOG.append("stuck")
    await asyncio.Event().wait()


@agent(deadline=0.05)
async def writes() -> None:
    await stuck()


@agent
async def asks_to_write() -> list[str]:
    try:
        await writes()
    except DeadlineExceeded as error:
        return error.__notes__
    return []


async def test_a_write_that_is_cut_off_is_named(model):
    """The caller learns that it may or may not have happened."""
    async with AgentVM(store="memory", llm=model) as vm:
        (note,) = await vm.run(asks_to_write)
    assert note == "The write writes#1/stuck#1 was under way: it may or may not have happened."


@tool(effect="read")
async def block() -> None:
    """Keeps the event loop until the deadlines of both agents around it have passed."""
    first = current().deadline
    assert first is not None
    while time.time() <= first + 0.02:
        pass
    await asyncio.Event().wait()


@agent(deadline=0.05)
async def innermost() -> None:
    await block()


@agent(deadline=0.05)
async def outermost() -> None:
    await innermost()


@agent
async def around() -> None:
    await outermost()


async def test_agents_that_miss_their_deadlines_at_once_are_cancelled_quietly(model):
    """Only the outermost counts: of those within, nothing is journaled any more, and nothing is said."""
    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: said.append(told))
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(around)
        with pytest.raises(RunFailed, match="outermost at outermost#1 was not done"):
            await run.result()
        missed = [each.path for each in await vm.store.events(run.id) if each.kind is EventKind.MISSED]
    assert missed == ["outermost#1"]
    assert said == []


async def test_an_interrupted_agent_keeps_its_deadline(tmp_path, model):
    """A resumed run does not give it new time; what was overdue before is allowed to finish."""
    store = f"sqlite:///{tmp_path}/runs.db"
    held = anyio.Event()

    async def hold(call):
        held.set()
        await asyncio.Event().wait()

    async with AgentVM(store=store, llm=ScriptedLLM(hold)) as vm:
        handle = await vm.start(calls_tight)
        await held.wait()
    async with AgentVM(store=store, llm=model) as vm:
        assert await (await vm.resume(handle.id)).result() == "GO"
        (begun,) = [each for each in await vm.store.events(handle.id) if each.kind is EventKind.BEGUN]
    assert model.calls[0].hints.deadline == begun.detail["deadline_at"]


@agent(deadline=5000)
async def asks_tightly() -> str:
    return await llm("go")


@agent
async def calls_tight() -> str:
    return await asks_tightly()


def test_an_unknown_policy_is_refused():
    """At the decorator."""
    with pytest.raises(ConfigError, match=r"on_deadline='later': use \"cancel\" or \"best_effort\""):

        @agent(deadline=1, on_deadline="later")
        async def never() -> None: ...
