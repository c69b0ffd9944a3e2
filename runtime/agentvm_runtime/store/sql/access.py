"""How a store's database is reached: works go through one writer, reads go beside it.

*Works* (functions of a transaction) are done in the order they were submitted;
what reads says whether it goes behind all of them, or sees what is committed.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import anyio

from agentvm_runtime.errors import StoreError
from agentvm_runtime.store import leases
from agentvm_runtime.store.durability import Durability
from agentvm_runtime.store.group import GroupWriter
from agentvm_runtime.store.keeping import TakesLong
from agentvm_runtime.store.pending import Pending
from agentvm_runtime.store.statements import Statement
from agentvm_runtime.store.threads import in_thread
from agentvm_runtime.store.transaction import Row, Transaction, Work

from .reading import Queries, Reader

T = TypeVar("T")


class Access(ABC):
    """A writer and a reader, which `_connect` makes."""

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

    @abstractmethod
    def _connect(self) -> tuple[Transaction, Reader]:
        """Open the database, ready for use. Blocks. Raises StoreError."""

    def _now(self, _: Queries) -> float:
        """The time by which leases are judged, in Unix seconds."""
        return self._clock()

    @property
    def near(self) -> bool:
        return self._reader is not None and self._reader.near

    @property
    def full(self) -> bool:
        writer = self._writer
        return writer is not None and writer.full

    async def room(self) -> None:
        await self._opened().room()

    def block_for_room(self) -> None:
        self._opened().block_for_room()

    async def open(self) -> None:
        if self._writer is None:
            await in_thread(self._open)

    def _open(self) -> None:
        with self._opening:
            if self._writer is None:
                transaction, self._reader = self._connect()
                self._writer = GroupWriter(transaction, self._name, self._durability)

    async def aclose(self) -> None:
        writer, reader = self._writer, self._reader
        if writer is None:
            return
        self._writer = self._reader = None  # both now: it may be opened again while these are being closed
        with anyio.CancelScope(shield=True):
            await in_thread(partial(self._close, writer, reader))
        if writer.failure is not None:
            for holder in self._holders:  # what could not be given back
                leases.give_up(holder)
            self._holders.clear()
            if not writer.reported:
                raise writer.failure

    def _close(self, writer: GroupWriter, reader: Reader | None) -> None:
        with self._reading:
            if reader is not None:
                reader.close()
        # Last, as the last connection to an SQLite file tidies up the write-ahead log.
        writer.close()

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
        return await in_thread(partial(self._read_now, work))

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

    def _at_once(self, work: Callable[[Reader], T]) -> T:
        """Read while the event loop waits."""
        if self.near:
            return self._read_now(work)
        # A server is asked by an event loop of its own, which needs a thread without another one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._read_now, work).result()

    def _looked(self, reader: Reader, work: Callable[[Reader], T]) -> T:
        try:
            return reader.read(work)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._name}: a recorded row is damaged ({type(error).__name__}: {error}). "
                "What can be saved: agentvm doctor --store URL"
            ) from error
