"""Values as a session reads them: when it asks, some ahead, and within bounded memory."""

from __future__ import annotations

import pytest

from agentvm import AgentVM, RunFailed, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime import recalling
from agentvm_runtime.errors import StoreError
from agentvm_runtime.recalling import Recalled
from agentvm_runtime.store.memory import MemoryStore
from agentvm_runtime.values import digest


class Values:
    """Values of ten bytes each; notes how many were read at a time."""

    def __init__(self, count: int) -> None:
        self.data = {digest(b"%010d" % number): b"%010d" % number for number in range(count)}
        self.reads: list[int] = []

    def values_now(self, digests):
        self.reads.append(len(digests))
        return {each: self.data[each] for each in digests if each in self.data}


def test_values_come_in_batches_and_are_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in order, they take few reads; no more of them are kept than may be."""
    monkeypatch.setattr(recalling, "_AHEAD", 8)
    monkeypatch.setattr(recalling, "_KEPT", 160)
    store = Values(100)
    recalled = Recalled(store, store.data)
    for name, data in store.data.items():
        assert recalled[name] == data
        assert len(recalled._kept) <= 16
    assert store.reads == [8] * 12 + [4]
    first = next(iter(store.data))
    assert recalled[first] == b"%010d" % 0


def test_a_value_nobody_foresaw_is_read_alone() -> None:
    """It comes all the same, and once."""
    store = Values(3)
    recalled = Recalled(store)
    name = next(iter(store.data))
    assert recalled[name] == recalled[name] == b"%010d" % 0
    assert store.reads == [1]


def test_a_missing_value_is_an_error_with_the_remedy() -> None:
    """What a journal names must be there."""
    with pytest.raises(StoreError, match="agentvm doctor"):
        Recalled(Values(1))[digest(b"gone")]


@agent
async def chain(length: int) -> str:
    text = "start"
    for number in range(length):
        text = await llm(f"{number} {text}")
    return text


async def test_a_resumed_run_reads_no_value_before_it_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening it reads none but the inputs and what goes with them, whatever the run's length."""
    monkeypatch.setattr(recalling, "_AHEAD", 4)
    store, read = MemoryStore(), []

    def script(call):
        if len(model.calls) > 50:
            raise ValueError("no more")
        return f"answer {len(model.calls)}"

    model = ScriptedLLM(script)
    async with AgentVM(store=store, llm=model) as vm:
        run = await vm.start(chain, 80)
        with pytest.raises(Exception, match="no more"):
            await run.result()
    values, values_now = MemoryStore.values, MemoryStore.values_now

    async def asked(self, digests):
        read.append(len(digests))
        return await values(self, digests)

    def asked_now(self, digests):
        read.append(len(digests))
        return values_now(self, digests)

    monkeypatch.setattr(MemoryStore, "values", asked)
    monkeypatch.setattr(MemoryStore, "values_now", asked_now)
    async with AgentVM(store=store, llm=ScriptedLLM(lambda call: "go on")) as vm:
        assert await (await vm.resume(run.id, retry=True)).result() == "go on"
    assert max(read) <= 4
    assert sum(read) >= 50


SENT: list[str] = []


@tool(effect="read")
async def look(what: str) -> str:
    return f"saw {what}"


@tool
async def send(text: str) -> str:
    if not SENT:
        SENT.append(text)
        raise ConnectionError("down")
    SENT.append(text)
    return text


@agent
async def careful(topic: str) -> str:
    try:
        seen = await look(topic)
    except Exception:
        seen = "nothing"
    return await send(seen)


async def test_a_recorded_value_that_nobody_can_read_is_no_failure_of_the_program() -> None:
    """The program cannot handle it, and go on as if the call had failed: the run stops."""
    SENT.clear()
    store = MemoryStore()
    async with AgentVM(store=store, llm=ScriptedLLM("")) as vm:
        run = await vm.start(careful, "bees")
        with pytest.raises(RunFailed):
            await run.result()
        (name,) = [each.value for each in await store.events(run.id) if each.site == "look#1"]
        (whole,) = (await store.values([name])).values()
        store._values[name] = b"of another version"
        with pytest.raises(StoreError):
            await (await vm.resume(run.id, retry=True)).result()
        assert SENT == ["saw bees"]
        store._values[name] = whole
        assert await (await vm.resume(run.id, retry=True)).result() == "saw bees"
