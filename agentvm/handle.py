"""A run in the hands of a process: watched, waited for, cancelled."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agentvm_runtime.budgets import Usage
from agentvm_runtime.deadlines import tighten
from agentvm_runtime.drafts import Draft
from agentvm_runtime.errors import Halt, RunCancelled
from agentvm_runtime.progress import Progress
from agentvm_runtime.records import Event, RunRecord, RunStatus
from agentvm_runtime.session import Session
from agentvm_runtime.slots import Slot
from agentvm_runtime.streams import Audience, Bell, Text

from .durations import Duration, seconds

__all__ = ["Nodes", "Run", "RunReport", "Tokens"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes of a run, as this process saw them."""

    total: int
    executed: int
    reused: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of the model calls this process made."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended and what it took."""

    run: str
    agent: str
    status: RunStatus
    result: Any
    error: str | None
    nodes: Nodes
    tokens: Tokens
    seconds: float
    """From the run's creation to its end."""
    deadline_met: bool | None
    """None without a deadline."""


class Run:
    """A run in the hands of this process."""

    def __init__(self, record: RunRecord, session: Session | None, reused: int = 0) -> None:
        self._record = record
        self._session = session
        self._end = Slot()
        self._progress = Progress(time.time(), record.deadline_at, reused=reused)

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def record(self) -> RunRecord:
        """The run's row in the store, as this process knows it."""
        return self._session.record if self._session is not None else self._record

    @property
    def progress(self) -> Progress:
        """How far the run is; a live object."""
        return self._session.progress if self._session is not None else self._progress

    @property
    def spent(self) -> Usage:
        """Model calls of the run so far, and what they took, those of earlier processes included."""
        return self._session.account.spent if self._session is not None else Usage()

    async def result(self) -> Any:
        """The agent's result.

        Raises:
            RunFailed: the agent raised; its exception is `__cause__`.
            RunSuspended: it waits for an answer; see `AgentVM.answer`.
            DeadlineExceeded, BudgetExceeded, RunCancelled, UncertainWrite: the run ended so.
        """
        value, error = await self._end.wait()
        if error is not None:
            raise error
        return value

    async def events(self) -> AsyncIterator[Event]:
        """Journal events from now on, as they are appended, until the run ends.

        A reader that is far behind holds the run up, unless it has stopped reading.
        """
        if self._session is not None:
            async for each in self._read(self._session.events):
                yield each

    async def texts(self) -> AsyncIterator[Text]:
        """What models answer from now on, piece by piece as it comes, with the path of the call.

        Of a typed answer it is the JSON text; a repaired one comes twice.
        """
        if self._session is not None:
            async for each in self._read(self._session.texts):
                yield each

    @property
    def drafts(self) -> Mapping[str, Draft]:
        """What models have answered so far in calls under way, by path; a live object."""
        return self._session.drafts if self._session is not None else {}

    def bell(self) -> Bell:
        """Rings with every journal event from now on; closed at the run's end."""
        return self._hung(None if self._session is None else self._session.events)

    def text_bell(self) -> Bell:
        """Rings with every piece of a model's answer from now on; closed at the run's end."""
        return self._hung(None if self._session is None else self._session.texts)

    def _hung(self, audience: Audience[Any] | None) -> Bell:
        bell = Bell()
        if audience is not None:
            audience.join(bell)
        self._end.then(bell.close)
        return bell

    async def _read(self, audience: Audience[T]) -> AsyncIterator[T]:
        if self._end.ready:
            return
        stream = audience.join()
        self._end.then(stream.close)
        try:
            async for each in stream.read():
                yield each
        finally:
            stream.close()

    async def cancel(self) -> None:
        """Stop the run for good. Idempotent; returns when it has stopped."""
        if not self._end.ready and self._session is not None:
            self._session.stop(RunCancelled(f"Run {self.id} was cancelled."))
            await self._end.wait()

    async def tighten(self, deadline: Duration) -> None:
        """Bring the run's deadline forward; returns once that is durable.

        The smaller deadline counts, also after a crash: a later one changes nothing. Calls that wait or
        run are told at once, those at the engine by its scheduler. A run that has ended stays as it is.

        Args:
            deadline: time from now to the run's end.
        """
        at = time.time() + seconds(deadline, what="deadline")
        if self._end.ready or self._session is None:
            return
        try:
            commit = tighten(self._session, at)
            if commit is not None:
                await self._session.durable(commit)
        except Halt as halt:
            raise halt.error from None

    async def report(self) -> RunReport:
        """How the run ended; waits for its end."""
        value, error = await self._end.wait()
        record, progress = self.record, self.progress
        seconds = (record.finished_at or time.time()) - record.created_at
        met = None
        if record.deadline_at is not None:
            met = (
                record.status is RunStatus.COMPLETED
                and (record.finished_at or math.inf) <= record.deadline_at
            )
        cause = error.__cause__ if error is not None and error.__cause__ is not None else error
        return RunReport(
            run=record.id,
            agent=record.agent,
            status=record.status,
            result=value,
            error=None if cause is None else f"{type(cause).__name__}: {cause}",
            nodes=Nodes(progress.done, progress.executed, progress.reused),
            tokens=Tokens(progress.input_tokens, progress.output_tokens),
            seconds=seconds,
            deadline_met=met,
        )
