"""What SQLite and Postgres stores have in common: everything but how a database is reached.

*Works* (functions of a transaction) go through one group-committing writer;
reads go beside it, over a connection of their own, and see all that was
appended before them through the same store.
"""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread

from agentvm_compiler.errors import InputError
from agentvm_runtime.errors import StoreError
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
    Source,
)

from . import leases, rows
from . import statements as sql
from .ahead import Found, ReadAhead
from .checks import check_event, check_run
from .collecting import collect
from .durability import Durability
from .group import GroupWriter, Pending, Row, Transaction, Work
from .keeping import CHUNK, TakesLong
from .statements import Statement

T = TypeVar("T")
_FRESH_MAX = 1024
_FEW_EVENTS = 64
"""Events that are read one by one rather than out of their whole journal."""
_FEW_VALUES = 4
"""Values that may be read on the spot."""
_MUCH = 4 * CHUNK
"""Bytes that are read ahead at most, the last value not counted."""
_ALL = 2**31 - 1
_EXECUTED = Source.EXECUTED


class Queries(Protocol):
    """What transactions and readers share."""

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        """The first row of a query."""
        ...


class Reader(Queries, Protocol):
    """A connection that only reads; used by one thread at a time."""

    @property
    def near(self) -> bool:
        """Whether a row is found within some microseconds, as no server is asked."""
        ...

    def read(self, work: Callable[[Reader], T]) -> T:
        """What the work gives. Raises StoreError where the database cannot be read."""
        ...

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        """All rows of a query."""
        ...

    def values(self, digests: Sequence[Digest], *, small: bool = False) -> Iterator[tuple[Digest, bytes]]:
        """Those that are there. Raises TakesLong if only small ones are wanted and one is large."""
        ...

    def opened(self, digest: Digest, coding: int, stored: bytes, *, small: bool = False) -> bytes:
        """A value that was read with another row. Raises TakesLong as `values`."""
        ...

    def close(self) -> None: ...


