"""Attempts: the runs that one machine drives, each under its lease and in a task of its own.

However an attempt ends, it gives the lease back, and whoever waits for the run
learns how it ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc

from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import Compiled, compile_agent
from agentvm_compiler.errors import InputError
from agentvm_runtime.driver import drive, ended_result
from agentvm_runtime.errors import RunCancelled, RunLeased, StoreError
from agentvm_runtime.flights import Flights
from agentvm_runtime.heartbeat import LEASE_SECONDS
from agentvm_runtime.opening import open_session
from agentvm_runtime.questions import Human
from agentvm_runtime.records import FORGETS, Event, EventKind, Lease, RunRecord, RunStatus
from agentvm_runtime.session import Session
from agentvm_runtime.store import this_holder
from agentvm_runtime.takeovers import Claim

from .creating import NewRun
from .handle import Run

if TYPE_CHECKING:
    from agentvm_runtime.ports import ModelBackend, Store

    from .telemetry import Observe


@dataclass
class Attempts:
    """Begins attempts, and knows those under way."""

    store: Store
    backend: ModelBackend
    observe: Observe
    human: Human | None
    tasks: anyio.abc.TaskGroup
    live: dict[str, Run] = field(default_factory=dict)
    """The runs under way, by id."""
    _flights: Flights = field(default_factory=Flights)

    async def start(self, new: NewRun) -> Run:
        """Write a new run and drive it. Raises InputError if there is a run of its id."""
        try:
            # First its lease: a run that is running and has none is any worker's to take.
            async with self.leased(new.record.id) as lease:
                await self.store.create_run(new.record, new.values)
                compiled = compile_agent(new.agent)
                session = await self._opened(new.record, compiled, lease, on_time=True)
                return self._under_way(session, compiled, lease, resumed=False)
        except RunLeased:
            raise InputError(f"run {new.record.id} exists already; choose another id") from None

    async def go_on(self, claim: Claim, agent: Agent) -> Run:
        """Drive a run that waited for a process.

        It has no time left when its deadline has passed, unless it was suspended: then it is
        finished all the same.
        """
        compiled = compile_agent(agent)
        asked_for = claim.record.status is RunStatus.SUSPENDED
        session = await self._opened(claim.record, compiled, claim.lease, on_time=not asked_for)
        await _resume(session, compiled, detail=claim.detail, said=claim.said)
        return self._under_way(session, compiled, claim.lease, resumed=True)

    async def resume(self, record: RunRecord, agent: Agent, lease: Lease, *, retry: bool) -> Run:
        """Drive a run that somebody wants finished, be it that its deadline has passed."""
        compiled = compile_agent(agent)
        session = await self._opened(record, compiled, lease, retry=retry, on_time=False)
        forgets = {FORGETS: record.error} if retry and record.error is not None else {}
        await _resume(session, compiled, detail=forgets)
        return self._under_way(session, compiled, lease, resumed=True)

    @asynccontextmanager
    async def leased(self, run_id: str) -> AsyncIterator[Lease]:
        """The run's lease, which is given back if what is done with it fails. Raises RunLeased."""
        lease = await self.store.acquire_lease(run_id, this_holder(), LEASE_SECONDS)
        try:
            yield lease
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.release(lease)
            raise

    async def release(self, lease: Lease) -> None:
        with suppress(StoreError):  # where the store cannot be written, the lease ends with the process
            await self.store.release_lease(lease)

    def halt(self) -> None:
        """Stop all that is under way, so that it can be resumed."""
        for each in self.live.values():
            assert each._session is not None
            each._session.halt(_Stopped(str(_stopped(each.record))))

    async def _opened(
        self, record: RunRecord, compiled: Compiled, lease: Lease, *, retry: bool = False, on_time: bool
    ) -> Session:
        """A session on a run.

        Args:
            on_time: whether its deadline may pass even while it is compiled.
        """
        session = await open_session(
            record, compiled, self.store, self.backend, self._flights, retry=retry, human=self.human
        )
        session.holder = lease.holder
        if on_time:
            session.progress.started_at = record.created_at
        return session

    def _under_way(self, session: Session, compiled: Compiled, lease: Lease, *, resumed: bool) -> Run:
        session.observer = self.observe(session.record, resumed)
        run = Run(session.record, session)
        self.live[run.id] = run
        self.tasks.start_soon(self._attempt, run, session, compiled, lease)
        return run

    async def _attempt(self, run: Run, session: Session, compiled: Compiled, lease: Lease) -> None:
        value, error = None, None
        try:
            value = await drive(session, compiled, lease)
        except Exception as raised:
            error = raised
        finally:
            self.live.pop(run.id, None)
            with anyio.CancelScope(shield=True):
                await self.release(lease)
            if session.record.status is not RunStatus.COMPLETED:
                error = error or _stopped(session.record)
            session.observer.end(session.record, error)
            run._end.set((value, error))


async def _resume(
    session: Session, compiled: Compiled, *, detail: Mapping[str, Any], said: bool = False
) -> None:
    """Record that a run goes on, as the code is now; returns once that is durable.

    Args:
        detail: what the journal is to say of it.
        said: the journal says so already.
    """
    record, revision, now = session.record, session.revision, time.time()
    if not said:
        event = Event(EventKind.RESUMED, "", started_at=now, finished_at=now, detail=dict(detail))
        session.append(event, revision.values)
    status = RunStatus.RUNNING
    values = revision.values if said else {}
    commit = session.store.set_status(record.id, status, values=values, holder=session.holder)
    if revision.meta:
        record = replace(record, program=compiled.hash, meta={**record.meta, **revision.meta})
    revised = session.store.revise_run(record, holder=session.holder)
    await commit.wait()
    await revised.wait()
    session.record = replace(record, status=status, error=None, finished_at=None)


async def ended(store: Store, record: RunRecord) -> Run:
    """A run that has ended, as if it had been waited for."""
    events = await store.events(record.id)
    reused = sum(each.kind is EventKind.DONE for each in events)
    run = Run(record, None, reused)
    try:
        run._end.set((await ended_result(store, record), None))
    except Exception as error:
        run._end.set((None, error))
    return run


def _stopped(record: RunRecord) -> RunCancelled:
    """What waiters learn of a run that was stopped with its machine."""
    return RunCancelled(
        f"Run {record.id} was stopped because its AgentVM was closed. "
        f"It can go on: agentvm resume {record.id}"
    )


class _Stopped(RunCancelled):
    """Halts the session of a run that stays resumable."""
