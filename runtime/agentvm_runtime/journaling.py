"""The journal of one run, as the process that drives the run reads and writes it.

What is recorded of some work is found by its path and key, here and in the runs
that this one was forked from. What is done is appended without waiting; who must
know that it is durable waits for the commit.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agentvm_compiler.ir import UNBOUND

from .activity import Activity
from .comparing import UNUSED
from .errors import RunLeased, StoreError
from .failures import Failures
from .halting import Halting
from .history import History
from .lineage import Lineage
from .ports import Commit, Store
from .progress import Progress
from .records import AT, CHANGED, HALFWAY, Digest, Event, EventKind, MemoEntry, RunRecord
from .restoring import hold, redo
from .secret import HELD, redacted
from .skipping import Skip, value_of
from .slots import Slot
from .streams import Audience
from .values import decode, digest
from .work import Work

T = TypeVar("T")

_FAILED = EventKind.FAILED  # bound once: to look a member of an enum up takes as long as to call a function

USED = "used"
"""In the detail of a fork's first intent: paths inherited by then, of results that depend on writes."""


class Journal(Halting):
    """What is recorded of one run, and how more is."""

    def __init__(
        self,
        record: RunRecord,
        store: Store,
        journal: list[Event],
        values: Mapping[Digest, bytes],
        *,
        memo: bool = True,
        lineage: Lineage | None = None,
        skips: Sequence[Skip] = (),
    ) -> None:
        super().__init__()
        self.history = History(journal)
        """The journal as it was opened; of what is appended, questions and started writes are added."""
        if self.history.deadline_at is not None:
            record = replace(record, deadline_at=self.history.deadline_at)
        self.record = record
        self.holder: str | None = None
        """Of the run's lease, without which nothing can be journaled; unknown where nothing will be."""
        self.store = store
        self.memo = memo
        self.lineage = lineage
        """What the run inherits, if it is a fork."""
        self._skips = {each.loop: each for each in skips}
        self.progress = Progress(time.time(), record.deadline_at)
        self.events: Audience[Event] = Audience()
        """Are told every event as it is appended."""
        self.failures = Failures()
        self.activity = Activity()
        self._last: Commit | None = None
        """Of what was appended last."""
        self._values = values
        self._appended: dict[str, Event] = {}
        """What this process journaled, of a fork."""
        if lineage is not None:
            started = self.history.intents.values()
            lineage.used.update((path, None) for each in started for path in each.detail.get(USED, ()))

    # -- what is recorded --------------------------------------------------------------

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

    def replay(self, event: Event, work: Work | None = None) -> Any:
        """The recorded result. Raises the recorded exception if the work failed."""
        assert event.value is not None
        value = self.load(event.value)
        self.progress.reused += 1
        if work is not None and CHANGED in event.detail:
            arguments, positions = work.arguments, event.detail["positions"]
            result = self.load(event.detail[CHANGED], lambda data: redo(arguments, data, positions))
            if event.kind is not _FAILED:
                return result
            hold(value, result)
        if event.kind is _FAILED:
            self.failures.add(value, event.path, event.value, event.node)
            raise value
        return value

    def replay_halfway(self, event: Event) -> tuple[BaseException, dict[str, Any]]:
        """The recorded exception of Python code, and the names the code had assigned when it raised that."""
        assert event.value is not None
        error, bound, unbound = self.load(event.detail[HALFWAY])
        self.progress.reused += 1
        self.failures.add(error, event.path, event.value, event.node)
        return error, {**bound, **dict.fromkeys(unbound, UNBOUND)}

    def load(self, name: Digest, read: Callable[[bytes], Any] = decode) -> Any:
        """What a recorded value says. Raises Halt if it cannot be had: the program is not to handle that."""
        try:
            return read(self._values[name])
        except StoreError as error:
            raise self.halt(error) from None

    async def fetch(self, name: Digest) -> Any:
        """A value that was stored after the journal was opened, perhaps by another process."""
        try:
            return decode((await self.store.values([name]))[name])
        except StoreError as error:
            raise self.halt(error) from None

    async def answered(self, asked: Awaitable[T]) -> T:
        """What the store answers. Raises Halt if it cannot, as `load`."""
        try:
            return await asked
        except StoreError as error:
            raise self.halt(error) from None

    # -- appending ---------------------------------------------------------------------

    def append(
        self, event: Event, values: Mapping[Digest, bytes] | None = None, memo: MemoEntry | None = None
    ) -> Commit:
        if self.anything_halted:
            self.check(event.path)
        if HELD and event.detail:
            event = replace(event, detail=redacted(event.detail))
        try:
            commit = self.store.append(self.record.id, event, values, memo, holder=self.holder)
        except StoreError as error:
            raise self.halt(error) from None
        self._last = commit
        if self.lineage is not None:
            self._appended[event.path] = event
        # A question is told when it is durable: somebody may answer at once.
        if self.events.streams and event.kind is not EventKind.ASKED:
            self.events.tell(event)
        return commit

    async def conclude(self) -> None:
        """Journal what a fork at its end has left in its lineage."""
        if self.lineage is None:
            return
        left = await self.lineage.unused(self.history.results | self._appended)
        if left:
            now = time.time()
            self.append(
                Event(EventKind.INHERITED, "", started_at=now, finished_at=now, detail={UNUSED: left})
            )

    def ended(self, error: BaseException, data: bytes) -> None:
        """Journal that the program raised this exception, whose bytes are given, and where it came from."""
        now, name = time.time(), digest(data)
        detail = {AT: self.failures.ended_by(error, name)}
        event = Event(EventKind.ENDED, "", value=name, started_at=now, finished_at=now, detail=detail)
        self.append(event, {name: data})

    async def keep_step(self) -> None:
        """Before something begins while the store is full: wait. Raises Halt if it cannot be written."""
        with self.activity:
            try:
                await self.store.room()
            except StoreError as error:
                raise self.halt(error) from None

    def block_to_keep_step(self) -> None:
        """The same for synchronous code."""
        try:
            self.store.block_for_room()
        except StoreError as error:
            raise self.halt(error) from None

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
