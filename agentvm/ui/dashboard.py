"""Goodput of runs: which came in time, by how much, and what their tokens were worth.

A run is the unit: all output tokens of a run count if it completed by its
deadline, else none does (JITServe's `compound` class, `agentvm_serving.goodput`).
Results that were taken from other runs cost nothing and are counted apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, Field

from agentvm_runtime.ports import Store
from agentvm_runtime.records import Event, EventKind, RunRecord, RunStatus, Source
from agentvm_runtime.retention import OVER

from .engine import Engine

NEWEST: Final = 300
"""Runs that are looked at."""


class RunAccount(BaseModel):
    """What one run came to."""

    run: str
    agent: str
    status: str
    started_at: float
    finished_at: float | None
    deadline_at: float | None
    met: bool | None = Field(description="None without a deadline, or while that is open.")
    slack: float | None = Field(description="Seconds left at the end; below zero it was late.")
    output_tokens: int
    reused: int = Field(description="Results taken from the same work elsewhere.")
    good_tokens: int = Field(description="Of the output tokens, those of a run in time.")


class Sums(BaseModel):
    """The same over several runs."""

    runs: int = 0
    with_deadline: int = 0
    met: int = 0
    missed: int = 0
    open: int = 0
    output_tokens: int = 0
    reused: int = 0
    good_tokens: int = 0
    tokens_with_deadline: int = 0

    def add(self, run: RunAccount) -> None:
        self.runs += 1
        self.output_tokens += run.output_tokens
        self.reused += run.reused
        self.good_tokens += run.good_tokens
        if run.deadline_at is not None:
            self.with_deadline += 1
            self.tokens_with_deadline += run.output_tokens
            self.met += run.met is True
            self.missed += run.met is False
            self.open += run.met is None


class Goodput(BaseModel):
    """The newest runs, and sums over them."""

    runs: list[RunAccount]
    agents: dict[str, Sums]
    total: Sums
    limit: int = Field(default=NEWEST, description="How many runs are looked at.")
    engine: Engine | None = Field(
        default=None, description="Since it started; None if it has not our scheduler."
    )


class Account:
    """What runs came to; the journal of one that has ended is read once."""

    def __init__(self) -> None:
        self._ended: dict[tuple[str, float], RunAccount] = {}

    async def of(self, store: Store, since: float = 0) -> Goodput:
        """The newest runs that were created after a moment, in Unix seconds."""
        records = [each for each in await store.list_runs(limit=NEWEST) if each.created_at >= since]
        runs = [await self._run(store, each) for each in records]
        found = Goodput(runs=runs, agents={}, total=Sums())
        for each in runs:
            found.total.add(each)
            found.agents.setdefault(each.agent, Sums()).add(each)
        return found

    async def _run(self, store: Store, record: RunRecord) -> RunAccount:
        name = (record.id, record.finished_at or 0.0)
        known = self._ended.get(name)
        if known is not None:
            return known
        found = account_of(record, await store.events(record.id))
        if record.finished_at is not None:
            if len(self._ended) >= 4 * NEWEST:
                self._ended.clear()
            self._ended[name] = found
        return found


def account_of(record: RunRecord, events: Iterable[Event]) -> RunAccount:
    """What a run came to, told from its journal."""
    made = reused = 0
    for each in events:
        if each.kind is EventKind.DONE:
            made += each.detail.get("output_tokens", 0)
            reused += each.source in (Source.MEMO, Source.SHARED)
    met = _met(record)
    due = record.deadline_at
    end = record.finished_at if record.status in OVER else None
    return RunAccount(
        run=record.id,
        agent=record.agent,
        status=str(record.status),
        started_at=record.created_at,
        finished_at=end,
        deadline_at=due,
        met=met,
        slack=None if due is None or end is None else due - end,
        output_tokens=made,
        reused=reused,
        good_tokens=made if met else 0,
    )


def _met(record: RunRecord) -> bool | None:
    """Whether the deadline was met; None without one, or while that is open."""
    due, end = record.deadline_at, record.finished_at
    if due is None:
        return None
    if record.status is RunStatus.COMPLETED and end is not None:
        return end <= due
    if record.status in (RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.DEADLINE_MISSED):
        return False
    return False if time.time() > due else None
