"""Driving a run in this process: lease, deadline, journal, and how it ends.

`drive` is one attempt at a run, from its journal to its end. However the
attempt ends, what was journaled stands; only an end that the run itself
reached (a result, an exception, a missed deadline) is recorded as such. A
process that is stopped, or a store that fails, leaves the run resumable.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import anyio

from agentvm_compiler.compile import Compiled
from agentvm_compiler.errors import InternalError
from agentvm_compiler.passes.stages import Forecaster

from .attending import attend, take_messages
from .deadlines import run_limit
from .errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Halt,
    RunCancelled,
    RunFailed,
    RunSuspended,
    UncertainWrite,
    is_failure,
)
from .executor import run_program
from .flights import Flights
from .forking import chain_of
from .lineage import Lineage, inheritance
from .ports import CallScheduler, ModelBackend, Store
from .profiling import Observations
from .questions import Human
from .recalling import Recalled
from .recording import encoded_error
from .records import Event, Lease, RunRecord, RunStatus, named, remembered
from .rehearsal import Preview, Rehearsal, rehearse
from .revision import MEMO, revise
from .session import Session
from .skipping import Skip, allowed, needed, skips_of
from .updates import Updates
from .values import decode, digest, encode

ENDS = {
    UncertainWrite: RunStatus.UNCERTAIN,
    DeadlineExceeded: RunStatus.DEADLINE_MISSED,
    RunCancelled: RunStatus.CANCELLED,
    RunSuspended: RunStatus.SUSPENDED,
    BudgetExceeded: RunStatus.FAILED,
}
"""What ends a run when a session is halted with it; after anything else it stays as it was, to be resumed."""

S = TypeVar("S", bound=Session)

LEASE_SECONDS = 15.0
"""How long a lease holds without a heartbeat."""


async def open_session(
    record: RunRecord,
    compiled: Compiled,
    store: Store,
    backend: ModelBackend,
    flights: Flights,
    *,
    retry: bool = False,
    human: Human | None = None,
) -> Session:
    """Read the run's journal, in one pass, into a session.

    Args:
        retry: forget the failure that ended the run, so that its work is done again.
        human: who answers questions here; without anybody the run is suspended for them.
    """
    journal = await read_journal(store, record, retry)
    return await session_on(Session, journal, record, compiled, store, backend, flights, human)


async def preview(
    record: RunRecord, compiled: Compiled, store: Store, backend: ModelBackend, *, retry: bool = False
) -> Preview:
    """What resuming the run would keep and do again. Does nothing and records nothing."""
    journal = await read_journal(store, record, retry)
    session = await session_on(Rehearsal, journal, record, compiled, store, backend, Flights())
    try:
        return await rehearse(session, compiled, journal)
    except Halt as halt:  # the store could not be read
        raise halt.error from None


async def read_journal(store: Store, record: RunRecord, retry: bool) -> list[Event]:
    """The run's journal without the failures that were to be forgotten, then or now."""
    return remembered(await store.events(record.id), record.error if retry else None)


async def inherited(store: Store, record: RunRecord, compiled: Compiled) -> tuple[Lineage | None, list[Skip]]:
    """What a fork takes over, and which iterations of loops as a whole."""
    chain = await chain_of(store, record)
    if not chain:
        return None, []
    skips = skips_of(compiled.module, record, chain) if compiled.hash == record.program else []
    if skips:
        fork = chain[0][1]
        lineage = await inheritance(store, chain, needed(skips))
        if allowed(skips, lineage, [*fork.given, *fork.again]):
            return lineage, skips
    return await inheritance(store, chain), []


async def session_on(
    kind: type[S],
    journal: list[Event],
    record: RunRecord,
    compiled: Compiled,
    store: Store,
    backend: ModelBackend,
    flights: Flights,
    human: Human | None = None,
) -> S:
    lineage, skips = await inherited(store, record, compiled)
    earlier = Observations.from_json(await store.profile(record.agent))
    revision = await revise(record, compiled, store)
    return kind(
        record,
        store,
        backend,
        flights,
        journal,
        Recalled(store, [record.inputs, *(name for each in journal for name in named(each))]),
        earlier=earlier,
        revision=revision,
        lineage=lineage,
        skips=skips,
        human=human,
        memo=record.meta.get(MEMO, True),
    )


