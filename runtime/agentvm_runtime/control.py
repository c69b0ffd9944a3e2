"""What may be done to a run from outside: settle a write, answer a question, hurry it, cancel it.

Any process may do so that can reach the store; none of it needs the agent's
code. A run that nobody drives is changed under its lease; to one that somebody
drives a message is sent (`mailbox`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Any

import anyio

from agentvm_compiler.errors import InputError

from .budgets import SETTLED
from .deadlines import tightened
from .errors import RunCancelled, RunLeased
from .heartbeat import LEASE_SECONDS
from .history import History
from .lineage import lineage_of
from .mailbox import post, read
from .ports import Store
from .questions import Question, answer_from_text, check_answer, question_of
from .recording import encoded_error
from .records import Event, EventKind, RunRecord, RunStatus, Source
from .values import digest, encode

OPEN = frozenset(
    {
        RunStatus.QUEUED,
        RunStatus.RUNNING,
        RunStatus.SUSPENDED,
        RunStatus.UNCERTAIN,
        RunStatus.DEADLINE_MISSED,
    }
)
"""Statuses of a run that may go on."""


class Settlement(StrEnum):
    """What became of a write in doubt."""

    DONE = "done"
    """It happened; its result is known."""
    RETRY = "retry"
    """It did not happen, and may be started again."""
    ABORT = "abort"
    """The run is given up."""


async def resolve(
    store: Store, record: RunRecord, node: str | None, settlement: Settlement, value: Any = None
) -> str:
    """Say what became of a write in doubt; the run can then be resumed. Returns the write's path.

    Args:
        node: its path, or its name if there is only one such; None if it is the only one in doubt.
        value: its result, if it is done.

    Raises:
        InputError: there is no such write.
        RunLeased: a process is driving the run.
    """
    async with _held(store, record.id):
        history = History(await store.events(record.id))
        doubts = [*history.in_doubt(), *await _inherited_doubts(store, record, history)]
        intent = _chosen(doubts, node, record, "write in doubt")
        if settlement is Settlement.ABORT:
            await _cancel_held(store, record, f"it was given up: {intent.path} is in doubt")
            return intent.path
        now = time.time()
        told = replace(intent, started_at=now, finished_at=now, detail={SETTLED: str(settlement)})
        if settlement is Settlement.RETRY:
            await store.append(record.id, replace(told, kind=EventKind.RELEASED)).wait()
        else:
            data = encode(value, name=f"the result of {intent.path}")
            done = replace(told, kind=EventKind.DONE, value=digest(data), source=Source.PERSON)
            await store.append(record.id, done, {digest(data): data}).wait()
        if record.status is RunStatus.UNCERTAIN and len(doubts) == 1:
            await store.set_status(record.id, RunStatus.RUNNING).wait()
    return intent.path


async def _inherited_doubts(store: Store, record: RunRecord, history: History) -> list[Event]:
    """Writes that the run's ancestors started, which it would start again."""
    lineage = await lineage_of(store, record)
    inherited = [] if lineage is None else lineage.in_doubt()
    known = {*history.results, *history.intents, *history.released}
    return [each for each in inherited if each.path not in known]


async def questions(store: Store, record: RunRecord) -> list[Question]:
    """The questions of a run that wait for an answer."""
    return [question_of(each) for each in await _asked(store, record)]


async def answer(store: Store, record: RunRecord, node: str | None, value: Any, *, text: bool = False) -> str:
    """Answer a question; whoever drives the run goes on with it, or it can be resumed. Returns its path.

    Args:
        node: its path, or its name if there is only one such; None if it is the only one.
        text: whether the value is what somebody typed, which may be JSON.

    Raises:
        InputError: there is no such question, or the value is no answer to it.
    """
    question = question_of(_chosen(await _asked(store, record), node, record, "open question"))
    if text:
        value = answer_from_text(question, value)
    else:
        check_answer(question, value)
    data = encode(value, name="the answer")
    now = time.time()
    message = Event(
        EventKind.ANSWERED,
        question.path,
        key=question.key,
        value=digest(data),
        started_at=now,
        finished_at=now,
    )
    await post(store, record.id, message, {digest(data): data})
    return question.path


async def _asked(store: Store, record: RunRecord) -> list[Event]:
    """Questions nobody has answered, as events."""
    if record.status not in OPEN:
        return []
    asked = History(await store.events(record.id)).open_questions()
    answered = {(each.path, each.key): each.seq for each in await read(store, record.id)}
    return [each for each in asked if answered.get((each.path, each.key), 0) <= each.detail.get("refused", 0)]


async def tighten(store: Store, record: RunRecord, at: float) -> RunRecord:
    """Bring the deadline of a run forward; the record as it is then, or will be when its driver has heard.

    The smaller deadline counts; a run that has ended stays as it is.

    Args:
        at: Unix seconds.
    """
    if not _later(record, at):
        return record
    try:
        async with _held(store, record.id):
            record = await store.get_run(record.id) or record
            if _later(record, at):
                record = replace(record, deadline_at=at)
                store.append(record.id, tightened(at))
                await store.revise_run(record).wait()
    except RunLeased:  # whoever drives it reads the message, or whoever takes it up next
        await post(store, record.id, tightened(at))
        record = replace(record, deadline_at=at)
    return record


def _later(record: RunRecord, at: float) -> bool:
    """Whether the run may go on, and for longer than that."""
    return record.status in OPEN and (record.deadline_at is None or record.deadline_at > at)


async def cancel(store: Store, record: RunRecord) -> RunRecord:
    """Stop a run for good; returns its record when it has stopped. One that has ended stays as it is."""
    if record.status not in OPEN:
        return record
    now = time.time()
    await post(store, record.id, Event(EventKind.CANCELLED, "", started_at=now, finished_at=now))
    while True:
        try:
            async with _held(store, record.id):
                now_there = await store.get_run(record.id) or record
                if now_there.status in OPEN:
                    await _cancel_held(store, now_there, "")
                return await store.get_run(record.id) or record
        except RunLeased:  # whoever drives it reads the message, or its lease runs out
            await anyio.sleep(_LOOK_SECONDS)


_LOOK_SECONDS = 0.1


async def _cancel_held(store: Store, record: RunRecord, why: str) -> None:
    """Record a run as cancelled whose lease is held."""
    data = encoded_error(RunCancelled(f"Run {record.id} was cancelled{': ' if why else ''}{why}."))
    await store.set_status(
        record.id,
        RunStatus.CANCELLED,
        error=digest(data),
        finished_at=time.time(),
        values={digest(data): data},
    ).wait()


def _chosen(found: Sequence[Event], node: str | None, record: RunRecord, what: str) -> Event:
    """The one of the events that is meant. Raises InputError: none, or several."""
    places = ", ".join(each.path for each in found)
    if not found:
        raise InputError(f"Run {record.id} ({record.status}) has no {what}.")
    named = [
        each
        for each in found
        if node in (None, each.path, each.site, each.site.rpartition("#")[0], each.path.rpartition("/")[2])
    ]
    exact = [each for each in named if each.path == node]
    if len(named) == 1 or exact:
        return (exact or named)[0]
    if not named:
        raise InputError(f"Run {record.id} has no {what} at {node!r}. There is: {places}.")
    raise InputError(f"Run {record.id} has more than one {what}: {places}. Say which.")


@asynccontextmanager
async def _held(store: Store, run_id: str) -> AsyncIterator[None]:
    """Hold the run's lease for a moment. Raises RunLeased."""
    from .store import this_holder

    lease = await store.acquire_lease(run_id, this_holder(), LEASE_SECONDS)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await store.release_lease(lease)
