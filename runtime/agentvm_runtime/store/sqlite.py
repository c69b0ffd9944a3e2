"""The SQLite store: a writer thread with group commit, and reads beside it.

Write-ahead log, so that reads and writes do not wait for each other, and a
sync at every commit, so that what is acknowledged survives a power cut.
Reads see all that was appended before them through the same store.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from agentvm_compiler.errors import InputError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest, Event, Lease, MemoEntry, RunRecord, RunStatus

from . import leases, rows
from . import statements as sql
from .checks import check_event
from .database import connect, explain, prepare
from .group import GroupWriter, Pending, Transaction, Work

T = TypeVar("T")
_FRESH_MAX = 1024


class SqliteStore:
    """Runs in one file; any number of processes may use it at once."""

    def __init__(
        self, path: Path, *, synchronous: str = "FULL", clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._synchronous = synchronous
        self._clock = clock
        self._writer: GroupWriter | None = None
        self._reader: sqlite3.Connection | None = None
        self._opening = threading.Lock()
        self._reading = threading.Lock()
        self._fresh: dict[str, tuple[Pending, MemoEntry]] = {}
        """Memo entries on their way to the database."""

    async def open(self) -> None:
        if self._writer is None:
            await anyio.to_thread.run_sync(self._open)

    def _open(self) -> None:
        with self._opening:
            if self._writer is None:
                self._start()

    def _start(self) -> None:
        connection = prepare(self.path, self._synchronous)
        try:
            self._reader = connect(self.path, self._synchronous)
            self._reader.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            connection.close()
            raise explain(error, self.path, "read it") from error
        self._writer = GroupWriter(connection, self.path)

    async def aclose(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close, writer)
        if writer.failure is not None and not writer.reported:
            raise writer.failure

    def _close(self, writer: GroupWriter) -> None:
        with self._reading:
            if self._reader is not None:
                self._reader.close()
            self._reader = None
        # Last, as the last connection to close tidies up the write-ahead log.
        writer.close()

    async def create_run(self, run: RunRecord, values: Mapping[Digest, bytes]) -> None:
        row = rows.run_row(run)

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.ADD_RUN, row).rowcount == 0:
                raise InputError(f"run {run.id} exists already; choose another id")
            transaction.put_values(values)

        await self._submit(work).wait()

    async def get_run(self, run_id: str) -> RunRecord | None:
        return await self._one(sql.GET_RUN, {"id": run_id}, rows.run_of)

    async def list_runs(
        self, *, agent: str | None = None, status: RunStatus | None = None, limit: int = 100
    ) -> list[RunRecord]:
        query = sql.list_runs(agent is not None, status is not None)
        wanted = {"agent": agent, "status": status and status.value, "limit": limit}
        return await self._read(lambda c: [rows.run_of(r) for r in c.execute(query, wanted)])

    def set_status(
        self,
        run_id: str,
        status: RunStatus,
        *,
        result: Digest | None = None,
        error: Digest | None = None,
        finished_at: float | None = None,
        values: Mapping[Digest, bytes] | None = None,
    ) -> Pending:
        row = {
            "run_id": run_id,
            "status": status.value,
            "result": result,
            "error": error,
            "finished_at": finished_at,
        }

        def work(transaction: Transaction) -> None:
            if transaction.execute(sql.SET_STATUS, row).rowcount == 0:
                raise InputError(f"there is no run {run_id}")
            transaction.put_values(values)

        return self._submit(work)

    def append(
        self,
        run_id: str,
        event: Event,
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
    ) -> Pending:
        check_event(run_id, event)
        row = rows.event_row(run_id, event)
        memo_row = None if memo is None else rows.memo_row(memo)

        def work(transaction: Transaction) -> None:
            if values:
                transaction.put_values(values)
            transaction.execute(sql.ADD_EVENT, row)
            if memo_row is not None:
                transaction.execute(sql.PUT_MEMO, memo_row)

        pending = self._submit(work)
        if memo is not None:
            if len(self._fresh) > _FRESH_MAX:
                self._fresh = {key: fresh for key, fresh in self._fresh.items() if not fresh[0].done}
            self._fresh[memo.key] = pending, memo
        return pending

    async def events(self, run_id: str) -> list[Event]:
        wanted = {"run_id": run_id}
        return await self._read(lambda c: [rows.event_of(r) for r in c.execute(sql.GET_EVENTS, wanted)])

    async def values(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        def work(connection: sqlite3.Connection) -> dict[Digest, bytes]:
            found = {}
            for digest in digests:
                row = connection.execute(sql.GET_VALUE, {"digest": digest}).fetchone()
                if row is not None:
                    found[digest] = rows.unpack(*row)
            return found

        return await self._read(work)

    async def memo(self, key: str) -> MemoEntry | None:
        # The hot path of reads: it does not wait for appends that concern other keys.
        pending, entry = self._fresh.get(key, (None, None))
        if pending is None or pending.done:
            self._fresh.pop(key, None)
            entry = await self._one(sql.GET_MEMO, {"key": key}, rows.memo_of, behind_writes=False)
        if entry is not None and entry.expires_at is not None and entry.expires_at <= self._clock():
            return None
        return entry

    async def profile(self, agent: str) -> str | None:
        return await self._one(sql.GET_PROFILE, {"agent": agent}, lambda row: str(row[0]))

    def save_profile(self, agent: str, profile: str) -> Pending:
        row = {"agent": agent, "profile": profile}
        return self._submit(lambda transaction: transaction.execute(sql.PUT_PROFILE, row))

    async def acquire_lease(self, run_id: str, holder: str, ttl: float) -> Lease:
        return await self._lease(run_id, lambda old, now: leases.granted(old, run_id, holder, ttl, now))

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        return await self._lease(lease.run_id, lambda old, now: leases.renewed(old, lease, ttl, now))

    async def _lease(self, run_id: str, decide: Callable[[Lease | None, float], Lease]) -> Lease:
        def work(transaction: Transaction) -> Lease:
            row = transaction.execute(sql.GET_LEASE, {"run_id": run_id}).fetchone()
            new = decide(None if row is None else rows.lease_of(row), self._clock())
            transaction.execute(sql.PUT_LEASE, rows.lease_row(new))
            return new

        pending = self._submit(work)
        await pending.wait()
        lease: Lease = pending.result
        return lease

    async def release_lease(self, lease: Lease) -> None:
        row = {"run_id": lease.run_id, "holder": lease.holder}
        await self._submit(lambda transaction: transaction.execute(sql.DROP_LEASE, row)).wait()

    async def lease_of(self, run_id: str) -> Lease | None:
        lease = await self._one(sql.GET_LEASE, {"run_id": run_id}, rows.lease_of)
        return lease if leases.in_force(lease, self._clock()) else None

    def _submit(self, work: Work) -> Pending:
        return self._opened().submit(work)

    def _opened(self) -> GroupWriter:
        if self._writer is None:
            raise StoreError(f"store {self.path}: it is closed; open it first")
        return self._writer

    async def _one(
        self, query: str, wanted: dict[str, Any], make: Callable[[Any], T], behind_writes: bool = True
    ) -> T | None:
        def work(connection: sqlite3.Connection) -> T | None:
            row = connection.execute(query, wanted).fetchone()
            return None if row is None else make(row)

        return await self._read(work, behind_writes)

    async def _read(self, work: Callable[[sqlite3.Connection], T], behind_writes: bool = True) -> T:
        last = self._opened().last
        if behind_writes and last is not None:
            await last.settled()
        return await anyio.to_thread.run_sync(self._read_now, work)

    def _read_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._reading:
            if self._reader is None:
                raise StoreError(f"store {self.path}: it is closed; open it first")
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                raise explain(error, self.path, "read it") from error
