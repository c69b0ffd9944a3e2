"""What can be done to the runs of a store from outside, whichever process drives them, if any does."""

from __future__ import annotations

import builtins
import time
from typing import TYPE_CHECKING, Any

from agentvm_compiler.errors import InputError
from agentvm_runtime import control
from agentvm_runtime.control import Settlement
from agentvm_runtime.questions import Question
from agentvm_runtime.records import RunRecord, RunStatus

from .durations import Duration, seconds
from .handle import Run

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

_ABSENT: Any = object()


class Overseer:
    """Finds and lists runs, answers their questions, settles their writes, and stops them."""

    store: Store

    def driven(self, run_id: str) -> Run | None:
        """The run, if it is driven from here now."""
        return None

    async def get(self, run_id: str) -> RunRecord:
        """The record of a run. Raises InputError if there is none."""
        record = await self.store.get_run(run_id)
        if record is None:
            raise InputError(
                f"There is no run {run_id!r} in this store. `agentvm runs` lists those there are."
            )
        return record

    async def list(
        self, *, agent: str | None = None, status: RunStatus | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """Runs, newest first."""
        return await self.store.list_runs(agent=agent, status=status, limit=limit)

    async def resolve(
        self,
        run: str | Run,
        node: str | None = None,
        *,
        value: Any = _ABSENT,
        retry: bool = False,
        abort: bool = False,
    ) -> None:
        """Say what became of a write that an `UncertainWrite` names; `resume` then goes on.

        Args:
            node: the write's path; may be left out if it is the only one.
            value: it happened, and this is its result.
            retry: it did not happen: start it again.
            abort: give the run up.

        Raises:
            InputError: there is no such write, or not exactly one of the three was given.
            RunLeased: a process is driving the run.
        """
        settlements = {
            Settlement.DONE: value is not _ABSENT,
            Settlement.RETRY: retry,
            Settlement.ABORT: abort,
        }
        given = [each for each, meant in settlements.items() if meant]
        if len(given) != 1:
            raise InputError("resolve() takes one of value=..., retry=True and abort=True.")
        record = await self.get(id_of(run))
        await control.resolve(self.store, record, node, given[0], None if value is _ABSENT else value)

    async def questions(self, run: str | Run) -> builtins.list[Question]:
        """The questions of a run that nobody has answered yet."""
        return await control.questions(self.store, await self.get(id_of(run)))

    async def answer(self, run: str | Run, node: str | None = None, value: Any = _ABSENT) -> None:
        """Answer a question of a run, whichever process drives it; if none does, `resume` goes on.

        Args:
            node: the question's path; may be None if it is the only one.

        Raises:
            InputError: there is no such question, or the value is not of its type.
        """
        if value is _ABSENT:
            raise InputError("answer() takes a run, the question's path (or None) and the answer.")
        await control.answer(self.store, await self.get(id_of(run)), node, value)
        driven = self.driven(id_of(run))
        if driven is not None and driven._session is not None:
            driven._session.activity.nudge()

    async def cancel(self, run: str | Run) -> None:
        """Stop a run for good, whichever process drives it; returns when it has stopped.

        Nothing is journaled after that, and a run that has ended stays as it is.
        """
        driven = self.driven(id_of(run))
        if driven is not None:
            await driven.cancel()
            return
        await control.cancel(self.store, await self.get(id_of(run)))

    async def tighten(self, run: str | Run, deadline: Duration) -> None:
        """Bring a run's deadline forward, whichever process drives it; see `Run.tighten`.

        Another process hears of it within a second.
        """
        driven = self.driven(id_of(run))
        if driven is not None:
            await driven.tighten(deadline)
            return
        at = time.time() + seconds(deadline, what="deadline")
        await control.tighten(self.store, await self.get(id_of(run)), at)


def id_of(run: str | Run) -> str:
    return run if isinstance(run, str) else run.id
