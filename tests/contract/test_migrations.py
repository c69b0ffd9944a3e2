"""Databases that older versions wrote, opened by this one."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agentvm_runtime.errors import StoreError, StoreVersionError
from agentvm_runtime.records import Digest, Event, EventKind, Lease, MemoEntry, RunRecord, RunStatus
from agentvm_runtime.store import migrations, open_store, statements
from agentvm_runtime.store.schema import OLDEST_VERSION, SCHEMA_VERSION
from agentvm_runtime.values import digest, encode

SCHEMAS = Path(__file__).parent / "schemas"
OLDER = range(OLDEST_VERSION, SCHEMA_VERSION)

INPUTS, RESULT = encode({"question": "why"}), encode("long " * 2000)
VALUE: Digest = digest(RESULT)


class Place:
    """A place of a kind, what was stored there, and SQL's view of it."""

    def __init__(self, url: str, execute: Callable[[str], Awaitable[list[Any]]], kind: str) -> None:
        self.url = url
        self.execute = execute
        self.kind = kind

    async def restore(self, version: int) -> None:
        """Make it the stored database of a version."""
        await self.execute((SCHEMAS / f"v{version}.{self.kind}.sql").read_text())

    async def version(self) -> str:
        [row] = await self.execute("SELECT value FROM meta WHERE name = 'schema_version'")
        return str(row[0])

    async def shape(self) -> list[str]:
        """Every column and index, as far as queries can tell."""
        if self.kind == "sqlite":
            tables = [t for (t,) in await self.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found = [f"{table}: {row}" for table in tables for row in await self._columns(table)]
            found += [str(row) for row in await self.execute("SELECT name, tbl_name FROM sqlite_master")]
            return sorted(found)
        columns = "table_name, column_name, data_type, is_nullable, column_default"
        of = "WHERE table_schema = current_schema()"
        found = [
            tuple(row) for row in await self.execute(f"SELECT {columns} FROM information_schema.columns {of}")
        ]
        indexes = await self.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()")
        return sorted(
            [str(tuple(row)) for row in columns] + [re.sub(r"test_\d+\.", "", row[0]) for row in indexes]
        )

    async def _columns(self, table: str) -> list[Any]:
        # By name: a migration can only add columns at the end.
        return [row[1:] for row in await self.execute(f'PRAGMA table_xinfo("{table}")')]


@pytest.fixture(params=["sqlite", "postgres"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Place]:
    """Makes places where nothing is yet."""
    if request.param == "sqlite":
        return lambda: _sqlite_place(tmp_path / f"runs{len(list(tmp_path.iterdir()))}.db")
    new: Callable[[], str] = request.getfixturevalue("postgres_url")
    return lambda: _postgres_place(new())


def _sqlite_place(path: Path) -> Place:
    async def execute(text: str) -> list[Any]:
        connection = sqlite3.connect(path)
        try:
            if text.count(";") > 1:
                connection.executescript(text)
                return []
            with connection:
                return connection.execute(text).fetchall()
        finally:
            connection.close()

    return Place(f"sqlite:///{path}", execute, "sqlite")


def _postgres_place(url: str) -> Place:
    import asyncpg

    server, _, schema = url.replace("+asyncpg", "").partition("schema=")

    async def execute(text: str) -> list[Any]:
        connection = await asyncpg.connect(server.rstrip("?&"), server_settings={"search_path": schema})
        try:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            if text.count(";") > 1:
                await connection.execute(text)
                return []
            found: list[Any] = await connection.fetch(text)
            return found
        finally:
            await connection.close()

    return Place(url, execute, "postgres")


@pytest.mark.parametrize("version", OLDER)
async def test_an_older_database_is_migrated_when_opened(
    new_place: Callable[[], Place], version: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All that was recorded is there, the log says what was done, and opening again does nothing."""
    place = new_place()
    await place.restore(version)
    caplog.set_level(logging.INFO, "agentvm.store")
    store = open_store(place.url, clock=lambda: 999.0)
    for _ in range(2):
        await store.open()
        assert await store.get_run("run-1") == RunRecord(
            "run-1",
            "agents:main",
            "hash",
            digest(INPUTS),
            100.0,
            RunStatus.COMPLETED,
            deadline_at=130.0,
            finished_at=3.0,
            result=VALUE,
            meta={"file": "agents.py"},
        )
        assert await store.events("run-1") == [
            Event(
                EventKind.DONE,
                "llm#1",
                site="llm#1",
                node="llm",
                key="k1",
                value=VALUE,
                started_at=1.5,
                finished_at=2.5,
                detail={"tokens": {"input": 3}},
                seq=1,
            )
        ]
        assert await store.values([VALUE, digest(INPUTS)]) == {VALUE: RESULT, digest(INPUTS): INPUTS}
        assert await store.memo("k1") == MemoEntry("k1", VALUE, "run-1", "llm#1", 1.0)
        assert await store.lease_of("run-1") == Lease("run-1", "elsewhere:7:x", 1000.0)
        await store.aclose()
    assert await place.version() == str(SCHEMA_VERSION)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].endswith(f"migrated from schema version {version} to {SCHEMA_VERSION}")


@pytest.mark.parametrize("version", OLDER)
async def test_a_migrated_database_is_like_a_new_one(new_place: Callable[[], Place], version: int) -> None:
    """Migrations and the schema's tables lead to the same columns and indexes."""
    new, old = new_place(), new_place()
    await old.restore(version)
    for place in (new, old):
        store = open_store(place.url)
        await store.open()
        await store.aclose()
    assert await old.shape() == await new.shape()


@pytest.mark.parametrize("version", OLDER)
async def test_a_migration_that_fails_changes_nothing(new_place: Callable[[], Place], version: int) -> None:
    """An older database that cannot be migrated is left as it was, and the error says why."""
    place = new_place()
    await place.restore(version)
    await place.execute(_OBSTACLES[version])
    before = await place.shape()
    with pytest.raises(StoreError, match=r"cannot open it.*already exists"):
        await open_store(place.url).open()
    assert await place.shape() == before
    assert await place.version() == str(version)


_OBSTACLES = {
    1: "CREATE TABLE profiles (theirs INTEGER)",
    2: "CREATE TABLE chunks (theirs INTEGER)",
    3: "CREATE TABLE roots (theirs INTEGER)",
    4: "CREATE INDEX events_by_path ON events (key)",
}
"""By version: what the migration to the next one trips over."""


@pytest.mark.parametrize(
    ("version", "says"),
    [(SCHEMA_VERSION + 1, "pip install --upgrade agentvm"), (0, "too old.*Finish its runs")],
)
async def test_what_cannot_be_migrated_is_refused(
    new_place: Callable[[], Place], version: int, says: str
) -> None:
    """A newer database, or one too old, is not touched, and the error says what to do."""
    place = new_place()
    store = open_store(place.url)
    await store.open()
    await store.aclose()
    await place.execute(f"UPDATE meta SET value = '{version}' WHERE name = 'schema_version'")
    with pytest.raises(StoreVersionError, match=rf"schema version {version}.*{says}"):
        await store.open()
    assert await place.version() == str(version)


def test_migrations_are_numbered_without_gaps() -> None:
    """Each is an Alembic revision, named by the version it leads to, and shipped with the package."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    found = [each.revision for each in script.walk_revisions()]
    assert found == [migrations.revision(n) for n in range(SCHEMA_VERSION, 0, -1)]


@pytest.mark.parametrize("version", [*OLDER, SCHEMA_VERSION])
async def test_what_is_asked_for_again_and_again_has_an_index(tmp_path: Path, version: int) -> None:
    """Runs of a status, which workers look for, and events of a path, which forks do; migrated or not."""
    place = _sqlite_place(tmp_path / "runs.db")
    if version < SCHEMA_VERSION:
        await place.restore(version)
    store = open_store(place.url)
    await store.open()
    await store.aclose()
    by_status, by_path = statements.list_runs(False, True), statements.GET_EVENTS_AT
    for query, index in ((by_status, "runs_by_status"), (by_path, "events_by_path")):
        [step] = await place.execute(f"EXPLAIN QUERY PLAN {re.sub(':[a-z_]+', '1', query.sqlite)}")
        assert f"USING INDEX {index}" in step[-1]


@pytest.mark.parametrize("kind", ["new", "up-to-date"])
def test_alembic_is_not_loaded_where_nothing_is_migrated(tmp_path: Path, kind: str) -> None:
    """Opening costs no more than it must."""
    program = (
        "import asyncio, sys; from agentvm_runtime.store import open_store;"
        "asyncio.run(open_store(sys.argv[1]).open());"
        "print([m for m in ('alembic', 'asyncpg', 'sqlalchemy.dialects.postgresql') if m in sys.modules])"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", program, str(tmp_path / "runs.db")]
    for _ in range(1 if kind == "new" else 2):
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths}
        )
    assert done.stdout.strip() == "[]"
