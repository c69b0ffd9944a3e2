"""Driving a run in this process: lease, deadline, journal, and how it ends.

`drive` is one attempt at a run, from its journal to its end. However the
attempt ends, what was journaled stands; only an end that the run itself
reached (a result, an exception, a missed deadline) is recorded as such. A
process that is stopped, or a store that fails, leaves the run resumable.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

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
from .heartbeat import beside, heartbeat
from .inputs import inputs_of
from .ports import CallScheduler, Store
from .recording import encoded_error
from .records import Lease, RunRecord, RunStatus
from .session import Session
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
    session.module = compiled.module
    session.forecasts = Forecaster(session.earlier.profile, compiled.find)
    works: list[Callable[[], Awaitable[None]]] = [
        partial(heartbeat, session.store, lease),
        partial(attend, session),
    ]
    scheduler: CallScheduler | None = getattr(session.backend, "scheduler", None)
    if scheduler is not None:
        session.updates = Updates(scheduler, record.id, session.append)
        works.append(session.updates.keep_telling)
    try:
        async with beside(*works):
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
    inputs = inputs_of(session, compiled)
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
