"""Deadlines: of a run, and of agents within it that have one of their own; the smaller counts.

All are absolute, and journaled when they begin, so that a resumed run has the
same. When one is missed, that is journaled, and what it holds for is cancelled,
or goes on as well as it can (`best_effort`). Code that was taken up by this
process only after its deadline is finished all the same: somebody asked for it.
A run's own deadline may be brought forward while the run goes on, never put off.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio

from agentvm_compiler.calls import Agent

from .errors import DeadlineExceeded, Halt
from .limits import Limit
from .ports import Commit
from .records import DEADLINE, Event, EventKind
from .session import Session
from .work import Work

ON_DEADLINE = "on_deadline"
"""In a run's `meta`: what a missed deadline does, if it does not cancel."""
BEST_EFFORT = "best_effort"


def run_limit(session: Session) -> Limit:
    """Within it, the run's own deadline holds, if it has one or is given one."""
    record = session.record
    best_effort = record.meta.get(ON_DEADLINE) == BEST_EFFORT

    def miss() -> None:
        _note_miss(session, "", limit)
        if not best_effort:
            allowed = (limit.at or 0.0) - record.created_at
            session.stop(
                DeadlineExceeded(
                    f"Run {record.id} was not done by its deadline, {allowed:.1f} s after its start. "
                    f"What it has done is kept; to let it finish: agentvm resume {record.id}"
                )
            )

    taken_up = session.progress.started_at
    limit = session.limit = Limit(record.deadline_at, miss, best_effort=best_effort, started_at=taken_up)
    if record.deadline_at is not None and taken_up < record.deadline_at <= time.time() and not best_effort:
        miss()  # it waited for too long: nothing of it is to begin
    return limit


def tighten(session: Session, at: float) -> Commit | None:
    """Bring the run's deadline forward; None if it is not later than that already, or the run has ended.

    What is under way is told: its scopes, and the scheduler of its model calls.

    Args:
        at: Unix seconds.
    """
    due = session.record.deadline_at
    if session.halted or (due is not None and due <= at):
        return None
    session.record = replace(session.record, deadline_at=at)
    session.progress.deadline_at = at
    session.append(tightened(at))
    commit = session.store.revise_run(session.record, holder=session.holder)
    if session.limit is not None:
        session.limit.bring_forward(at)
    if session.updates is not None:
        session.updates.deadlines_moved()
    return commit


def tightened(at: float) -> Event:
    """That a run is due at another moment from now on: Unix seconds."""
    now = time.time()
    return Event(EventKind.TIGHTENED, "", started_at=now, finished_at=now, detail={DEADLINE: at})


async def agent_limit(session: Session, work: Work, agent: Agent, run: Callable[[], Awaitable[Any]]) -> Any:
    """Run a sub-agent within its own deadline.

    Raises:
        DeadlineExceeded: it was missed, and the agent was cancelled. To the agent itself that is a
            cancellation, which no `except Exception` catches; to its caller it is an exception.
    """
    if agent.deadline is None:
        return await run()
    at = _begin(session, work, agent.deadline)
    best_effort = agent.on_deadline == BEST_EFFORT
    error = DeadlineExceeded(
        f"{agent.name} at {work.path} was not done by its deadline, {agent.deadline:.1f} s after its start."
    )
    halt = Halt(error)
    scope = anyio.CancelScope()

    def miss() -> None:
        _note_miss(session, work.path, limit)
        if not best_effort:
            for path in session.writes_under_way(work.path):
                error.add_note(f"The write {path} was under way: it may or may not have happened.")
            session.close(work.path, halt)
            scope.cancel()

    limit = Limit(at, miss, best_effort=best_effort, started_at=session.progress.started_at)
    try:
        with limit, scope:
            return await run()
    except Halt as raised:
        if raised is not halt:
            raise
    raise error


def _begin(session: Session, work: Work, allowed: float) -> float:
    """When an agent that is called now, or was called by an earlier process, should be done."""
    begun = session.history.begun.get(work.path)
    if begun is not None and begun.key == work.key:
        return float(begun.detail[DEADLINE])
    now = time.time()
    detail = {DEADLINE: now + allowed}
    session.append(
        Event(
            EventKind.BEGUN,
            work.path,
            work.site,
            work.node,
            work.key,
            started_at=now,
            finished_at=now,
            detail=detail,
        )
    )
    return now + allowed


def _note_miss(session: Session, path: str, limit: Limit) -> None:
    if not session.halted:
        now = time.time()
        detail = {DEADLINE: limit.at}
        with suppress(Halt):  # an agent around this one has missed its own just before
            session.append(Event(EventKind.MISSED, path, started_at=now, finished_at=now, detail=detail))
        if limit.best_effort and session.updates is not None:
            session.updates.deadlines_moved()