async def drive(session: Session, compiled: Compiled, lease: Lease) -> Any:
    """Bring the run to its end. Returns the agent's result.

    Raises:
        RunFailed: the agent raised.
        DeadlineExceeded: the deadline passed first.
        BudgetExceeded: it has used up its budget.
        RunSuspended: it waits for a person.
        RunCancelled: somebody stopped it for good.
        UncertainWrite, ReplayMismatch, StoreError, RunLeased: see there; the run
            can be resumed.
    """
    record = session.record
    session.forecasts = Forecaster(session.earlier.profile, compiled.find)
    beside: list[Callable[[], Awaitable[None]]] = [
        partial(_heartbeat, session.store, lease),
        partial(attend, session),
    ]
    scheduler: CallScheduler | None = getattr(session.backend, "scheduler", None)
    if scheduler is not None:
        session.updates = Updates(scheduler, record.id, session.append)
        beside.append(session.updates.keep_telling)
    try:
        async with _beside(*beside):
            return await _attempt(session, compiled)
    except Halt as halt:
        if type(halt.error) in ENDS:
            await _end(session, ENDS[type(halt.error)], error=encoded_error(halt.error))
        raise halt.error from None
    finally:
        session.halt(RunCancelled(f"Run {record.id} has ended: a task it left behind asked for more work."))


async def _attempt(session: Session, compiled: Compiled) -> Any:
    """Run the program, and record the end it comes to by itself."""
    record = session.record
    inputs = session.load(record.inputs)
    await take_messages(session)
    with session.scope:
        session.check()
        try:
            with run_limit(session), session.account.watched(session):
                session.check()
                value = await run_program(session, compiled, inputs)
                session.check()
                data = encode(value, name="the agent's result")
        except BaseException as error:
            session.check()
            if not is_failure(error):
                raise
            data = encoded_error(error)
            await _settle(session)
            session.ended(error, data)
            await _end(session, RunStatus.FAILED, error=data)
            raise failure(record, error) from error
        await _settle(session)
        session.earlier.add(session.observed)
        session.store.save_profile(record.agent, session.earlier.to_json())
        await _end(session, RunStatus.COMPLETED, result=data)
        return value
    session.check()
    raise InternalError("A run was cancelled without a reason. This is a bug in AgentVM: please report it.")


async def _settle(session: Session) -> None:
    if session.updates is not None:
        await session.updates.settle()


def failure(record: RunRecord, error: BaseException) -> RunFailed:
    """The error a caller of the run sees."""
    return RunFailed(
        f"Run {record.id} of {record.agent} failed: {type(error).__name__}: {error}",
        run_id=record.id,
        error=error,
    )


async def _end(
    session: Session, status: RunStatus, *, result: bytes | None = None, error: bytes | None = None
) -> None:
    """Record how the run ended; returns once that is durable, and all before it."""
    data = result if result is not None else error
    assert data is not None
    if status in (RunStatus.COMPLETED, RunStatus.FAILED) and not session.halted:
        await session.conclude()
    name = digest(data)
    finished = time.time()
    commit = session.store.set_status(
        session.record.id,
        status,
        result=name if result is not None else None,
        error=name if error is not None else None,
        finished_at=finished,
        values={name: data},
        holder=session.holder,
    )
    with anyio.CancelScope(shield=True):
        await commit.wait()
    session.record = replace(
        session.record,
        status=status,
        finished_at=finished,
        result=name if result is not None else None,
        error=name if error is not None else None,
    )


async def ended_result(store: Store, record: RunRecord) -> Any:
    """The result of a run that has ended; raises what ended it."""
    name = record.result or record.error
    assert name is not None
    value = decode((await store.values([name]))[name])
    if record.status is RunStatus.COMPLETED:
        return value
    if record.status is RunStatus.FAILED and not isinstance(value, BudgetExceeded):
        raise failure(record, value) from value
    raise value


async def _heartbeat(store: Store, lease: Lease) -> None:
    """Renew the lease for ever. Raises RunLeased if another process has taken it."""
    while True:
        await anyio.sleep(LEASE_SECONDS / 3)
        lease = await store.renew_lease(lease, LEASE_SECONDS)


@asynccontextmanager
async def _beside(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do these works while inside; if one of them fails, stop with what it raised."""
    lost: list[BaseException] = []

    async def watch(work: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await work()
        except Exception as error:
            lost.append(error)
            scope.cancel()

    failed: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            for each in works:
                tasks.start_soon(watch, each, scope)
            try:
                yield
            except BaseException as error:
                if not (is_failure(error) or isinstance(error, Halt)):
                    raise
                failed = error  # not through the task group, which would wrap it
        tasks.cancel_scope.cancel()
    if lost:
        raise lost[0]
    if failed is not None:
        raise failed
