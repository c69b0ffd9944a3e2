"""Floors: the least that what AgentVM stands on takes for the same, on the same disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .figures import Bench, Found, Place, Taken, Watch

ROW = "x" * 150
"""As long as an event of the journal."""


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    """Bare SQLite as the journal uses it, a commit safe from a power cut when it returns."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (run TEXT, seq INT, body TEXT, PRIMARY KEY (run, seq))")
    try:
        yield connection
    finally:
        connection.close()


def insert(connection: sqlite3.Connection, first: int, count: int, body: str = ROW) -> None:
    """So many rows in one commit."""
    connection.execute("BEGIN IMMEDIATE")
    for seq in range(first, first + count):
        connection.execute("INSERT INTO rows VALUES ('run', ?, ?)", (seq, body))
    connection.execute("COMMIT")


def used(path: Path) -> int:
    """Bytes of all rows and indexes of a SQLite database, without what its pages have left over."""
    if not path.exists():
        return 0
    with sqlite3.connect(path) as connection:
        try:
            query = "SELECT sum(pgsize - unused) FROM dbstat"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # SQLite may be built without dbstat
            pages, size = (
                connection.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "page_size")
            )
            return int(pages * size)


def sqlite_rows(count: int, *, commit: int) -> Bench:
    """Time for a row, so many rows a commit."""

    async def bench(place: Place) -> Found:
        with database(place.folder) as connection:
            watch = Watch()
            for first in range(0, count, commit):
                insert(connection, first, min(commit, count - first))
            return {"each": watch.each(count)}

    return bench


def sqlite_size(count: int, *, once: int = 0, each: int = 0) -> Bench:
    """Megabytes of so many rows, with one value of `once` bytes and one of `each` bytes a row."""

    async def bench(place: Place) -> Found:
        with database(place.folder) as connection:
            insert(connection, -1, 1, "x" * once)
            insert(connection, 0, count, ROW + "x" * each)
        return {"size": Taken((place.folder / "floor.db").stat().st_size / 1e6)}

    return bench


def point_reads(count: int, *, reads: int) -> Bench:
    """Time to find that many rows by their keys."""

    async def bench(place: Place) -> Found:
        with database(place.folder) as connection:
            insert(connection, 0, count)
            watch = Watch()
            for number in range(count):
                for _ in range(reads):
                    connection.execute(
                        "SELECT * FROM rows WHERE run = 'run' AND seq = ?", (number,)
                    ).fetchone()
            return {"each": watch.each(count)}

    return bench


def asyncio_tasks(count: int) -> Bench:
    """Time to make a task that does nothing and to await it."""

    async def nothing() -> None: ...

    async def bench(_: Place) -> Found:
        watch = Watch()
        for _each in range(count):
            await asyncio.create_task(nothing())
        return {"each": watch.each(count)}

    return bench