class SqlStore(ABC):
    """A store over a writer and a reader, which `_connect` makes."""

    shared = True

    def __init__(self, name: str, clock: Callable[[], float] | None, durability: Durability) -> None:
        """`name` is what messages call the store; without a clock, the database's counts for leases."""
        self._name = name
        self._durability = durability
        self._clock = clock or time.time
        self._writer: GroupWriter | None = None
        self._reader: Reader | None = None
        self._opening = threading.Lock()
        self._reading = threading.Lock()
        self._holders: set[str] = set()
        """Who has taken leases through this store."""
        self._last: dict[str, Pending] = {}
        """The last event of each journal on its way to the database."""
        self._fresh: dict[str, tuple[Pending, MemoEntry]] = {}
        """Memo entries on their way to the database."""
        self._fresh_most = _FRESH_MAX
        """How many there may be before those are let go of that have arrived."""
        self._ahead = ReadAhead()

    @abstractmethod
    def _connect(self) -> tuple[Transaction, Reader]:
        """Open the database, ready for use. Blocks. Raises StoreError."""

    def _now(self, _: Queries) -> float:
        """The time by which leases are judged, in Unix seconds."""
        return self._clock()

    @property
    def near(self) -> bool:
        return self._reader is not None and self._reader.near

    async def open(self) -> None:
        if self._writer is None:
            await anyio.to_thread.run_sync(self._open)

    def _open(self) -> None:
        with self._opening:
            if self._writer is None:
                transaction, self._reader = self._connect()
                self._writer = GroupWriter(transaction, self._name, self._durability)

    async def aclose(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close, writer)
        if writer.failure is not None:
            for holder in self._holders:  # what could not be given back
                leases.give_up(holder)
            self._holders.clear()
            if not writer.reported:
                raise writer.failure

    def _close(self, writer: GroupWriter) -> None:
        with self._reading:
            if self._reader is not None:
                self._reader.close()
            self._reader = None
        # Last, as the last connection to an SQLite file tidies up the write-ahead log.
        writer.close()

    # -- runs --------------------------------------------------------------------------

    async def create_run(self, run: RunRecord, values: Mapping[Digest, bytes]) -> None:
        check_run(run)
        row = rows.run_row(run)

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.ADD_RUN, row) == 0:
                raise InputError(f"run {run.id} exists already; choose another id")
            transaction.put_values(values)

        await self._opened().submit_aside(work).wait()

    async def add_run(
        self,
        run: RunRecord,
        journal: Sequence[Event],
        values: Mapping[Digest, bytes],
        mail: Sequence[Event] = (),
    ) -> None:
        check_run(run)
        given = [(run.id, each) for each in journal] + [(mailbox_of(run.id), each) for each in mail]
        for name, each in given:
            check_event(name, each)
        row = rows.run_row(run)
        named = [rows.event_row(name, each) for name, each in given]

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.ADD_RUN, row) == 0:
                raise InputError(f"run {run.id} exists already; choose another id")
            transaction.put_values(values)
            for each in named:
                transaction.write(sql.ADD_EVENT, each)

        await self._submit(work).wait()

    async def get_run(self, run_id: str) -> RunRecord | None:
        return await self._one(sql.GET_RUN, {"id": run_id}, rows.run_of)

    async def list_runs(
        self,
        *,
        agent: str | None = None,
        status: RunStatus | None = None,
        limit: int = 100,
        before: RunRecord | None = None,
    ) -> list[RunRecord]:
        query = sql.list_runs(agent is not None, status is not None, before is not None)
        wanted: dict[str, Any] = {"agent": agent, "status": status and status.value, "limit": limit}
        if before is not None:
            wanted |= {"before_at": before.created_at, "before_id": before.id}
        return await self._read(lambda reader: [rows.run_of(r) for r in reader.rows(query, wanted)])

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
    ) -> Pending:
        row = {
            "run_id": run_id,
            "status": status.value,
            "result": result,
            "error": error,
            "finished_at": finished_at,
        }

        def work(transaction: Transaction) -> None:
            _check_held(transaction, run_id, holder)
            if transaction.execute(sql.SET_STATUS, row) == 0:
                raise InputError(f"there is no run {run_id}")
            transaction.put_values(values)

        return self._submit(work)

    def revise_run(self, run: RunRecord) -> Pending:
        row = {
            "run_id": run.id,
            "program": run.program,
            "meta": json.dumps(run.meta),
            "deadline_at": run.deadline_at,
        }

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.REVISE_RUN, row) == 0:
                raise InputError(f"there is no run {run.id}")

        return self._submit(work)

    async def forks(self, run_id: str) -> list[RunRecord]:
        wanted = {"parent": run_id}
        return await self._read(lambda reader: [rows.run_of(r) for r in reader.rows(sql.GET_FORKS, wanted)])

    # -- the journal -------------------------------------------------------------------

    async def last_seq(self, run_id: str) -> int:
        await self._settled(run_id)
        wanted = {"run_id": run_id}
        return await self._glance(lambda reader: int((reader.row(sql.LAST_SEQ, wanted) or (0,))[0] or 0))

    async def _settled(self, run_id: str) -> None:
        """Return when a run's events are written; what other runs have on its way need not be."""
        last = self._last.get(run_id)
        if last is not None:
            await last.settled()

    def append(
        self,
        run_id: str,
        event: Event,
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
        *,
        holder: str | None = None,
    ) -> Pending:
        check_event(run_id, event)
        row = rows.event_row(run_id, event)
        writer = self._writer or self._opened()
        memo_row = None if memo is None else rows.memo_row(memo)

        def work(transaction: Transaction) -> None:
            _check_held(transaction, run_id, holder)
            if values:
                transaction.put_values(values)
            transaction.write(sql.ADD_EVENT, row)
            if memo_row is not None:
                transaction.write(sql.PUT_MEMO, memo_row)

        if event.source is _EXECUTED:
            self._ahead.drop()
        large = values is not None and sum(map(len, values.values())) > CHUNK
        pending = writer.submit_result(work, large=large)
        if len(self._last) > _FRESH_MAX:
            self._last = {run: last for run, last in self._last.items() if not last.done}
        self._last[run_id] = pending
        if memo is not None:
            if len(self._fresh) > self._fresh_most:
                self._fresh = {key: fresh for key, fresh in self._fresh.items() if not fresh[0].done}
                self._fresh_most = max(_FRESH_MAX, 2 * len(self._fresh))
            self._fresh[memo.key] = pending, memo
        return pending

    async def events(self, run_id: str, wanted: Callable[[str], bool] | None = None) -> list[Event]:
        def work(reader: Reader) -> list[Event]:
            run = {"run_id": run_id}
            if wanted is not None:
                kept = [seq for seq, path in reader.rows(sql.GET_PATHS, run) if wanted(path)]
                if len(kept) <= _FEW_EVENTS:
                    few = (reader.row(sql.GET_EVENT, {**run, "seq": seq}) for seq in kept)
                    return [rows.event_of(row) for row in few if row is not None]
            found = reader.rows(sql.GET_EVENTS, run)
            return [rows.event_of(row) for row in found if wanted is None or wanted(row[2])]

        def few(reader: Reader) -> list[Event]:
            last = reader.row(sql.LAST_SEQ, {"run_id": run_id})
            if last is None or last[0] > _FEW_EVENTS:
                raise TakesLong
            return work(reader)

        await self._settled(run_id)
        return await self._glance(few, work)

    async def events_after(self, run_id: str, seq: int) -> list[Event]:
        wanted = {"run_id": run_id, "seq": seq}
        await self._settled(run_id)
        return await self._read(
            lambda reader: [rows.event_of(row) for row in reader.rows(sql.GET_EVENTS_AFTER, wanted)],
            behind_writes=False,
        )

    def peek(self, run_id: str, *, path: str | None = None, kind: EventKind | None = None) -> list[Event]:
        query = sql.GET_EVENTS_AT if kind is None else sql.GET_EVENTS_OF
        wanted = {"run_id": run_id, "path": path, "kind": kind and kind.value}
        return self._read_now(lambda reader: [rows.event_of(row) for row in reader.rows(query, wanted)])

    async def result_paths(self, run_id: str) -> list[tuple[int, str]]:
        def work(reader: Reader) -> list[tuple[int, str]]:
            return [(seq, path) for seq, path in reader.rows(sql.GET_RESULT_PATHS, {"run_id": run_id})]

        return await self._read(work)

    async def values(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        def work(reader: Reader) -> dict[Digest, bytes]:
            return dict(reader.values(digests))

        if len(digests) <= _FEW_VALUES:
            found = await self._glance(lambda reader: dict(reader.values(digests, small=reader.near)), work)
        else:
            found = await self._read(work, behind_writes=False)
        # What an address names never changes: only what is missing can be on its way.
        if len(found) < len(set(digests)):
            found = await self._read(work)
        return found

    def values_now(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        def work(reader: Reader) -> dict[Digest, bytes]:
            found: dict[Digest, bytes] = {}
            with suppress(TakesLong):
                for digest, data in reader.values(digests, small=True):
                    found[digest] = data
                    if len(found) * CHUNK > _MUCH and sum(map(len, found.values())) > _MUCH:
                        break
            return found if digests[0] in found else found | dict(reader.values(digests[:1]))

        if self.near:
            return self._read_now(work)
        # A server is asked by an event loop of its own, which needs a thread without another one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._read_now, work).result()

    async def memo(self, key: str) -> MemoEntry | None:
        # It does not wait for appends that concern other keys.
        entry = self._on_its_way(key)
        if entry is None:
            row = await self._glance(lambda reader: reader.row(sql.GET_MEMO, {"key": key}))
            entry = None if row is None else rows.memo_of(row)
        return self._in_force(entry)

    async def shared_result(self, key: str, *, ahead: bool = False) -> tuple[MemoEntry, bytes] | None:
        # The hot path of reads.
        entry = self._on_its_way(key) if key in self._fresh else None
        if entry is not None:
            found = await self.values([entry.value]) if self._in_force(entry) else {}
            return (entry, found[entry.value]) if entry.value in found else None
        known = self._ahead.take(key) if ahead else None
        if known is not None:
            return (known.entry, known.data) if self._in_force(known.entry) else None

        def work(reader: Reader, small: bool = False) -> tuple[MemoEntry, bytes] | None:
            row = reader.row(sql.GET_SHARED, {"key": key})
            entry = None if row is None else self._in_force(rows.memo_of(row[:-2]))
            if row is None or entry is None:
                return None
            return entry, reader.opened(entry.value, *row[-2:], small=small)

        def with_others(reader: Reader) -> tuple[MemoEntry, bytes] | None:
            several = reader.rows(sql.GET_SHARED_AHEAD, self._ahead.wanted(key))
            asked = self._ahead.keep(key, (_found(reader, row) for row in several))
            return None if asked is None or not self._in_force(asked.entry) else (asked.entry, asked.data)

        at_once = with_others if ahead and self.near else lambda reader: work(reader, reader.near)
        return await self._glance(at_once, work)

    def _on_its_way(self, key: str) -> MemoEntry | None:
        """A memo entry that the database may not have yet."""
        pending, entry = self._fresh.get(key, (None, None))
        if pending is not None and pending.done:
            del self._fresh[key]
            return None
        return entry

    def _in_force(self, entry: MemoEntry | None) -> MemoEntry | None:
        expired = entry is not None and entry.expires_at is not None and entry.expires_at <= self._clock()
        return None if expired else entry

    async def memos(self, prefix: str = "", limit: int = 100) -> list[MemoEntry]:
        # In an encrypted store the database cannot tell how a key begins.
        wanted = {"limit": limit if not prefix else _ALL}

        def work(reader: Reader) -> list[MemoEntry]:
            entries = map(rows.memo_of, reader.rows(sql.LIST_MEMO, wanted))
            return [each for each in entries if each.key.startswith(prefix)][:limit]

        return await self._read(work)

    async def collect(self, run_ids: Sequence[str]) -> Collected:
        pending = self._submit(lambda transaction: collect(transaction, run_ids, self._now(transaction)))
        await pending.wait()
        self._fresh.clear()
        self._ahead.drop()
        found: Collected = pending.result
        return found

    async def forget(self, key: str) -> bool:
        self._fresh.pop(key, None)
        pending = self._submit(lambda transaction: transaction.execute(sql.DROP_MEMO, {"key": key}))
        await pending.wait()
        self._ahead.drop()
        return bool(pending.result)

    async def profile(self, agent: str) -> str | None:
        last = self._opened().last
        if last is not None:
            await last.settled()
        found = await self._glance(lambda reader: reader.row(sql.GET_PROFILE, {"agent": agent}))
        return None if found is None else str(found[0])

    def save_profile(self, agent: str, profile: str) -> Pending:
        row = {"agent": agent, "profile": profile}
        # As a result, it can wait for what comes after it: the run's end.
        return self._opened().submit_result(lambda transaction: transaction.execute(sql.PUT_PROFILE, row))

    # -- leases ------------------------------------------------------------------------

    async def acquire_lease(self, run_id: str, holder: str, ttl: float) -> Lease:
        self._take_up(holder)
        return await self._lease(run_id, lambda old, now: leases.granted(old, run_id, holder, ttl, now))

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        self._take_up(lease.holder)
        return await self._lease(lease.run_id, lambda old, now: leases.renewed(old, lease, ttl, now))

    def _take_up(self, holder: str) -> None:
        self._holders.add(holder)
        leases.take_up(holder)

    async def _lease(self, run_id: str, decide: Callable[[Lease | None, float], Lease]) -> Lease:
        free = rows.lease_row(Lease(run_id, "", 0.0))

        def work(transaction: Transaction) -> Lease:
            # A row must be there to be held, so that of two processes one waits for the other.
            added = transaction.execute(sql.ADD_LEASE, free) > 0
            row = transaction.row(sql.HOLD_LEASE, {"run_id": run_id})
            recorded = None if added or row is None else rows.lease_of(row)
            new = decide(recorded, self._now(transaction))
            transaction.held.clear()
            transaction.execute(sql.PUT_LEASE, rows.lease_row(new))
            return new

        pending = self._opened().submit_aside(work)
        await pending.wait()
        lease: Lease = pending.result
        return lease

    async def release_lease(self, lease: Lease) -> None:
        row = {"run_id": lease.run_id, "holder": lease.holder}
        # Behind all results, which without the lease would be refused.
        await self._submit(lambda transaction: transaction.execute(sql.DROP_LEASE, row)).wait()
        self._holders.discard(lease.holder)

    async def lease_of(self, run_id: str) -> Lease | None:
        def work(reader: Reader) -> Lease | None:
            row = reader.row(sql.GET_LEASE, {"run_id": run_id})
            lease = None if row is None else rows.lease_of(row)
            return lease if leases.in_force(lease, self._now(reader)) else None

        # Who takes a lease waits until it is written: nothing on its way concerns the answer.
        return await self._glance(work)

    # -- how it is done ----------------------------------------------------------------

    def _submit(self, work: Work) -> Pending:
        return self._opened().submit(work)

    def _opened(self) -> GroupWriter:
        if self._writer is None:
            raise StoreError(f"{self._name}: it is closed; open it first")
        return self._writer

    async def _one(
        self, query: Statement, wanted: Row, make: Callable[[Any], T], behind_writes: bool = True
    ) -> T | None:
        def work(reader: Reader) -> T | None:
            row = reader.row(query, wanted)
            return None if row is None else make(row)

        return await self._read(work, behind_writes)

    async def _read(self, work: Callable[[Reader], T], behind_writes: bool = True) -> T:
        last = self._opened().last
        if behind_writes and last is not None:
            await last.settled()
        return await anyio.to_thread.run_sync(self._read_now, work)

    async def _glance(self, work: Callable[[Reader], T], otherwise: Callable[[Reader], T] | None = None) -> T:
        """Read a row or few, not behind writes: on the spot where that takes less than changing threads.

        Args:
            otherwise: reads them where `work` found that they take long.
        """
        self._opened()
        reader = self._reader
        if reader is not None and reader.near and self._reading.acquire(blocking=False):
            try:
                return self._looked(reader, work)
            except TakesLong:
                pass
            finally:
                self._reading.release()
        return await self._read(otherwise or work, behind_writes=False)

    def _read_now(self, work: Callable[[Reader], T]) -> T:
        with self._reading:
            if self._reader is None:
                raise StoreError(f"{self._name}: it is closed; open it first")
            return self._looked(self._reader, work)

    def _looked(self, reader: Reader, work: Callable[[Reader], T]) -> T:
        try:
            return reader.read(work)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._name}: a recorded row is damaged ({type(error).__name__}: {error}). "
                "What can be saved: agentvm doctor --store URL"
            ) from error


def _found(reader: Reader, row: Sequence[Any]) -> Found:
    """From a row of `GET_SHARED_AHEAD`."""
    *columns, coding, stored, number = row
    entry = rows.memo_of(tuple(columns))
    return Found(number, entry, reader.opened(entry.value, coding, stored, small=True))


def _check_held(transaction: Transaction, run_id: str, holder: str | None) -> None:
    """Raises RunLeased if there must be a holder of the run's lease and it is not this one.

    Looked up once in a transaction, and kept from changing until its end.
    """
    if holder is None or transaction.held.get(run_id) == holder:
        return
    row = transaction.row(sql.HOLD_LEASE, {"run_id": run_id})
    leases.check_held(None if row is None else rows.lease_of(row), run_id, holder)
    transaction.held[run_id] = holder
