"""Goodput of runs: which came in time, by how much, and what their tokens were worth.

A run with a deadline is the unit: all output tokens of it count if it completed by
then, else none does (JITServe's `compound` class, `agentvm_serving.goodput`). Calls
with objectives of their own, in runs without one, count by themselves. Results
that were taken from other runs cost nothing and are counted apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, Field

from agentvm_runtime.ports import Store
from agentvm_runtime.records import Event, RunRecord, RunStatus
from agentvm_runtime.retention import OVER

from .accounts import Account, Sums
from .engine import Engine
from .standing import status_of

NEWEST: Final = 300
"""Runs that are looked at."""
SPANS: Final = 24
"""Spans of time that sums are given for, at most."""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
"""Seconds that a span may last; above that whole days."""
_DAY: Final = 86_400


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
    input_tokens: int = 0
    cost: float | None = Field(default=None, description="In the unit of its budget's prices.")
    nodes: int = Field(default=0, description="Nodes with a result, plain code apart.")
    classes: dict[str, Sums] = Field(default={}, description="Decided requests by class.")


class RunSums(BaseModel):
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


class Span(BaseModel):
    """What ended within some time."""

    start: float
    end: float
    classes: dict[str, Sums]


class Goodput(BaseModel):
    """The newest runs, and sums over them."""

    runs: list[RunAccount]
    agents: dict[str, RunSums]
    total: RunSums
    classes: dict[str, Sums] = Field(
        default={}, description="compound: runs with a deadline; others: calls of runs without one."
    )
    spans: list[Span] = Field(default=[], description="The same over time, by when requests were decided.")
    limit: int = Field(default=NEWEST, description="How many runs are looked at.")
    engine: Engine | None = Field(
        default=None, description="Since it started; None if it has not our scheduler."
    )


class Accounts:
    """What runs came to. No event of a journal is read twice, and of a run that is over none is kept."""

    def __init__(self) -> None:
        self._over: dict[tuple[str, float], RunAccount] = {}
        self._open: dict[str, Account] = {}

    async def of(self, store: Store, since: float = 0, limit: int = NEWEST) -> Goodput:
        """The newest runs that were created after a moment, in Unix seconds."""
        records = [each for each in await store.list_runs(limit=limit) if each.created_at >= since]
        return summed([await self._run(store, each) for each in records], limit)

    async def _run(self, store: Store, record: RunRecord) -> RunAccount:
        name = (record.id, record.finished_at or 0.0)
        if name in self._over:
            return self._over[name]
        account = self._open.setdefault(record.id, Account())
        account.take(await store.events_after(record.id, account.seq))
        found = told(record, account, await status_of(store, record))
        if record.status in OVER and record.finished_at is not None:
            if len(self._over) >= 4 * NEWEST:
                self._over.clear()
            self._over[name] = found
            del self._open[record.id]
        elif len(self._open) > 4 * NEWEST:
            self._open.clear()
        return found


def account_of(record: RunRecord, events: Iterable[Event]) -> RunAccount:
    """What a run came to, told from its journal."""
    account = Account()
    account.take(events)
    return told(record, account, str(record.status))


def told(record: RunRecord, account: Account, status: str) -> RunAccount:
    """What a run came to, told from its account."""
    met = _met(record)
    due = record.deadline_at
    end = record.finished_at if record.status in OVER else None
    classes = account.classes(record)
    if met is not None:
        whole = classes.setdefault("compound", Sums())
        whole.count(met, account.output_tokens)
    return RunAccount(
        run=record.id,
        agent=record.agent,
        status=status,
        started_at=record.created_at,
        finished_at=end,
        deadline_at=due,
        met=met,
        slack=None if due is None or end is None else due - end,
        input_tokens=account.input_tokens,
        output_tokens=account.output_tokens,
        cost=account.cost,
        nodes=account.nodes,
        reused=account.reused,
        good_tokens=account.output_tokens if met else 0,
        classes=classes,
    )


def summed(runs: list[RunAccount], limit: int = NEWEST) -> Goodput:
    """Sums over runs: all, by agent, by class, and over time."""
    found = Goodput(runs=runs, agents={}, total=RunSums(), limit=limit, spans=spans_of(runs))
    for each in runs:
        found.total.add(each)
        found.agents.setdefault(each.agent, RunSums()).add(each)
        _add(found.classes, each)
    return found


def spans_of(runs: list[RunAccount]) -> list[Span]:
    """Sums over equal spans of time, oldest first; those in which nothing was decided are left out."""
    decided = [
        (each.finished_at or each.deadline_at or each.started_at, each) for each in runs if each.classes
    ]
    if not decided:
        return []
    first, last = min(at for at, _ in decided), max(at for at, _ in decided)
    wanted = (last - first) / (SPANS - 1)
    step = next((each for each in _STEPS if each >= wanted), None) or _DAY * -(-wanted // _DAY)
    found: dict[float, Span] = {}
    for at, run in sorted(decided, key=lambda each: each[0]):
        start = at // step * step
        _add(found.setdefault(start, Span(start=start, end=start + step, classes={})).classes, run)
    return list(found.values())


def _add(classes: dict[str, Sums], run: RunAccount) -> None:
    for name, sums in run.classes.items():
        classes.setdefault(name, Sums()).add(sums)


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
