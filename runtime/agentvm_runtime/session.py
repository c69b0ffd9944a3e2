"""One run as driven by one process: its journal, and the rule for doing work.

`Session.perform` is the one place where work is looked up, done and recorded:
first in the run's own journal, then among what is being done right now, then in
the memo of all runs; only a miss executes. Output commit lives here too: a
write starts when all before it is durable, and nothing follows it before its
own result is.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio

from agentvm_compiler.errors import AgentVMError
from agentvm_compiler.ir import Module
from agentvm_compiler.passes.stages import Forecaster

from .budgets import Account
from .drafts import Drafts
from .errors import Halt, ReplayMismatch, UncertainWrite, is_failure
from .flights import Flights
from .limits import Limit
from .lineage import Lineage
from .plans import Plans
from .ports import ModelBackend, Store
from .profiling import Observations
from .questions import Human
from .recording import Recorder
from .records import Digest, Event, RunRecord
from .revision import UNCHANGED, Revision
from .rooms import CONCURRENCY, Room, in_turn
from .sharing import perform_shared, unshared
from .skipping import Skip
from .streams import Audience, Text
from .targets import line_of
from .updates import Updates
from .work import WAITING, Outcome, Work


class Session(Recorder):
    """The state of one run in this process."""

    def __init__(
        self,
        record: RunRecord,
        store: Store,
        backend: ModelBackend,
        flights: Flights,
        journal: list[Event],
        values: Mapping[Digest, bytes],
        *,
        memo: bool = True,
        earlier: Observations | None = None,
        revision: Revision = UNCHANGED,
        lineage: Lineage | None = None,
        skips: Sequence[Skip] = (),
        human: Human | None = None,
    ) -> None:
        super().__init__(record, store, journal, values, memo=memo, lineage=lineage, skips=skips)
        self.backend = backend
        self.flights = flights
        self.revision = revision
        self.observed = Observations()
        """What this process saw of the run."""
        self.earlier = earlier or Observations()
        """What completed runs of the agent saw."""
        self.forecasts = Forecaster()
        # A fork may set results, and a rehearsal goes around them: then nothing waits for what gives them.
        self.plans = Plans(chains=lineage is None and not self.rehearsing)
        self.texts: Audience[Text] = Audience()
        """Are told what models answer, as it comes."""
        self.drafts = Drafts()
        """What models have answered so far, in calls under way."""
        concurrency = record.meta.get(CONCURRENCY)
        self._room = None if concurrency is None else anyio.Semaphore(concurrency)
        self.human = human
        """Who answers questions here; without anybody the run is suspended for them."""
        self.module: Module | None = None
        """The code that is executed."""
        self.account = Account(record, journal)
        self.limit: Limit | None = None
        """Of the run as a whole, while it is driven."""
        self.updates: Updates | None = None
        """Tells the backend's scheduler, if it has one, of changes to calls under way."""

    rehearsing = False
    """Whether nothing is to be done but to find out what would be."""

    def stop(self, error: AgentVMError) -> None:
        super().stop(error)
        if self.updates is not None:
            self.updates.stopped()

    async def admit(self, work: Work) -> None:
        """In a rehearsal, asked before code that may have effects is run."""

    async def perform(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        """Do the work, or use what is recorded of it.

        Raises:
            Halt: it is a write that was started before and may have happened, or a
                traced region asked for something else than the journal has.
            Exception: whatever the work raised, now or when it was recorded.
        """
        found = self.look_up(work)
        if found is not None:
            return await self.replay_when_due(found, work)
        if work.node in WAITING:
            return await self.execute(work, execute)
        activity = self.activity
        activity.under_way += 1
        try:
            if self.events.streams or self.texts.streams:
                await self.events.room()
                await self.texts.room()
            if self._room is None and not work.rooms:
                return await self._begin(work, execute)
            rooms: Sequence[Room] = work.rooms if self._room is None else (self._room, *work.rooms)
            return await in_turn(rooms, partial(self._begin, work, execute))
        finally:
            activity.under_way -= 1
            if activity.waiting:
                activity.settle()

    async def replay_when_due(self, found: Event, work: Work) -> Any:
        """The recorded result, to traced code when it is due. Raises what the work raised."""
        if work.ticket is not None:
            with self.activity:
                await work.ticket.due()
        return self.replay(found, work)

    async def _begin(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        if self.store.full:
            await self.keep_step()
        if work.write:
            await self.durable(self.intend(work))
        if unshared(self, work):
            return await self.execute(work, execute)
        return await perform_shared(self, work, execute)

    async def meet(self, callee: str) -> None:
        """Before the first call of a tool or model in this process: let what was done before become durable.

        If a call ends the process as it begins, it is most likely one that was not made before.
        """
        if self._last is not None:
            await self._last.soon()
        self.flights.met.add(callee)  # only now: calls that begin at the same time all wait

    def look_up(self, work: Work) -> Event | None:
        """The journal's result for this work, if it has one that can be used."""
        if self.anything_halted:
            self.check(work.path)
        found = self.history.results.get(work.path)
        if found is None and self.lineage is None and work.path not in self.history.intents:
            return None
        other = found is not None and found.key != work.key
        if other and work.ticket is not None:
            assert found is not None
            raise self.mismatch(work.site, found)
        if found is not None and found.value is not None and not other:
            return found
        intent = self.history.intents.get(work.path)
        if found is None or other:
            inherited = self.inherited(work)
            if inherited is not None:
                return inherited
        settled = found is not None and intent is not None and found.key == intent.key
        if other and self.revision.edited and (intent is None or settled):
            return None  # the code was changed: what it did before is known, and it now does something else
        if intent is not None and not (work.idempotent and intent.key == work.key):
            raise self.halt(_uncertain(self.record.id, work, self.line_of(work.path)))
        if self.lineage is not None and work.write and not work.idempotent:
            released = self.history.released.get(work.path)
            if (released is None or released.key != work.key) and self.lineage.unsettled(work) is not None:
                raise self.halt(_uncertain(self.record.id, work, self.line_of(work.path)))
        return None

    def mismatch(self, site: str, found: Event) -> Halt:
        """What a run ends with whose traced code makes a call at `site` where the journal has another."""
        return self.halt(_mismatch(self.record.id, site, found, self.line_of(found.path)))

    def line_of(self, path: str) -> str:
        """For messages, where the call at a path is in the source; empty if that is not known."""
        line = "" if self.module is None else line_of(self.module, self.revision.names, path)
        return f" ({line})" if line else ""

    async def execute(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        started = time.time()
        before = self.look_at(work)
        active = self.progress.active
        active[work.path] = started
        ending = self.observer.begin(work)
        try:
            outcome = await execute()
        except BaseException as error:
            ending(None, error)
            if not is_failure(error):
                raise
            await self.durable(self.failed(work, error, started, before))
            raise
        finally:
            active.pop(work.path, None)
        ending(outcome, None)
        if work.node == "agent":
            self.failures.handled_within(work.path)
        commit = self.finished(work, outcome, started, before)
        if work.write:
            await self.durable(commit)
        elif not commit.at_once:
            with self.activity:
                await self.accepted(commit)
        return outcome.value


def _uncertain(run_id: str, work: Work, line: str) -> UncertainWrite:
    """What a run ends with that finds a write in doubt."""
    command = f"agentvm resolve {run_id} {shlex.quote(work.path)}"
    return UncertainWrite(
        f"{work.path}{line} was started before the process died, and its result is not known: "
        "it may or may not have happened. Look, then say what became of it:\n"
        f"  it happened, and this is its result: {command} --done VALUE\n"
        f"  it did not happen, do it now:        {command} --retry\n"
        f"  give the run up:                     {command} --abort\n"
        "A tool that may be repeated without harm can be declared idempotent=True."
    )


def _mismatch(run_id: str, site: str, found: Event, line: str) -> ReplayMismatch:
    what = "other arguments" if found.site == site else f"'{found.site}'"
    return ReplayMismatch(
        f"At {found.path}{line} the program asked for '{site}', the journal has {what} there. "
        "The traced part of the program changed, or does not do the same each time (it may look at the clock "
        "or at random numbers: use agentvm.now() and agentvm.random()). Keep the results up to there in "
        f"a run of its own: agentvm fork {run_id} --at {found.path}"
    )
