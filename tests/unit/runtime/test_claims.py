"""The same work asked for by two processes is done once; a dead one's claim is taken over."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_compiler.calls import llm_request
from agentvm_runtime.claims import PREFIX
from agentvm_runtime.dependence import shared_key
from agentvm_runtime.errors import StoreError
from agentvm_runtime.keys import model_key, tool_key
from agentvm_runtime.reasons import MISS, NO_MEMO, OWN, WHY
from agentvm_runtime.records import Event, EventKind, Source
from agentvm_runtime.store import open_store
from agentvm_runtime.store.sqlite import SqliteStore
from agentvm_runtime.values import digest

STARTED: list[int] = []
GATE: list[anyio.Event] = []


@tool(effect="pure")
async def slow(number: int) -> int:
    STARTED.append(number)
    await GATE[0].wait()
    return number + 1


@agent
async def greedy(topic: str) -> str:
    return await llm(topic, temperature=0)


@agent
async def slowly(number: int) -> int:
    return await slow(number)


@agent
async def sampled(topic: str) -> str:
    return await llm(topic)


@agent
async def careful(topic: str) -> str:
    try:
        return await llm(topic, temperature=0)
    except Exception:
        return "something else"


@pytest.fixture
def url(tmp_path: Path) -> str:
    STARTED.clear()
    GATE[:] = [anyio.Event()]
    return f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}"


async def events(vm: AgentVM, run: str):
    return [each for each in await vm.store.events(run) if each.node in ("llm", "tool")]


async def test_a_model_call_is_made_once_by_two_machines(url: str):
    """The second waits for the first and takes its result from the memo."""
    asked, go_on = anyio.Event(), anyio.Event()

    async def script(call):
        asked.set()
        await go_on.wait()
        return "answer"

    one, other = ScriptedLLM(script), ScriptedLLM("never")
    async with AgentVM(store=url, llm=one) as a, AgentVM(store=url, llm=other) as b:
        first = await a.start(greedy, "bees")
        await asked.wait()
        second = await b.start(greedy, "bees")
        while await b.store.lease_of(second.id) is None:
            await anyio.lowlevel.checkpoint()
        go_on.set()
        assert [await first.result(), await second.result()] == ["answer", "answer"]
        (event,) = await events(b, second.id)
        assert event.source is Source.MEMO
        assert event.detail["from"] == f"{first.id}/llm#1"
    assert (len(one.calls), len(other.calls)) == (1, 0)


async def test_a_slow_tool_is_claimed(url: str):
    """Work that takes long is claimed while it is under way."""
    async with AgentVM(store=url, llm=ScriptedLLM("")) as a:
        first = await a.start(slowly, 1)
        while not (STARTED and await claimed(a)):
            await anyio.lowlevel.checkpoint()
        async with AgentVM(store=url, llm=ScriptedLLM("")) as b:
            second = await b.start(slowly, 1)
            GATE[0].set()
            assert [await first.result(), await second.result()] == [2, 2]
    assert STARTED == [1]


async def claimed(vm: AgentVM) -> bool:
    return await vm.store.lease_of(PREFIX + shared_key(tool_key(slow, (1,), {}), slow.fn)) is not None


async def test_the_claim_of_a_dead_process_is_taken_over(url: str):
    """Nobody waits for who cannot answer."""
    model = ScriptedLLM("answer")
    async with AgentVM(store=url, llm=model) as vm:
        key = model_key(llm_request("bees", temperature=0), model.identity(None), "llm#1")
        store = open_store(url)
        await store.open()
        ended = await anyio.run_process([sys.executable, "-c", "import os; print(os.getpid())"])
        gone = int(ended.stdout)
        await store.acquire_lease(PREFIX + key, f"{socket.gethostname()}:{gone}:x", 1000.0)
        await store.aclose()
        assert await vm.run(greedy, "bees") == "answer"
        assert await vm.store.lease_of(PREFIX + key) is None


@pytest.mark.parametrize("question", ["shared_result", "lease_of", "acquire_lease"])
async def test_a_store_that_cannot_answer_is_no_failure_of_the_program(
    url: str, monkeypatch: pytest.MonkeyPatch, question: str
):
    """The program cannot handle it, and go on as if the call had failed; the run can be resumed."""
    ask = getattr(SqliteStore, question)

    async def broken(self: SqliteStore, name: str, *given, **named):
        if question == "shared_result" or name.startswith(PREFIX):
            raise StoreError("the disk is gone")
        return await ask(self, name, *given, **named)

    async with AgentVM(store=url, llm=ScriptedLLM("answer")) as vm:
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, question, broken)
            run = await vm.start(careful, "bees")
            with pytest.raises(StoreError, match="the disk is gone"):
                await run.result()
        assert await (await vm.resume(run.id)).result() == "answer"


async def test_a_shared_result_that_nobody_can_read_is_had_anew(url: str):
    """Its class was changed, say: the run has one of its own, and leaves that."""
    model = ScriptedLLM("answer")
    async with AgentVM(store=url, llm=model) as vm:
        await vm.run(greedy, "bees")
        (entry,) = await vm.store.memos()
        nonsense = b"of another version"
        event = Event(EventKind.DONE, "llm#1", value=digest(nonsense))
        other = replace(entry, value=digest(nonsense))
        await vm.store.append("elsewhere", event, {digest(nonsense): nonsense}, other).wait()
        for _ in range(2):
            assert await vm.run(greedy, "bees") == "answer"
        assert await vm.store.memo(entry.key) != other
    assert len(model.calls) == 2


async def test_a_run_without_memo_shares_nothing(url: str):
    """It neither takes what is there nor leaves anything, also when it is resumed."""
    model = ScriptedLLM("answer")
    async with AgentVM(store=url, llm=model) as vm:
        await vm.run(greedy, "bees", memo=False)
        assert await vm.store.memos() == []
        shared = await vm.start(greedy, "bees")
        await shared.result()
        alone = await vm.start(greedy, "bees", memo=False)
        await alone.result()
        assert [e.detail[WHY] for e in await events(vm, shared.id)] == [MISS]
        assert [e.detail[WHY] for e in await events(vm, alone.id)] == [NO_MEMO]
    assert len(model.calls) == 3


async def test_a_sampled_call_is_the_runs_own(url: str):
    """And the journal says so."""
    async with AgentVM(store=url, llm=ScriptedLLM("answer")) as vm:
        run = await vm.start(sampled, "bees")
        await run.result()
        assert [e.detail[WHY] for e in await events(vm, run.id)] == [OWN]
