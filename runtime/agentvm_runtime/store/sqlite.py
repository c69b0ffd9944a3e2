"""The SQLite store: runs in one file, which any number of processes may use at once.

Write-ahead log, so that reads and writes do not wait for each other, and a
sync at every commit, so that what is acknowledged survives a power cut.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest

from . import rows
from . import statements as sql
from .database import connect, explain, is_busy, prepare
from .durability import DEFAULT, Durability
from .group import Row
from .sql import SqlStore
from .statements import Statement

T = TypeVar("T")
_KNOWN_MAX = 65_536
"""Digests remembered as stored."""


class SqliteStore(SqlStore):
    """Runs in one file."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "FULL",
        durability: Durability = DEFAULT,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(f"store {path}", clock, durability)
        self.path = path
        self._synchronous = synchronous

    def _connect(self) -> tuple[SqliteTransaction, SqliteReader]:
        connection = prepare(self.path, self._synchronous)
        try:
            reader = connect(self.path, self._synchronous)
            reader.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            connection.close()
            raise explain(error, self.path, "read it") from error
        return SqliteTransaction(connection, self.path), SqliteReader(reader, self.path)


class SqliteTransaction:
    """The writing connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self._execute = connection.execute
        self._known: OrderedDict[Digest, None] = OrderedDict()
        self._new: dict[Digest, None] = {}
        self._version: int | None = None

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._execute(statement.sqlite, row).fetchone()
        return found

    def execute(self, statement: Statement, row: Row) -> int:
        return self._execute(statement.sqlite, row).rowcount

    def write(self, statement: Statement, row: Row) -> None:
        self._execute(statement.sqlite, row)

    def put_values(self, values: Mapping[Digest, bytes] | None) -> None:
        for digest, data in (values or {}).items():
            if digest in self._known:
                self._known.move_to_end(digest)
            elif digest not in self._new:
                coding, stored = rows.pack(data)
                self._execute(sql.ADD_VALUE.sqlite, {"digest": digest, "coding": coding, "data": stored})
                self._new[digest] = None

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._new.clear()
        # Another connection has written: it may have removed values nothing referred to yet.
        (version,) = self._execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._known.clear()
            self._version = version

    def commit(self) -> None:
        self._execute("COMMIT")
        self._known.update(self._new)
        while len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    def rollback(self) -> None:
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # what made it necessary says more
                self.connection.rollback()

    def is_busy(self, error: BaseException) -> bool:
        return is_busy(error)

    def explain(self, error: BaseException, doing: str) -> StoreError:
        return explain(error, self._path, doing)

    def close(self) -> None:
        self.connection.close()


class SqliteReader:
    """The reading connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def read(self, work: Callable[[SqliteReader], T]) -> T:
        try:
            return work(self)
        except sqlite3.Error as error:
            raise explain(error, self._path, "read it") from error

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._connection.execute(statement.sqlite, row).fetchone()
        return found

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        return self._connection.execute(statement.sqlite, row).fetchall()

    def values(self, digests: Sequence[Digest]) -> Sequence[Any]:
        found = (self.row(sql.GET_VALUE, {"digest": digest}) for digest in digests)
        return [row for row in found if row is not None]

    def close(self) -> None:
        self._connection.close()
