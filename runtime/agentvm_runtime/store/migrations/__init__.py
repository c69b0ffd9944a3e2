"""Migrations: how a database of an older AgentVM becomes one of this version.

Each is an Alembic revision under `versions/`, numbered as the schema version it
leads to. Alembic only writes the statements; whoever opens the database
executes them, in the transaction in which it found the older version: a
database is migrated as a whole or stays as it was. The version itself is in the
table `meta`, so that a database of this version opens without Alembic.

A change of `schema.py` needs a revision here, a higher `SCHEMA_VERSION`, and a
stored database of the version before (`tests/contract/schemas`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentvm_runtime.store.schema import SCHEMA_VERSION


def statements(found: int, dialect: Any) -> Iterator[str]:
    """What makes a database of schema version `found` one of this version, in order.

    Args:
        dialect: SQLAlchemy's, of the database.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent))
    wanted, known = revision(SCHEMA_VERSION), revision(found)
    for each in reversed(list(script.iterate_revisions(wanted, known))):
        written = _Statements()
        options = {"as_sql": True, "output_buffer": written}
        context = MigrationContext.configure(dialect=dialect, opts=options)
        with Operations.context(context):
            each.module.upgrade()
        yield from written.texts


def revision(version: int) -> str:
    """Alembic's name for the schema version."""
    return f"{version:04}"


class _Statements:
    """A file that Alembic writes to, one statement at a time."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text.strip())

    def flush(self) -> None:
        pass
