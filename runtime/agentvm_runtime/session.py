"""One run as driven by one process: its journal, and the rule for doing work.

`Session.perform` is the one place where work is looked up, done and recorded:
first in the run's own journal, then in the memo of all runs, then among what is
being done right now; only a miss executes. Output commit lives here too: a
write starts when all before it is durable, and nothing follows it before its
own result is.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from agentvm_compiler.calls import CallContext
from agentvm_compiler.errors import AgentVMError
from agentvm_compiler.ir import UNBOUND
from agentvm_compiler.passes.stages import Forecaster

from .activity import Activity
from .budgets import Account, Usage
from .chains import Chains
from .claims import POLL, POLL_MAX, PREFIX, Claim, Claimed
from .comparing import UNUSED, unused
from .errors import Halt, ReplayMismatch, RunLeased, StoreError, UncertainWrite, UnstorableValue, is_failure
from .flights import Flights, Landed
from .forking import Lineage
from .history import History
from .keys import idempotency_key
from .limits import due
from .ports import Commit, ModelBackend, Store
from .profiling import Observations
from .progress import Progress
from .questions import Human
from .reasons import AGAIN, CHANGED_KEY, MISS, NO_MEMO, OWN, PASSED, WHY, WRITE, WROTE
from .records import CHANGED, Digest, Event, EventKind, MemoEntry, RunRecord, Source
from .restoring import Before, before, change, held_by, hold, objects, redo
from .revision import UNCHANGED, Revision
from .rooms import CONCURRENCY, in_turn
from .skipping import Skip, value_of
from .slots import Slot
from .streams import Audience, Text
from .values import copy_value, decode, digest, encode


@dataclass(slots=True)
class Outcome:
    """What executing some work gave."""

    value: Any
    detail: dict[str, Any] = field(default_factory=dict)
    """For the journal: token usage and the like."""
    source: Source = Source.EXECUTED


@dataclass(frozen=True, slots=True)
class Work:
    """Something to do at a place in the run."""

    path: str
    site: str
    node: str
    """Node kind."""
    key: str
    shared: str = ""
    """The key under which other runs may use the result; empty if they may not."""
    ttl: float | None = None
    """Seconds for which others may use the result, if not for ever."""
    write: bool = False
    idempotent: bool = False
    traced: bool = False
    """Whether it was asked for by a traced region, which must ask for the same again on resume."""
    looks: bool = False
    """Whether the result may depend on what was written before."""
    arguments: Any = None
    """What a traced region passed, which the callee may change in place."""
    room: anyio.Semaphore | None = None
    """Where it takes its turn, if only so many may be under way at once."""
    usage: Usage | None = None
    """Counts what its model calls take, until that is journaled."""


class Session:
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
        self.record = record
        self.holder: str | None = None
        """Of the run's lease, without which nothing can be journaled; unknown where nothing will be."""
        self.store = store
        self.backend = backend
        self.flights = flights
        self.memo = memo
        self.revision = revision
        self.lineage = lineage
        """What the run inherits, if it is a fork."""
        self._skips = {each.loop: each for each in skips}
        self.progress = Progress(time.time(), record.deadline_at)
        self.observed = Observations()
        """What this process saw of the run."""
        self.earlier = earlier or Observations()
        """What completed runs of the agent saw."""
        self.forecasts = Forecaster()
        # A fork may set results, and a rehearsal goes around them: then nothing waits for what gives them.
        self.chains = Chains(found=lineage is None and not self.rehearsing)
        self.events: Audience[Event] = Audience()
        """Are told every event as it is appended."""
        self.texts: Audience[Text] = Audience()
        """Are told what models answer, as it comes."""
        concurrency = record.meta.get(CONCURRENCY)
        self._room = None if concurrency is None else anyio.Semaphore(concurrency)
        self.history = History(journal)
        """The journal as it was opened; of what is appended, questions and started writes are added."""
        self.human = human
        """Who answers questions here; without anybody the run is suspended for them."""
        self.account = Account(record, journal)
        self.activity = Activity()
        self.scope = anyio.CancelScope()
        """Of all that the program does."""
        self._halted: Halt | None = None
        self._closed: dict[str, Halt] = {}
        self._values = values
        self._appended: dict[str, Event] = {}
        """What this process journaled, of a fork."""
        if lineage is not None:
            started = self.history.intents.values()
            lineage.used.update((path, None) for each in started for path in each.detail.get(USED, ()))

    rehearsing = False
    """Whether nothing is to be done but to find out what would be."""

    # -- the journal -------------------------------------------------------------------

    def recorded(self, work: Work) -> Event | None:
        """What the journal has for this work; None if nothing, or for other work at this path."""
        event = self.history.results.get(work.path)
        if event is not None and event.key == work.key:
            return event
        return self.inherited(work)

    def inherited(self, work: Work) -> Event | None:
        """What the runs that this one was forked from have for this work."""
        if self.lineage is None:
            return None
        return self.lineage.find(work, wrote=self.history.wrote)

    def given(self, path: str) -> dict[int, Any]:
        """Results that a fork sets, by position among those of the node at this path."""
        given = {} if self.lineage is None else self.lineage.given.get(path, {})
        return {number: self.load(name) for number, name in given.items()}

    def skipped(self, loop: str) -> tuple[int, list[Slot | None]]:
        """How many iterations a fork takes over as a whole, and what they leave; None for what they keep."""
        skip = self._skips.get(loop)
        if skip is None or self.lineage is None:
            return 0, []
        self.lineage.asked.add(f"{loop}[{skip.first - 1}]")
        values: list[Slot | None] = []
        for each in skip.carried:
            if each is None:
                values.append(None)
                continue
            name, bundled = value_of(self.lineage, each)
            value = self.load(name)
            values.append(Slot(value.get(each.result, UNBOUND) if bundled else value))
        return skip.first, values

    def append(
        self, event: Event, values: Mapping[Digest, bytes] | None = None, memo: MemoEntry | None = None
    ) -> Commit:
        self.check(event.path)
        try:
            commit = self.store.append(self.record.id, event, values, memo, holder=self.holder)
        except StoreError as error:
            raise self.halt(error) from None
        if self.lineage is not None:
            self._appended[event.path] = event
        if event.kind is not EventKind.ASKED:  # which is told when it is durable: somebody may answer at once
            self.events.tell(event)
        return commit

    def replay(self, event: Event, work: Work | None = None) -> Any:
        """The recorded result. Raises the recorded exception if the work failed."""
        assert event.value is not None
        value = self.load(event.value)
        self.progress.reused += 1
        if work is not None and CHANGED in event.detail:
            name, positions = event.detail[CHANGED], event.detail["positions"]
            result = redo(work.arguments, self._values[name], positions)
            if event.kind is not EventKind.FAILED:
                return result
            hold(value, result)
        if event.kind is EventKind.FAILED:
            raise value
        return value

    def load(self, name: Digest) -> Any:
        return decode(self._values[name])

    def conclude(self) -> None:
        """Journal what a fork at its end has left in its lineage."""
        if self.lineage is None:
            return
        left = unused(self.lineage.asked, self.lineage.recorded, self.history.results | self._appended)
        if left:
            now = time.time()
            self.append(
                Event(EventKind.INHERITED, "", started_at=now, finished_at=now, detail={UNUSED: left})
            )

    async def fetch(self, name: Digest) -> Any:
        """A value that was stored after the journal was opened, perhaps by another process."""
        return decode((await self.store.values([name]))[name])

    # -- work --------------------------------------------------------------------------

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
            return self.replay(found, work)
        if work.node in WAITING:
            return await self._execute(work, execute)
        with self.activity:
            await self.events.room()
            await self.texts.room()
            rooms = [each for each in (self._room, work.room) if each is not None]
            return await in_turn(rooms, partial(self._begin, work, execute))

    async def _begin(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        if work.write:
            await self.durable(self.intend(work))
        if self._is_shared(work):
            return await self._perform_shared(work, execute)
        return await self._execute(work, execute)

    def _is_shared(self, work: Work) -> bool:
        """Whether the result may come from, and go to, other runs.

        A read does not once this run has written: it must see what was written.
        """
        return not self._unshared(work)

    def _unshared(self, work: Work) -> str:
        """Why the result is for this run only (see `reasons`); empty if it is not."""
        if work.write:
            return WRITE
        if not work.shared:
            return OWN
        if not self.memo:
            return NO_MEMO
        if work.arguments is not None and _passes_objects(*work.arguments):
            return PASSED
        if self.lineage is not None and self.lineage.is_again(work.path):
            return AGAIN
        wrote = self.history.wrote or (self.lineage is not None and self.lineage.wrote)
        return WROTE if work.ttl is not None and wrote else ""

    def look_up(self, work: Work) -> Event | None:
        """The journal's result for this work, if it has one that can be used."""
        self.check(work.path)
        found = self.history.results.get(work.path)
        other = found is not None and found.key != work.key
        if other and work.traced:
            assert found is not None
            raise self.halt(_mismatch(self.record.id, work, found))
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
            raise self.halt(uncertain(self.record.id, work))
        if self.lineage is not None and work.write and not work.idempotent:
            released = self.history.released.get(work.path) == work.key
            if not released and self.lineage.unsettled(work) is not None:
                raise self.halt(uncertain(self.record.id, work))
        return None

    def halt(self, error: AgentVMError) -> Halt:
        """Stop the run: from now on no work is done and nothing journaled, whatever the agent catches."""
        self._halted = self._halted or Halt(error)
        return self._halted

    def stop(self, error: AgentVMError) -> None:
        """Halt, and cancel what is under way."""
        self.halt(error)
        self.scope.cancel()

    @property
    def halted(self) -> bool:
        return self._halted is not None

    def close(self, path: str, halt: Halt) -> None:
        """From now on nothing is done or journaled within the work at this path; who tries gets the halt."""
        self._closed[f"{path}/"] = halt

    def check(self, path: str = "") -> None:
        """Raise what the session, or the work that the path is within, was halted with, if it was."""
        if self._halted is not None:
            raise self._halted
        for within, halt in self._closed.items():
            if path.startswith(within):
                raise halt

    def writes_under_way(self, path: str) -> list[str]:
        """Paths of the writes within some work that have begun and not ended."""
        active = [each for each in self.progress.active if each.startswith(f"{path}/")]
        return [each for each in active if each in self.history.intents]

    def intend(self, work: Work) -> Commit:
        """Journal that a write is about to start."""
        detail: dict[str, Any] = {"idempotency_key": self.context(work).idempotency_key}
        if self.lineage is not None and not self.history.wrote:
            detail[USED] = list(self.lineage.used)
        now = time.time()
        event = Event(
            EventKind.INTENT, work.path, work.site, work.node, work.key, None, started_at=now, detail=detail
        )
        self.history.add(event)
        return self.append(event)

    def context(self, work: Work) -> CallContext:
        """What a tool that is called for this work is told.

        Its idempotency key is the same for all attempts, also for that of an ancestor of
        this fork whose outcome is not known.
        """
        begun = None if self.lineage is None else self.lineage.unsettled(work)
        key = begun.detail["idempotency_key"] if begun is not None else None
        key = key or idempotency_key(self.record.id, work.path, work.key)
        return CallContext(self.record.id, work.path, key, due())

    async def _perform_shared(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        while True:
            found = await self._memoised(work)
            if found is not None:
                return found.value
            flight = self.flights.join(work.shared)
            if flight is None:
                flight = self.flights.lead(work.shared)
                try:
                    value = await self._alone(work, execute)
                    flight.succeed(value)
                    return value
                finally:
                    self.flights.land(work.shared)
            outcome = await flight.wait()
            if outcome is not None:
                value = copy_value(outcome.value)
                data = encode(value)
                values = {digest(data): data}
                note = self._note(work, digest(data), Source.SHARED, time.time(), {}, values)
                await self.accepted(note)
                return value
            # The one who did it failed or was cancelled: do it ourselves.

    async def _memoised(self, work: Work) -> Landed | None:
        """The result that some run left in the memo."""
        entry = await self.store.memo(work.shared)
        found = {} if entry is None else await self.store.values([entry.value])
        if entry is None or entry.value not in found:
            return None
        detail = {"from": f"{entry.run_id}/{entry.path}"}
        # With the value: whoever collects old runs may just be removing it.
        note = self._note(work, entry.value, Source.MEMO, time.time(), detail, found)
        await self.accepted(note)
        return Landed(decode(found[entry.value]))

    async def _alone(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        """Do the work unless another process does; then wait for what comes of it."""
        if not self.store.shared:
            return await self._execute(work, execute)
        wait = POLL
        while True:
            if await self.store.lease_of(PREFIX + work.shared) is None:
                try:
                    return await self._claimed(work, execute)
                except Claimed:
                    pass
            await anyio.sleep(wait)
            wait = min(wait * 1.5, POLL_MAX)
            found = await self._memoised(work)
            if found is not None:
                return found.value

    async def _claimed(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        """Do the work under a claim. Raises Claimed."""
        claim = Claim(self.store, work.shared, self.flights.holder)
        if work.node != "llm":
            return await claim.during(lambda: self._execute(work, execute))
        await claim.acquire()

        async def unless_done() -> Any:
            found = await self._memoised(work)  # whoever had the claim may just have let go of it
            return found.value if found is not None else await self._execute(work, execute)

        return await claim.during(unless_done)

    async def _execute(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        started = time.time()
        before = self.look_at(work)
        self.progress.active[work.path] = started
        try:
            outcome = await execute()
        except BaseException as error:
            if not is_failure(error):
                raise
            await self.durable(self.failed(work, error, started, before))
            raise
        finally:
            self.progress.active.pop(work.path, None)
        commit = self.finished(work, outcome, started, before)
        if work.write:
            await self.durable(commit)
        else:
            await self.accepted(commit)
        return outcome.value

    async def accepted(self, commit: Commit) -> None:
        """Wait until the run may go on. Raises Halt if the store cannot be written."""
        try:
            await commit.accepted()
        except (StoreError, RunLeased) as error:
            raise self.halt(error) from None

    async def durable(self, commit: Commit) -> None:
        """Wait for a commit. Raises Halt if the store cannot be written."""
        with self.activity:
            try:
                await commit.wait()
            except (StoreError, RunLeased) as error:
                raise self.halt(error) from None

    def block(self, commit: Commit, *, accepted: bool = False) -> None:
        """The same for synchronous code: wait until it is durable, or until the run may go on."""
        try:
            commit.block_accepted() if accepted else commit.block()
        except (StoreError, RunLeased) as error:
            raise self.halt(error) from None

    def look_at(self, work: Work) -> Before | None:
        """The arguments of a call from traced code, before it is made."""
        return None if work.arguments is None else before(work.arguments)

    def _changes(
        self, before: Before | None, result: Any = None
    ) -> tuple[dict[str, Any], dict[Digest, bytes]]:
        """For the journal: what the call did to its arguments, if anything."""
        found = None if before is None else change(before, result)
        if found is None:
            return {}, {}
        data, positions = found
        return {CHANGED: digest(data), "positions": positions}, {digest(data): data}

    def finished(self, work: Work, outcome: Outcome, started: float, before: Before | None = None) -> Commit:
        """Journal a result.

        Raises:
            UnstorableValue: it has no codec.
        """
        data = _encoded(work, outcome.value)
        name = digest(data)
        memo = None
        if self._is_shared(work):
            now = time.time()
            expires = None if work.ttl is None else now + work.ttl
            memo = MemoEntry(work.shared, name, self.record.id, work.path, now, expires)
        changed, values = self._changes(before, outcome.value)
        detail = {WHY: self._why(work), **outcome.detail, **changed}
        return self._note(work, name, outcome.source, started, detail, {name: data, **values}, memo)

    def _why(self, work: Work) -> str:
        """Why the work was done, and no recorded result used."""
        found = self.history.results.get(work.path)
        if found is None and self.lineage is not None:
            found = self.lineage.recorded.get(work.path)
        if found is not None and found.key != work.key:
            return CHANGED_KEY
        return self._unshared(work) or MISS

    def failed(
        self, work: Work, error: BaseException, started: float, before: Before | None = None
    ) -> Commit:
        """Journal an exception."""
        data = encoded_error(error)
        changed, values = self._changes(before, held_by(error) if _is_storable(error) else None)
        event = Event(
            EventKind.FAILED,
            work.path,
            work.site,
            work.node,
            work.key,
            digest(data),
            started_at=started,
            finished_at=time.time(),
            detail={**changed, **(work.usage.taken() if work.usage else {})},
        )
        self.progress.executed += 1
        return self.append(event, {digest(data): data, **values})

    def computed(self, work: Work, name: Digest, data: bytes, started: float) -> Commit:
        """Journal what plain Python computed."""
        return self._note(work, name, Source.EXECUTED, started, {}, {name: data})

    def volatile(self, work: Work, started: float) -> Commit:
        """Journal that Python code ran whose result cannot be stored; on resume it runs again."""
        return self._note(work, None, Source.EXECUTED, started, {})

    def folded(self, work: Work, started: float) -> None:
        """Journal that something was added to a large container, whose contents are not recorded anew."""
        known = self.history.results.get(work.path)
        if known is not None and known.value is None and known.key == work.key:
            self.progress.reused += 1
        else:
            self.volatile(work, started)

    def _note(
        self,
        work: Work,
        value: Digest | None,
        source: Source,
        started: float,
        detail: dict[str, Any],
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
    ) -> Commit:
        if source in (Source.MEMO, Source.SHARED):
            self.progress.reused += 1
        else:
            self.progress.executed += 1
        event = Event(
            EventKind.DONE,
            work.path,
            work.site,
            work.node,
            work.key,
            value,
            source,
            started,
            time.time(),
            detail,
        )
        return self.append(event, values, memo)


USED = "used"
"""In the detail of a fork's first intent: paths inherited by then, of results that depend on writes."""

WAITING = frozenset({"agent", "human"})
"""Kinds of work that by themselves only wait for other work, or for a person."""


def _passes_objects(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a callee is given anything that it could change."""
    return bool(objects((*args, *kwargs.values())))


def encoded_error(error: BaseException) -> bytes:
    """The exception as bytes; one that cannot be stored as its text."""
    try:
        return encode(error)
    except UnstorableValue:
        return encode(RuntimeError(f"{type(error).__name__}: {error}"))


def _is_storable(error: BaseException) -> bool:
    try:
        encode(error)
    except UnstorableValue:
        return False
    return True


def _encoded(work: Work, value: Any) -> bytes:
    try:
        return encode(value, name=f"the result of {work.site}")
    except UnstorableValue as error:
        raise UnstorableValue(f"{error} (at {work.path})") from None


def uncertain(run_id: str, work: Work) -> UncertainWrite:
    """What a run ends with that finds a write in doubt."""
    command = f"agentvm resolve {run_id} {shlex.quote(work.path)}"
    return UncertainWrite(
        f"{work.site} at {work.path} was started before the process died, and its result is not known: "
        "it may or may not have happened. Look, then say what became of it:\n"
        f"  it happened, and this is its result: {command} --done VALUE\n"
        f"  it did not happen, do it now:        {command} --retry\n"
        f"  give the run up:                     {command} --abort\n"
        "A tool that may be repeated without harm can be declared idempotent=True."
    )


def _mismatch(run_id: str, work: Work, found: Event) -> ReplayMismatch:
    what = "other arguments" if found.site == work.site else f"'{found.site}'"
    return ReplayMismatch(
        f"At {work.path} the program asked for '{work.site}', the journal has {what} there. "
        "The traced part of the program changed, or does not do the same each time (it may look at the clock "
        "or at random numbers: use agentvm.now() and agentvm.random()). Keep the results up to there in "
        f"a run of its own: agentvm fork {run_id} --at {work.path}"
    )
