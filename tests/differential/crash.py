"""Stops a run after any number of journal events, and resumes it.

The crash is simulated: from some append on, the store keeps nothing any more
and never says that anything is durable, as if the process had died there. Then
a fresh machine resumes the run on what the store has kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio

from agentvm import AgentVM, RunFailed, UncertainWrite
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import Digest, Event, EventKind, MemoEntry, RunStatus
from agentvm_runtime.store.memory import MemoryStore

from .harness import Case, exactly, model, outcome_of, raised

POINTS = 6
"""Places in a run at which it is stopped, spread over its journal."""


class Lost:
    """The commit of something that a dying process wrote too late."""

    at_once = False

    async def wait(self) -> None:
        await anyio.sleep_forever()

    def block(self) -> None:
        raise asyncio.CancelledError

    accepted = wait
    block_accepted = block


class Ignored:
    """The commit of a dead process' status: nobody hears of it."""

    at_once = True

    async def wait(self) -> None: ...

    def block(self) -> None: ...

    accepted = wait
    block_accepted = block


class CrashingStore(MemoryStore):
    """A store that keeps the first `limit` journal events and then behaves as if the process had died."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.appended = 0
        self.crashed = anyio.Event()

    def append(
        self,
        run_id: str,
        event: Event,
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
        *,
        holder: str | None = None,
    ) -> Any:
        if self.limit is not None and self.appended >= self.limit:
            self.crashed.set()
            return Lost()
        self.appended += 1
        return super().append(run_id, event, values, memo, holder=holder)

    def set_status(self, run_id: str, status: RunStatus, **rest: Any) -> Any:
        if self.limit is not None and self.appended >= self.limit:
            self.crashed.set()
            return Ignored()
        return super().set_status(run_id, status, **rest)


async def events_of_a_whole_run(case: Case) -> int:
    """How many events the run's journal has when nothing interrupts it."""
    store = CrashingStore()
    args, kwargs = case.inputs
    case.reset()
    async with AgentVM(store=store, llm=model(case)) as vm:
        await outcome_of((await vm.start(case.agent, *args, **kwargs)).result)
    return store.appended


async def crash(case: Case, store: CrashingStore, llm: ScriptedLLM) -> str:
    """Run until the store is dead, or to the run's end; returns its id."""
    args, kwargs = case.inputs
    async with AgentVM(store=store, llm=llm) as vm:
        run = await vm.start(case.agent, *args, **kwargs)
        async with anyio.create_task_group() as tasks:  # it may end before, if answers come in another order

            async def end() -> None:
                await outcome_of(run.result)
                tasks.cancel_scope.cancel()

            tasks.start_soon(end)
            await store.crashed.wait()
            tasks.cancel_scope.cancel()
    store.limit = None
    return run.id


def unsettled(journal: list[Event]) -> set[str]:
    """Paths of writes that were started and whose outcome is not recorded."""
    settled = {each.path for each in journal if each.kind in (EventKind.DONE, EventKind.FAILED)}
    return {each.path for each in journal if each.kind is EventKind.INTENT} - settled


def recorded(journal: list[Event], *nodes: str) -> set[str]:
    return {each.path for each in journal if each.kind is EventKind.DONE and each.node in nodes}


async def resume(run_id: str, store: CrashingStore, llm: ScriptedLLM) -> tuple[Any, ...]:
    async with AgentVM(store=store, llm=llm) as vm:
        run = await vm.resume(run_id)
        try:
            return "returned", exactly(await run.result())
        except RunFailed as failed:
            assert failed.error is not None
            return raised(failed.error)
        except UncertainWrite as error:
            return "uncertain", str(error)


def points(total: int) -> list[int]:
    """Numbers of events after which to stop, spread evenly from none to all."""
    return sorted({round(total * each / (POINTS - 1)) for each in range(POINTS)})


async def assert_resumes(
    case: Case, point: int, outcome: tuple[Any, ...], log: list[str], seed: int | None = None
) -> None:
    """Stop the program after so many events; resumed, it must end so, and do nothing recorded again."""
    case.reset()
    store = CrashingStore(point)
    run_id = await crash(case, store, model(case, seed))
    journal = await store.events(run_id)
    written, uncertain = list(case.log), unsettled(journal)
    llm = model(case, None if seed is None else seed + 1)
    again = await resume(run_id, store, llm)
    done_again = {call.path for call in llm.calls} & recorded(journal, "llm")
    assert not done_again, f"stopped after {point} events"
    if again[0] == "uncertain":
        assert any(path in again[1] for path in uncertain), f"stopped after {point} events"
        assert case.log == written, f"stopped after {point} events"
        assert (await store.get_run(run_id)).status is RunStatus.UNCERTAIN  # type: ignore[union-attr]
    else:
        assert (again, case.log) == (outcome, log), f"stopped after {point} events"
        assert not uncertain - idempotent(case), f"stopped after {point} events"


def idempotent(case: Case) -> set[str]:
    """Paths at which a program calls tools that may be repeated."""
    return {"deploy#1"} if case.name.startswith("coding") else set()
