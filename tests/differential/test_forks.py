"""Forks of every program: what nothing was changed for is inherited, and what was changed is seen."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from agentvm import AgentVM, RunFailed
from agentvm_runtime import opening
from agentvm_runtime.records import EventKind
from agentvm_runtime.skipping import skips_of
from agentvm_runtime.store.memory import MemoryStore

from .harness import Case, cases, exactly, model, raised


async def outcome(run):
    """What a run came to, as the harness compares it."""
    try:
        return "returned", exactly(await run.result())
    except RunFailed as failed:
        assert failed.error is not None
        return raised(failed.error)


@pytest.mark.parametrize("case", cases())
async def test_a_fork_with_nothing_changed_does_nothing(case: Case):
    """It ends as its parent did; no model is asked, no write made. Only a failed call is tried again."""
    args, kwargs = case.inputs
    store = MemoryStore()
    with redirect_stdout(io.StringIO()):
        case.log.clear()
        async with AgentVM(store=store, llm=model(case)) as vm:
            run = await vm.start(case.agent, *args, **kwargs)
            expected = await outcome(run)
        written = list(case.log)
        llm = model(case)
        async with AgentVM(store=store, llm=llm) as vm:
            fork = await vm.fork(run.id, agent=case.agent)
            found = await outcome(fork)
    record = await store.get_run(run.id)
    assert record is not None
    journal = await store.events(run.id)
    tried = [each for each in journal if each.kind is EventKind.FAILED and each.value == record.error]
    asked = {call.path for call in llm.calls}
    if not tried:
        assert (found, case.log) == (expected, written)
    if expected[0] == "returned":
        assert not asked
    # Where a failure ended the parent, calls after it may have been cut off, and may be begun again.
    assert not asked & {each.path for each in journal if each.kind is EventKind.DONE}


@pytest.mark.parametrize("case", cases())
async def test_a_call_done_again_is_asked_again(case: Case):
    """Forking at the last model call of a run asks for that one, and for nothing recorded before it."""
    args, kwargs = case.inputs
    store = MemoryStore()
    store.near = False  # as on a server: what it came from is read in pieces
    with redirect_stdout(io.StringIO()):
        case.log.clear()
        async with AgentVM(store=store, llm=model(case)) as vm:
            run = await vm.start(case.agent, *args, **kwargs)
            expected = await outcome(run)
        written = list(case.log)
        calls = [e for e in await store.events(run.id) if e.node == "llm" and e.kind is EventKind.DONE]
        if not calls or expected[0] != "returned":
            return
        last, llm = calls[-1].path, model(case)
        async with AgentVM(store=store, llm=llm) as vm:
            fork = await vm.fork(run.id, agent=case.agent, at=last)
            found = await outcome(fork)
    assert [call.path for call in llm.calls][:1] == [last]
    assert {call.path for call in llm.calls} == {last}
    assert (found, case.log) == (expected, written)


@pytest.mark.parametrize("case", cases())
async def test_skipped_iterations_change_nothing(case: Case, monkeypatch: pytest.MonkeyPatch):
    """A fork within a loop ends alike, and asks alike, whether or not it goes through what comes before."""
    args, kwargs = case.inputs
    store = MemoryStore()
    with redirect_stdout(io.StringIO()):
        async with AgentVM(store=store, llm=model(case)) as vm:
            run = await vm.start(case.agent, *args, **kwargs)
            expected = await outcome(run)
        nodes = [e.path for e in await store.events(run.id) if e.node in ("llm", "tool") and "[" in e.path]
        if expected[0] != "returned":
            return
        for path in dict.fromkeys([*nodes[-1:], *nodes[len(nodes) // 2 :][:1]]):
            seen = []
            for skips in (skips_of, lambda *_: []):
                monkeypatch.setattr(opening, "skips_of", skips)
                case.log.clear()
                llm = model(case)
                async with AgentVM(store=store, llm=llm) as vm:
                    fork = await vm.fork(run.id, agent=case.agent, at=path)
                    result = await outcome(fork)
                    again = await outcome(await vm.fork(fork.id, agent=case.agent))
                assert again == result
                seen.append((result, list(case.log), sorted(call.path for call in llm.calls)))
            assert seen[0] == seen[1], path
