"""Old runs are collected while others run, and nothing that is needed is lost."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from agentvm import AgentVM, agent, llm
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import Event, EventKind, MemoEntry
from agentvm_runtime.store import open_store
from agentvm_runtime.store.sqlite import SqliteStore, SqliteTransaction
from agentvm_runtime.values import digest, encode


@agent
async def chain(topic: str, length: int) -> str:
    text = topic
    for number in range(length):
        text = await llm(f"{number % 3} {text[:20]}", temperature=0 if number % 2 else None)
    return text


async def test_runs_go_on_while_others_are_collected(tmp_path: Path):
    """Everything that ended is collected again and again by another machine; runs end as ever."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}"
    answer = ScriptedLLM(lambda call: f"<{call.prompt}>")
    done = anyio.Event()
    collected: list[str] = []

    async def collect() -> None:
        store = open_store(url)
        await store.open()
        while True:
            ended = [each.id for each in await store.list_runs(limit=1000)]
            collected.extend((await store.collect(ended)).runs)
            await anyio.lowlevel.checkpoint()
            if done.is_set():
                break
        await store.aclose()

    async with AgentVM(store=url, llm=answer) as vm, anyio.create_task_group() as tasks:
        expected = await vm.run(chain, "a", 30, memo=False)
        tasks.start_soon(collect)
        for number in range(10):
            run = await vm.start(chain, "a", 30, run_id=f"run-{number}")
            assert await run.result() == expected
        done.set()
    assert collected


async def test_a_run_is_whole_after_its_neighbours_are_gone(tmp_path: Path):
    """What it took from a run that was collected is its own now: resumed and forked, it executes nothing."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}"
    model = ScriptedLLM(lambda call: f"<{call.prompt}>")
    async with AgentVM(store=url, llm=model) as vm:
        first = await vm.start(chain, "a", 10)
        await first.result()
        second = await vm.start(chain, "a", 10)
        result = await second.result()
        asked = len(model.calls)
        assert (await vm.store.collect([first.id])).runs == (first.id,)
        assert await (await vm.resume(second.id)).result() == result
        assert await (await vm.fork(second.id)).result() == result
        assert len(model.calls) == asked


async def test_a_result_on_its_way_is_found_while_runs_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else the same work would be done a second time."""
    store, commit = SqliteStore(tmp_path / "runs.db"), SqliteTransaction.commit
    await store.open()
    gates = [threading.Event(), threading.Event()]
    waiting = list(gates)

    def gated(self: SqliteTransaction) -> None:
        waiting.pop(0).wait()
        commit(self)

    monkeypatch.setattr(SqliteTransaction, "commit", gated)
    data = encode("answer")
    entry = MemoEntry("key", digest(data), "run")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.collect, [])
            while len(waiting) == 2:
                await anyio.lowlevel.checkpoint()
            event = Event(EventKind.DONE, "tool#1", value=entry.value)
            result = store.append("run", event, {entry.value: data}, entry)
            gates[0].set()
        assert not result.done  # type: ignore[attr-defined]
        assert await store.memo("key") == entry
    finally:
        for gate in gates:
            gate.set()
    monkeypatch.undo()
    await store.aclose()
