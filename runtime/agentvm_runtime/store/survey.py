"""Survey: what a database file holds, and how much of it can be read.

Looks at everything and changes nothing; works on damaged files, where it says
which runs are whole, of which a part is left, and which are gone.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentvm_compiler.errors import AgentVMError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.mailbox import is_mailbox, mailbox_of
from agentvm_runtime.records import Digest, Event, named

from . import keeping, rows, schema
from . import statements as sql
from .database import BUSY_MS, explain, prepare
from .sealing import VARIABLE, Vault, check
from .statements import Statement

_DAMAGES = 5
"""Lines of SQLite's own findings to keep."""
_TABLES = tuple(table.name for table in schema.metadata.sorted_tables)


@dataclass(slots=True)
class Survey:
    """What was found in a file."""

    damages: list[str] = field(default_factory=list)
    """What is wrong with it, if anything."""
    whole: list[str] = field(default_factory=list)
    """Runs of which all is there: they can be resumed and shown."""
    partly: dict[str, str] = field(default_factory=dict)
    """Runs of which something is there, and what is missing."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows that can be read, by table."""

    @property
    def summary(self) -> str:
        """In a sentence."""
        total = len(self.whole) + len(self.partly)
        runs = f"{total} run{'' if total == 1 else 's'}"
        if not self.damages:
            return runs
        parts = [f"{len(self.whole)} of {runs} can be read whole"]
        parts += [f"{run}: {missing}" for run, missing in self.partly.items()]
        return "; ".join([*parts, f"damage: {self.damages[0]}"])


