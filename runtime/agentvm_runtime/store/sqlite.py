"""The SQLite store: runs in one file, which any number of processes may use at once.

Write-ahead log, so that reads and writes do not wait for each other, and a
sync at every commit, so that what is acknowledged survives a power cut.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest

from . import keeping
from . import statements as sql
from .database import connect, explain, is_busy, prepare
from .durability import DEFAULT, Durability
from .sealing import Vault
from .sql import SqlStore
from .statements import Statement
from .transaction import PATIENCE, Row

T = TypeVar("T")
_KNOWN_MAX = 65_536
"""Digests remembered as stored."""
_TOGETHER = 64
"""Values that are read by one statement."""


class SqliteStore(SqlStore):
    """Runs in one file."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "FULL",
        durability: Durability = DEFAULT,
        vault: Vault | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(f"store {path}", clock, durability)
        self.path = path
        self._synchronous = synchronous
        self._vault = vault

    def _connect(self) -> tuple[SqliteTransaction, SqliteReader]:
        connection = prepare(self.path, self._synchronous, self._vault)
        try:
            reader = connect(self.path, self._synchronous)
            reader.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            connection.close()
            raise explain(error, self.path, "read it") from error
        vault = self._vault
        return SqliteTransaction(connection, self.path, vault), SqliteReader(reader, self.path, vault)


class SqliteTransaction:
    """The writing connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path, vault: Vault | None) -> None:
        self._vault = vault
        self.connection = connection
        self._path = path
        self._execute = connection.execute
        self._known: OrderedDict[Digest, None] = OrderedDict()
        self._new: dict[Digest, None] = {}
        self._writes: dict[Statement, list[Row]] = {}
        self._version: int | None = None
        self.held: dict[str, str] = {}
        self.ends: dict[str, int] = {}

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        self._flush()
        if self._vault is not None:
            row = self._vault.seal(row, statement.seals)
        found: tuple[Any, ...] | None = self._execute(statement.sqlite, row).fetchone()
        return found if found is None or self._vault is None else self._vault.open(found, statement.opens)

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        self._flush()
        if self._vault is not None:
            row = self._vault.seal(row, statement.seals)
        found = self._execute(statement.sqlite, row).fetchall()
        vault = self._vault
        return found if vault is None else [vault.open(each, statement.opens) for each in found]

    def alone(self) -> None:
        """SQLite has one writer at a time."""

    def shrink(self) -> None:
        self._known.clear()
        self._new.clear()
        (free,) = self._execute("PRAGMA freelist_count").fetchone()
        for _ in range(free):  # one page each: the statement gives no rows, so it is stepped only once
            self._execute("PRAGMA incremental_vacuum(1)")

    def execute(self, statement: Statement, row: Row) -> int:
        self._forget()  # it may be about leases, or journals
        self._flush()
        if self._vault is not None:
            row = self._vault.seal(row, statement.seals)
        return self._execute(statement.sqlite, row).rowcount

    def write(self, statement: Statement, row: Row) -> None:
        known = self._writes.get(statement)
        if known is None:
            self._writes[statement] = [row]
        else:
            known.append(row)

    def _flush(self) -> None:
        vault = self._vault
        while self._writes:
            statement = next(iter(self._writes))
            given: Iterable[Row] = self._writes.pop(statement)
            if vault is not None:
                given = [vault.seal(row, statement.seals) for row in given]
            text, values = statement.sqlite_many
            self.connection.executemany(text, map(values, given))

    def put_values(self, values: Mapping[Digest, bytes] | None) -> None:
        for digest, data in (values or {}).items():
            if digest in self._known:
                self._known.move_to_end(digest)
            elif digest not in self._new:
                for statement, row in keeping.writes(digest, data, self._vault):
                    self._execute(statement.sqlite, row)
                self._new[digest] = None

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._new.clear()
        # Another connection has written: it may have removed values nothing referred to yet, or taken leases.
        (version,) = self._execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._known.clear()
            self._forget()
            self._version = version

    def commit(self) -> None:
        self._flush()
        self._execute("COMMIT")
        self._known.update(self._new)
        while len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    def rollback(self) -> None:
        self._forget()
        self._writes.clear()
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # what made it necessary says more
                self.connection.rollback()

    def _forget(self) -> None:
        self.held.clear()
        self.ends.clear()

    def is_busy(self, error: BaseException) -> bool:
        return is_busy(error)

    def explain(self, error: BaseException, doing: str) -> StoreError:
        return explain(error, self._path, doing)

    def close(self) -> None:
        self.connection.close()


@cache
def _values_among(count: int) -> str:
    """What gives the values of so many digests, in any order."""
    return sql.GET_VALUE.sqlite.replace("= :digest", f"IN ({', '.join('?' * count)})")


class SqliteReader:
    """The reading connection."""

    near = True

    def __init__(self, connection: sqlite3.Connection, path: Path, vault: Vault | None) -> None:
        self._vault = vault
        self._connection = connection
        self._path = path

    def read(self, work: Callable[[SqliteReader], T]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return work(self)
            except sqlite3.Error as error:
                # Rare with a write-ahead log: another process recovers it, or is the last to close it.
                if not is_busy(error) or time.monotonic() > deadline:
                    raise explain(error, self._path, "read it") from error
                time.sleep(0.005)

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        if self._vault is not None:
            row = self._vault.seal(row, statement.seals)
        found: tuple[Any, ...] | None = self._connection.execute(statement.sqlite, row).fetchone()
        return found if found is None or self._vault is None else self._vault.open(found, statement.opens)

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        if self._vault is None:
            return self._raw(statement, row)
        sealed = self._vault.seal(row, statement.seals)
        return [self._vault.open(found, statement.opens) for found in self._raw(statement, sealed)]

    def _raw(self, statement: Statement, row: Row) -> Sequence[Any]:
        return self._connection.execute(statement.sqlite, row).fetchall()

    def values(self, digests: Sequence[Digest], *, small: bool = False) -> Iterator[tuple[Digest, bytes]]:
        names = [each if self._vault is None else self._vault.name(each) for each in digests]
        for start in range(0, len(names), _TOGETHER):
            some = names[start : start + _TOGETHER]
            found = {row[0]: row for row in self._connection.execute(_values_among(len(some)), some)}
            for name in some:
                if name in found:
                    yield keeping.read(found[name], self._raw, self._vault, small=small)

    def opened(self, digest: Digest, coding: int, stored: bytes, *, small: bool = False) -> bytes:
        name = digest if self._vault is None else self._vault.name(digest)
        return keeping.read((name, coding, stored), self._raw, self._vault, small=small)[1]

    def close(self) -> None:
        self._connection.close()
