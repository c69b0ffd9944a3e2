"""The in-memory store: the twin of the real ones, for tests and throw-away runs.

What is appended is there at once and as durable as it will ever be. Closing
keeps the content, so that one object can be opened again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agentvm_compiler.errors import InputError
from agentvm_runtime.errors import RunLeased, StoreError
from agentvm_runtime.mailbox import mailbox_of
from agentvm_runtime.records import (
    Collected,
    Digest,
    Event,
    EventKind,
    Lease,
    MemoEntry,
    RunRecord,
    RunStatus,
)
from agentvm_runtime.retention import OVER

from . import leases
from .checks import check_event, check_run
from .details import detail_text


class Done:
    """A commit that is done, or has failed for good."""

    __slots__ = ("_error", "at_once")

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.at_once = error is None

    async def wait(self) -> None:
        self.block()

    async def soon(self) -> None: ...

    async def accepted(self) -> None:
        self.block()

    def block_accepted(self) -> None:
        self.block()

    def block(self) -> None:
        if self._error is not None:
            raise self._error


_DONE = Done()


class Places:
    """Where in a journal the events of a path are."""

    def __init__(self) -> None:
        self._taken = 0
        self.of_path: dict[str, list[int]] = {}

    def take(self, journal: Sequence[tuple[Event, str]]) -> None:
        """Take in what is new in it."""
        for number in range(self._taken, len(journal)):
            self.of_path.setdefault(journal[number][0].path, []).append(number)
        self._taken = len(journal)


class MemoryStore:
    """Everything in dicts. Used from one event loop; not thread-safe beyond the GIL's promises."""

    shared = False
    near = True
    full = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._open = False
        self._runs: dict[str, RunRecord] = {}
        self._events: dict[str, list[tuple[Event, str]]] = {}
        """Journals: events, with their detail as JSON; numbered when they are read."""
        self._places: dict[str, Places] = {}
        self._values: dict[Digest, bytes] = {}
        self._memo: dict[str, MemoEntry] = {}
        self._leases: dict[str, Lease] = {}
        self._profiles: dict[str, str] = {}

    async def room(self) -> None: ...

    def block_for_room(self) -> None: ...

    async def open(self) -> None:
        self._open = True

    async def aclose(self) -> None:
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise StoreError("the store is closed; open it first")

    async def create_run(self, run: RunRecord, values: Mapping[Digest, bytes]) -> None:
        self._check()
        check_run(run)
        if run.id in self._runs:
            raise InputError(f"run {run.id} exists already; choose another id")
        self._values.update(values)
        self._runs[run.id] = run

    async def add_run(
        self,
        run: RunRecord,
        journal: Sequence[Event],
        values: Mapping[Digest, bytes],
        mail: Sequence[Event] = (),
    ) -> None:
        await self.create_run(run, values)
        for each in journal:
            self.append(run.id, each)
        for each in mail:
            self.append(mailbox_of(run.id), each)

    async def get_run(self, run_id: str) -> RunRecord | None:
        self._check()
        return self._runs.get(run_id)

    async def list_runs(
        self,
        *,
        agent: str | None = None,
        status: RunStatus | None = None,
        limit: int = 100,
        before: RunRecord | None = None,
    ) -> list[RunRecord]:
        self._check()
        runs = [r for r in self._runs.values() if agent in (None, r.agent) and status in (None, r.status)]
        if before is not None:
            runs = [r for r in runs if (r.created_at, r.id) < (before.created_at, before.id)]
        return sorted(runs, key=lambda r: (r.created_at, r.id), reverse=True)[:limit]

    def set_status(
        self,
        run_id: str,
        status: RunStatus,
        *,
        result: Digest | None = None,
        error: Digest | None = None,
        finished_at: float | None = None,
        values: Mapping[Digest, bytes] | None = None,
        holder: str | None = None,
    ) -> Done:
        self._check()
        if (lost := self._lost(run_id, holder)) is not None:
            return lost
        run = self._runs.get(run_id)
        if run is None:
            return Done(InputError(f"there is no run {run_id}"))
        self._values.update(values or {})
        self._runs[run_id] = replace(run, status=status, result=result, error=error, finished_at=finished_at)
        return _DONE

    def revise_run(self, run: RunRecord, *, holder: str | None = None) -> Done:
        self._check()
        if (lost := self._lost(run.id, holder)) is not None:
            return lost
        old = self._runs.get(run.id)
        if old is None:
            return Done(InputError(f"there is no run {run.id}"))
        self._runs[run.id] = replace(old, program=run.program, meta=run.meta, deadline_at=run.deadline_at)
        return _DONE

    async def forks(self, run_id: str) -> list[RunRecord]:
        self._check()
        runs = [each for each in self._runs.values() if each.parent == run_id]
        return sorted(runs, key=lambda each: (each.created_at, each.id))

    async def last_seq(self, run_id: str) -> int:
        self._check()
        return len(self._events.get(run_id, ()))

    def append(
        self,
        run_id: str,
        event: Event,
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
        *,
        holder: str | None = None,
    ) -> Done:
        self._check()
        check_event(run_id, event)
        if (lost := self._lost(run_id, holder)) is not None:
            return lost
        self._values.update(values or {})
        journal = self._events.setdefault(run_id, [])
        # Through JSON as in a real store: what would not survive it must not seem to.
        journal.append((event, detail_text(event.detail) or "{}"))
        if memo is not None:
            self._memo[memo.key] = memo
        return _DONE

    async def events(self, run_id: str, wanted: Callable[[str], bool] | None = None) -> list[Event]:
        self._check()
        return [
            replace(event, detail=json.loads(detail), seq=number)
            for number, (event, detail) in enumerate(self._events.get(run_id, ()), start=1)
            if wanted is None or wanted(event.path)
        ]

    async def events_after(self, run_id: str, seq: int) -> list[Event]:
        self._check()
        return [
            replace(event, detail=json.loads(detail), seq=number)
            for number, (event, detail) in enumerate(self._events.get(run_id, ())[seq:], start=seq + 1)
        ]

    def peek(
        self,
        run_id: str,
        *,
        path: str | None = None,
        kind: EventKind | None = None,
        around: int = 0,
    ) -> list[Event]:
        self._check()
        journal = self._events.get(run_id, [])
        places = self._places.setdefault(run_id, Places())
        places.take(journal)
        numbers: Sequence[int] = range(len(journal))
        if path is not None:
            numbers = places.of_path.get(path, ())
        if around and numbers:
            first = max(0, numbers[0] - around // 4)
            paths = {event.path for event, _ in journal[first : first + around]}
            numbers = sorted(number for each in paths for number in places.of_path[each])
        found = ((number, *journal[number]) for number in numbers)
        return [
            replace(event, detail=json.loads(detail), seq=number + 1)
            for number, event, detail in found
            if kind in (None, event.kind)
        ]

    async def result_paths(self, run_id: str) -> list[tuple[int, str]]:
        self._check()
        results = (EventKind.DONE, EventKind.FAILED)
        journal = enumerate(self._events.get(run_id, ()), start=1)
        return [(number, event.path) for number, (event, _) in journal if event.kind in results]

    async def values(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        self._check()
        return {d: self._values[d] for d in digests if d in self._values}

    def values_now(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        self._check()
        return {d: self._values[d] for d in digests if d in self._values}

    async def memo(self, key: str) -> MemoEntry | None:
        self._check()
        entry = self._memo.get(key)
        if entry is not None and entry.expires_at is not None and entry.expires_at <= self._clock():
            return None
        return entry

    async def shared_result(self, key: str, *, ahead: bool = False) -> tuple[MemoEntry, bytes] | None:
        entry = await self.memo(key)
        return (
            None if entry is None or entry.value not in self._values else (entry, self._values[entry.value])
        )

    async def profile(self, agent: str) -> str | None:
        self._check()
        return self._profiles.get(agent)

    def save_profile(self, agent: str, profile: str) -> Done:
        self._check()
        self._profiles[agent] = profile
        return _DONE

    async def collect(self, run_ids: Sequence[str]) -> Collected:
        self._check()
        now = self._clock()
        removed = [each for each in run_ids if self._may_go(each, set(run_ids), now)]
        for each in removed:
            del self._runs[each]
            for journal in (each, mailbox_of(each)):
                self._events.pop(journal, None)
                self._places.pop(journal, None)
        memo, values = len(self._memo), len(self._values)
        self._memo = {
            key: each
            for key, each in self._memo.items()
            if each.run_id not in removed and (each.expires_at is None or each.expires_at > now)
        }
        # As text: whatever refers to a value, its digest stands somewhere in it.
        texts = [repr(each) for each in (self._runs, self._events, self._memo)]
        self._values = {
            digest: data for digest, data in self._values.items() if any(digest in text for text in texts)
        }
        return Collected(tuple(removed), values - len(self._values), memo - len(self._memo))

    def _may_go(self, run_id: str, others: set[str], now: float) -> bool:
        run = self._runs.get(run_id)
        if run is None or run.status not in OVER or leases.in_force(self._leases.get(run_id), now):
            return False
        return all(each.id in others for each in self._runs.values() if each.parent == run_id)

    async def memos(self, prefix: str = "", limit: int = 100) -> list[MemoEntry]:
        self._check()
        found = [each for each in self._memo.values() if each.key.startswith(prefix)]
        return sorted(found, key=lambda each: (each.created_at, each.key), reverse=True)[:limit]

    async def forget(self, key: str) -> bool:
        self._check()
        return self._memo.pop(key, None) is not None

    def _lost(self, run_id: str, holder: str | None) -> Done | None:
        """A commit that fails, if there must be a holder of the run's lease and it is not this one."""
        try:
            if holder is not None:
                leases.check_held(self._leases.get(run_id), run_id, holder)
        except RunLeased as error:
            return Done(error)
        return None

    async def acquire_lease(self, run_id: str, holder: str, ttl: float) -> Lease:
        self._check()
        lease = leases.granted(self._leases.get(run_id), run_id, holder, ttl, self._clock())
        self._leases[run_id] = lease
        return lease

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        self._check()
        lease = leases.renewed(self._leases.get(lease.run_id), lease, ttl, self._clock())
        self._leases[lease.run_id] = lease
        return lease

    async def release_lease(self, lease: Lease) -> None:
        self._check()
        recorded = self._leases.get(lease.run_id)
        if recorded is not None and recorded.holder == lease.holder:
            del self._leases[lease.run_id]

    async def lease_of(self, run_id: str) -> Lease | None:
        self._check()
        lease = self._leases.get(run_id)
        return lease if leases.in_force(lease, self._clock()) else None