def survey(path: Path, vault: Vault | None = None) -> Survey:
    """Look at a file. Raises StoreError if it is no database at all, ConfigError if it is of another key."""
    found = Survey()
    try:
        connection = _connect(path)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        # Fails on what is no database, and on what another program wrote.
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise StoreError(
                f"store {path}: it is damaged, and nothing in it can be read ({error})."
            ) from error
        raise explain(error, path, "read it") from error
    with contextlib.closing(connection):
        if not tables & set(_TABLES):
            return found
        look = _Look(connection, vault, found)
        look.at_pages()
        token = look.token()
        if token is not None or not found.damages:
            check(f"store {path}", token, vault)
        look.at_tables(tables)
        look.at_runs()
    return found


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that reads what there is, and writes nothing."""
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
    # First of all: of a file that is shorter than it says SQLite reads nothing, not even its list of tables,
    # unless this is on; then, what does not lie beyond the end.
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("PRAGMA query_only=ON")
    return connection


def save(path: Path, into: Path, vault: Vault | None = None) -> Survey:
    """Copy the runs of a file that are whole, with all they need, to a new one; the file stays as it is.

    Raises:
        StoreError: `into` exists, or cannot be written.
    """
    found = survey(path, vault)
    if into.exists():
        raise StoreError(f"{into} exists already: name a new file to save to")
    target = prepare(into, "FULL", None)
    source = _connect(path)
    with contextlib.closing(target), contextlib.closing(source):
        target.execute("BEGIN")
        for run in found.whole:
            _copy(source, target, "runs", "id = ?", run)
            mail = mailbox_of(run)
            _copy(source, target, "events", "run_id IN (?, ?)", run, mail)
            named = "value FROM events WHERE run_id IN (:run, :mail)"
            named += " UNION SELECT inputs FROM runs WHERE id = :run"
            named += (
                " UNION SELECT result FROM runs WHERE id = :run UNION SELECT error FROM runs WHERE id = :run"
            )
            for (digest,) in target.execute(f"SELECT {named}", {"run": run, "mail": mail}).fetchall():
                _copy(source, target, "values", "digest = ?", digest)
                _copy(source, target, "chunks", "digest = ?", digest)
        for name, condition in (("profiles", "agent = agent"), ("meta", "name <> 'schema_version'")):
            with contextlib.suppress(sqlite3.Error):  # useful, but no run needs them
                _copy(source, target, name, condition)
        target.execute("COMMIT")
    return found


def _copy(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, which: str, *given: str
) -> None:
    for row in source.execute(f'SELECT * FROM "{table}" WHERE {which}', given):
        marks = ", ".join("?" * len(row))
        target.execute(f'INSERT OR IGNORE INTO "{table}" VALUES ({marks})', row)


class _Look:
    """One look at an open database."""

    def __init__(self, connection: sqlite3.Connection, vault: Vault | None, found: Survey) -> None:
        self._connection = connection
        self._vault = vault
        self._found = found
        self._parents: dict[str, str | None] = {}
        self._intact: dict[str, bool] = {}
        """Values looked at, and whether they are as they were written."""

    def token(self) -> str | None:
        with contextlib.suppress(sqlite3.Error):
            for row in self._raw(sql.GET_META, {"name": VARIABLE}):
                return str(row[0])
        return None

    def at_pages(self) -> None:
        """What SQLite says of the file's structure."""
        try:
            said = [row[0] for row in self._connection.execute(f"PRAGMA quick_check({_DAMAGES})")]
        except sqlite3.Error as error:
            said = [str(error)]
        self._found.damages += [" ".join(str(each).split()) for each in said if each != "ok"]

    def at_tables(self, tables: set[str]) -> None:
        for name in _TABLES:
            if name not in tables:
                self._note(f"the table {name} is gone")
            with contextlib.suppress(sqlite3.Error):
                [(count,)] = self._connection.execute(f'SELECT count(*) FROM "{name}"')
                self._found.rows[name] = count

    def at_runs(self) -> None:
        runs: set[str] = set()
        for query in ("SELECT id FROM runs ORDER BY rowid", "SELECT DISTINCT run_id FROM events"):
            with contextlib.suppress(sqlite3.Error):  # what was read before it stays
                # A damaged page may give a row without an id: it is of no run that could be named.
                runs.update(row[0] for row in self._connection.execute(query) if isinstance(row[0], str))
        missing = {run: self._missing(run) for run in sorted(runs) if not is_mailbox(run)}
        for run in missing:
            lost = missing[run] or self._lost_ancestor(run, missing)
            if lost is None:
                self._found.whole.append(run)
            else:
                self._found.partly[run] = lost
                self._note(f"run {run}: {lost}")

    def _lost_ancestor(self, run: str, missing: Mapping[str, str | None]) -> str | None:
        """A fork needs what it was forked from."""
        seen = {run}
        parent = self._parents.get(run)
        while parent is not None and parent not in seen:
            if missing.get(parent, "lost") is not None:
                return f"it was forked from {parent}, which is not whole"
            seen.add(parent)
            parent = self._parents.get(parent)
        return None

    def _missing(self, run: str) -> str | None:
        """What cannot be read of a run."""
        wanted: list[Digest] = []
        try:
            [row] = self._readable(sql.GET_RUN, {"id": run})
            record = rows.run_of(row)
            self._parents[run] = record.parent
            wanted += [each for each in (record.inputs, record.result, record.error) if each is not None]
        except (AgentVMError, sqlite3.Error, ValueError, KeyError, TypeError):
            return "its own row is lost"
        for what, journal in (("journal", run), ("mailbox", mailbox_of(run))):
            events: list[Event] = []
            try:
                for row in self._readable(sql.GET_EVENTS, {"run_id": journal}):
                    events.append(rows.event_of(row))
            except (AgentVMError, sqlite3.Error, ValueError, KeyError, TypeError):
                return f"its {what} can be read up to event {len(events)}"
            if [event.seq for event in events] != list(range(1, len(events) + 1)):
                return f"its {what} has holes: {len(events)} events up to {events[-1].seq}"
            wanted += [name for event in events for name in named(event)]
        lost = sum(not self._is_intact(each) for each in dict.fromkeys(wanted))
        return f"{lost} of its {len(set(wanted))} values are lost" if lost else None

    def _is_intact(self, digest: Digest) -> bool:
        known = self._intact.get(digest)
        if known is None:
            known = self._intact[digest] = self._look_at(digest)
        return known

    def _look_at(self, digest: Digest) -> bool:
        name = digest if self._vault is None else self._vault.name(digest)
        try:
            [row] = self._raw(sql.GET_VALUE, {"digest": name})
            _, data = keeping.read(row, self._raw, self._vault)
        except (StoreError, sqlite3.Error, ValueError, TypeError):
            return False
        return len(data) > 4 and zlib.crc32(memoryview(data)[:-4]).to_bytes(4, "big") == data[-4:]

    def _raw(self, statement: Statement, row: keeping.Row) -> Sequence[Any]:
        return self._connection.execute(statement.sqlite, row).fetchall()

    def _readable(self, statement: Statement, row: keeping.Row) -> Iterator[tuple[Any, ...]]:
        """Row by row, up to the first that cannot be read."""
        vault = self._vault
        sealed = row if vault is None else vault.seal(row, statement.seals)
        for each in self._connection.execute(statement.sqlite, sealed):
            yield each if vault is None else vault.open(each, statement.opens)

    def _note(self, damage: str) -> None:
        if len(self._found.damages) < _DAMAGES:
            self._found.damages.append(damage)
