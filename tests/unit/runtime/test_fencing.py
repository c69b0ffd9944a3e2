"""A process that lost its run to another one, and does not know yet, changes nothing any more."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from agentvm import AgentVM, RunLeased, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord, RunStatus
from agentvm_runtime.store.durability import Durability, Mode
from agentvm_runtime.store.sqlite import SqliteStore

SAVED: list[str] = []


@tool
async def save(text: str) -> str:
    SAVED.append(text)
    return text.lower()


@agent
async def saves(topic: str) -> str:
    return await save(await llm(topic))


async def test_who_was_stopped_while_another_took_over_writes_nothing(tmp_path: Path):
    """As when a process is stopped, or its loop blocked, for longer than its lease, and then goes on.

    The other process has finished and given the lease back by then.
    """
    SAVED.clear()
    asked, awake = anyio.Event(), anyio.Event()

    async def slow(call):
        asked.set()
        await awake.wait()
        return "SLOW"

    path = tmp_path / "runs.db"
    mine, others = SqliteStore(path), SqliteStore(path, clock=lambda: time.time() + 60)
    async with AgentVM(store=mine, llm=ScriptedLLM(slow)) as vm:
        run = await vm.start(saves, "bees")
        await asked.wait()
        async with AgentVM(store=others, llm=ScriptedLLM("QUICK")) as other:
            assert await (await other.resume(run.id)).result() == "quick"
            journal = await others.events(run.id)
            awake.set()
            with pytest.raises(RunLeased):
                await run.result()
            assert SAVED == ["QUICK"]
            assert await others.events(run.id) == journal
            assert (await other.get(run.id)).status is RunStatus.COMPLETED
    await mine.aclose()
    await others.aclose()


async def test_a_run_that_another_took_over_ends_no_other_run(tmp_path: Path):
    """Not one whose next result waits for room behind the refused one, in `group`."""
    store = SqliteStore(tmp_path / "runs.db", durability=Durability(Mode.GROUP, unacknowledged=1))
    await store.open()
    for run in ("lost", "mine"):
        await store.create_run(RunRecord(run, "agents:main", "hash", Digest("in"), 1.0), {})
    await store.acquire_lease("lost", "elsewhere:7:x", 15.0)
    event = Event(EventKind.DONE, "tool#1", value=Digest("v"))
    refused = store.append("lost", event, {Digest("v"): b"1"}, holder="here:8:y")
    good = [store.append("mine", event, {Digest("v"): b"1"}) for _ in range(2)]
    await good[0].accepted()
    with pytest.raises(RunLeased):
        await refused.wait()
    await good[1].wait()
    assert len(await store.events("mine")) == 2
    await store.aclose()
