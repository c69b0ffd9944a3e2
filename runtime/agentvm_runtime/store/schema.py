"""The schema, once, for every database: SQLAlchemy Core tables.

Nothing here is particular to SQLite. `SCHEMA_VERSION` grows with every change
of a table, which also needs a migration (`migrations/`): a store migrates older
databases, and refuses those newer than itself.
"""

from __future__ import annotations

import logging

from sqlalchemy import (
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

from agentvm_runtime.errors import StoreVersionError

logger = logging.getLogger("agentvm.store")

SCHEMA_VERSION = 5


OLDEST_VERSION = 1
"""The oldest version that can be migrated to this one."""


def is_older(name: str, found: int) -> bool:
    """Whether the database called `name` must be migrated before it is used.

    Raises:
        StoreVersionError: it cannot be: it is newer, or too old.
    """
    if found > SCHEMA_VERSION:
        raise StoreVersionError(
            f"{name}: it has schema version {found}, this AgentVM knows "
            f"versions up to {SCHEMA_VERSION}. Upgrade AgentVM: pip install --upgrade agentvm"
        )
    if found < OLDEST_VERSION:
        raise StoreVersionError(
            f"{name}: it has schema version {found}, too old for this AgentVM, which migrates "
            f"versions from {OLDEST_VERSION} on. Finish its runs with the version that wrote it, "
            f"or choose another --store."
        )
    return found < SCHEMA_VERSION


def tell_migrated(name: str, found: int) -> None:
    """Say in the log that a database was migrated, if it was."""
    if found < SCHEMA_VERSION:
        logger.info("%s: migrated from schema version %d to %d", name, found, SCHEMA_VERSION)


# How a column is sealed in an encrypted store (`sealing.py`): digests and keys, and other text.
NAME = {"sealed": "name"}
TEXT = {"sealed": "text"}

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("agent", String, nullable=False),
    Column("program", String, nullable=False),
    Column("inputs", String, nullable=False, info=NAME),
    Column("created_at", Double, nullable=False),
    Column("status", String, nullable=False),
    Column("deadline_at", Double),
    Column("finished_at", Double),
    Column("result", String, info=NAME),
    Column("error", String, info=NAME),
    Column("parent", String),
    Column("meta", Text, nullable=False, info=TEXT),
    Index("runs_by_time", "created_at", "id"),
    Index("runs_by_agent", "agent", "created_at"),
    Index("runs_by_parent", "parent"),
    Index("runs_by_status", "status", "created_at", "id"),
)

events = Table(
    "events",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("path", String, nullable=False),
    Column("site", String, nullable=False),
    Column("node", String, nullable=False),
    Column("key", String, nullable=False, info=NAME),
    Column("value", String, info=NAME),
    Column("source", String, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("detail", Text, info=TEXT),
    # A fork looks up what its ancestors did, path by path as it gets there.
    Index("events_by_path", "run_id", "path"),
    # The journal is read by run, in order: keep it stored that way.
    sqlite_with_rowid=False,
)

values = Table(
    "values",
    metadata,
    Column("digest", String, primary_key=True),
    Column("coding", SmallInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("digest", String, primary_key=True, info=NAME),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("coding", SmallInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

roots = Table(
    "roots",
    metadata,
    # Filled and emptied by whoever collects values (`collecting.py`).
    Column("digest", String, primary_key=True, info=NAME),
)

memo = Table(
    "memo",
    metadata,
    Column("key", String, primary_key=True, info=NAME),
    Column("value", String, nullable=False, info=NAME),
    Column("run_id", String, nullable=False),
    Column("path", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
)

profiles = Table(
    "profiles",
    metadata,
    Column("agent", String, primary_key=True),
    Column("profile", Text, nullable=False, info=TEXT),
)

leases = Table(
    "leases",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("expires_at", Double, nullable=False),
)
