"""The PostgreSQL store: for runs that several hosts drive, list and resume.

Its tables live in a schema of their own (`agentvm` unless the URL says
`?schema=NAME`), so that a database may be shared with other programs. Leases
are judged by the server's clock. The writer's thread and readers each have a
connection and a private event loop, which runs only while they wait for the
server: works are the same synchronous functions as on SQLite.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from agentvm_compiler.errors import AgentVMError, ConfigError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest

from . import keeping, schema, sealing
from . import statements as sql
from .durability import DEFAULT, Durability
from .postgres_errors import explain, is_conflict, is_lost
from .sealing import Vault
from .sql import Queries, SqlStore
from .statements import Statement
from .transaction import PATIENCE, Row
from .url import PostgresUrl

T = TypeVar("T")
CONNECT_SECONDS = 15.0
COMMAND_SECONDS = 120.0
"""After which a statement counts as lost: the server's host may have vanished."""
_PAUSE = 0.05
"""Seconds between attempts while the server is away or others are in the way."""
_OPENING = 0x6167656E
"""The advisory lock under which the tables are looked at and made."""


class PostgresStore(SqlStore):
    """Runs in a schema of a PostgreSQL database."""

    def __init__(
        self,
        url: PostgresUrl,
        *,
        durability: Durability = DEFAULT,
        vault: Vault | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(f"store {url.name}", clock, durability)
        self._url = url
        self._vault = vault
        self._servers_clock = clock is None

    def _connect(self) -> tuple[PostgresTransaction, PostgresReader]:
        writer = Connection(self._url, self._vault)
        try:
            prepare(writer)
            return PostgresTransaction(writer), PostgresReader(Connection(self._url, self._vault))
        except BaseException:
            writer.close()
            raise

    def _now(self, source: Queries) -> float:
        if not self._servers_clock:
            return self._clock()
        row = source.row(sql.NOW, {})
        assert row is not None
        return float(row[0])


class Connection:
    """A connection used by one thread at a time, each call blocking it until the server has answered."""

    def __init__(self, url: PostgresUrl, vault: Vault | None) -> None:
        try:
            import asyncpg
        except ImportError:
            raise ConfigError(
                f"store {url.name}: the PostgreSQL driver is not installed: pip install 'agentvm[postgres]'"
            ) from None
        self.url = url
        self.vault = vault
        self._connect = asyncpg.connect
        self._loop = asyncio.new_event_loop()
        self._raw: Any = None
        try:
            self.reconnect()
        except Exception as error:
            self._loop.close()
            raise explain(error, url, "open it") from error

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    @property
    def raw(self) -> Any:
        """asyncpg's connection."""
        return self._raw

    @property
    def lost(self) -> bool:
        return self._raw is None or self._raw.is_closed()

    def reconnect(self) -> None:
        settings = {"search_path": self.url.schema, "application_name": "agentvm"}
        self._raw = self.run(
            self._connect(
                self.url.dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=COMMAND_SECONDS,
                server_settings=settings,
            )
        )

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        found = self.rows(statement, row)
        return tuple(found[0]) if found else None

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        found = self.raw_rows(statement, self.sealed(statement, row))
        vault = self.vault
        return found if vault is None else [vault.open(tuple(each), statement.opens) for each in found]

    def raw_rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        """As they are in the database."""
        text, names = statement.postgres
        found: Sequence[Any] = self.run(self._raw.fetch(text, *[row[name] for name in names]))
        return found

    def execute(self, statement: Statement, row: Row) -> int:
        text, names = statement.postgres
        row = self.sealed(statement, row)
        done = self.run(self._raw.execute(text, *[row[name] for name in names]))
        return int(done.rpartition(" ")[2])  # "INSERT 0 1", "UPDATE 1"

    def sealed(self, statement: Statement, row: Row) -> Row:
        return row if self.vault is None else self.vault.seal(row, statement.seals)

    def command(self, text: str) -> None:
        """A statement without parameters and rows."""
        self.run(self._raw.execute(text))

    def value(self, text: str, *given: str) -> Any:
        """The one value that a query gives."""
        return self.run(self._raw.fetchval(text, *given))

    def close(self) -> None:
        if self._loop.is_closed():
            return
        if not self.lost:
            with contextlib.suppress(Exception):  # it is given up in any case
                self.run(self._raw.close(timeout=CONNECT_SECONDS))
        self._loop.close()


class PostgresTransaction:
    """The writing connection. `write` gathers rows, so that a group costs a few messages in all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._values: dict[Digest, bytes] = {}
        self._writes: dict[Statement, list[Row]] = {}
        self._committing = False
        self.held: dict[str, str] = {}
        self.ends: dict[str, int] = {}

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        self._flush()
        return self._connection.row(statement, row)

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        self._flush()
        return self._connection.rows(statement, row)

    def alone(self) -> None:
        # Whoever writes values holds a weaker lock on the table until its end.
        self._flush()
        self._connection.command('LOCK TABLE "values" IN EXCLUSIVE MODE')

    def shrink(self) -> None:
        # The server's autovacuum gives the space back.
        self.ends.clear()  # of removed runs

    def execute(self, statement: Statement, row: Row) -> int:
        self._flush()
        return self._connection.execute(statement, row)

    def write(self, statement: Statement, row: Row) -> None:
        self._writes.setdefault(statement, []).append(row)

    def put_values(self, values: Mapping[Digest, bytes] | None) -> None:
        self._values.update(values or {})

    def begin(self) -> None:
        self._committing = False
        # To a run's journal only who has its lease writes, which each transaction sees to.
        self.ends = {run: last for run, last in self.ends.items() if run in self.held}
        self.held.clear()
        if self._connection.lost:
            self._connection.reconnect()
        self._connection.command("BEGIN")

    def commit(self) -> None:
        self._flush()
        transaction = self._connection.value("SELECT pg_current_xact_id_if_assigned()::text")
        self._committing = True
        try:
            self._connection.command("COMMIT")
        except Exception as error:
            if not is_lost(error) or not self._was_committed(transaction):
                raise

    def _was_committed(self, transaction: str | None) -> bool:
        """Ask the server, over a new connection, about a COMMIT that it did not answer."""
        deadline = time.monotonic() + PATIENCE
        while transaction is not None and time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                self._connection.reconnect()
                status = self._connection.value("SELECT pg_xact_status($1::text::xid8)", transaction)
                if status == "committed":
                    return True
                if status == "aborted":
                    self._committing = False  # it may be tried again
                    return False
            time.sleep(_PAUSE)
        return transaction is None  # nothing was written, or nobody knows

    def rollback(self) -> None:
        self._values.clear()
        self._writes.clear()
        self.ends.clear()
        with contextlib.suppress(Exception):  # what made it necessary says more
            if not self._connection.lost:
                self._connection.command("ROLLBACK")
        time.sleep(_PAUSE)

    def is_busy(self, error: BaseException) -> bool:
        # If it is not known whether COMMIT was done, writing again might write twice.
        return is_conflict(error) or (is_lost(error) and not self._committing)

    def explain(self, error: BaseException, doing: str) -> StoreError:
        return explain(error, self._connection.url, doing)

    def close(self) -> None:
        self._connection.close()

    def _flush(self) -> None:
        if self._values or self._writes:
            values, self._values = self._values, {}
            writes, self._writes = self._writes, {}
            self._connection.run(self._send(values, writes))

    async def _send(self, values: Mapping[Digest, bytes], writes: Mapping[Statement, list[Row]]) -> None:
        connection, vault = self._connection, self._connection.vault
        # In order, as processes that add the same values in different orders would block each other.
        stored = (each for digest in sorted(values) for each in keeping.writes(digest, values[digest], vault))
        for statement, group in itertools.groupby(stored, lambda each: each[0]):
            await self._send_rows(statement, (row for _, row in group))
        for statement, given in writes.items():
            await self._send_rows(statement, (connection.sealed(statement, row) for row in given))

    async def _send_rows(self, statement: Statement, given: Iterable[Row]) -> None:
        text, names = statement.postgres
        await self._connection.raw.executemany(text, ([row[name] for name in names] for row in given))


class PostgresReader:
    """The reading connection. What was lost is connected anew."""

    near = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.row = connection.row
        self.rows = connection.rows

    def read(self, work: Callable[[PostgresReader], T]) -> T:
        try:
            if self._connection.lost:
                self._connection.reconnect()
            try:
                return work(self)
            except Exception as error:
                if not is_lost(error):
                    raise
                self._connection.reconnect()
                return work(self)
        except StoreError:
            raise
        except Exception as error:
            raise explain(error, self._connection.url, "read it") from error

    def values(self, digests: Sequence[Digest], *, small: bool = False) -> Iterator[tuple[Digest, bytes]]:
        connection, vault = self._connection, self._connection.vault
        names = [digest if vault is None else vault.name(digest) for digest in digests]
        for row in connection.raw_rows(sql.GET_VALUES, {"digests": names}):
            yield keeping.read(row, connection.raw_rows, vault, small=small)

    def opened(self, digest: Digest, coding: int, stored: bytes, *, small: bool = False) -> bytes:
        connection, vault = self._connection, self._connection.vault
        name = digest if vault is None else vault.name(digest)
        return keeping.read((name, coding, stored), connection.raw_rows, vault, small=small)[1]

    def close(self) -> None:
        self._connection.close()


def prepare(connection: Connection) -> None:
    """Make the schema and tables, or migrate them, if need be.

    Raises:
        StoreError: it cannot be, and was left as it was.
        StoreVersionError: it is of a newer version, or of one too old.
    """
    try:
        connection.command("BEGIN")
        connection.command(f"SELECT pg_advisory_xact_lock({_OPENING})")
        found = _check_schema(connection)
        connection.command("COMMIT")
        schema.tell_migrated(f"store {connection.url.name}", found)
    except AgentVMError:
        raise
    except Exception as error:
        raise explain(error, connection.url, "open it") from error


def _check_schema(connection: Connection) -> int:
    """Make the tables, or migrate them, if need be. Returns the version that was found."""
    name = connection.url.schema
    found = connection.run(
        connection.raw.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", name)
    )
    tables = {table for (table,) in found}
    if not tables:
        quoted = name.replace('"', '""')
        connection.command(f'CREATE SCHEMA IF NOT EXISTS "{quoted}"')
        for text in sql.create("postgresql"):
            connection.command(text)
        connection.execute(sql.PUT_META, {"name": "schema_version", "value": str(schema.SCHEMA_VERSION)})
        if connection.vault is not None:
            connection.execute(sql.PUT_META, {"name": sealing.VARIABLE, "value": connection.vault.token()})
        return schema.SCHEMA_VERSION
    row = connection.row(sql.GET_META, {"name": "schema_version"}) if "meta" in tables else None
    if row is None:
        raise StoreError(
            f"store {connection.url.name}: the schema {name!r} has tables of another program. "
            f"Choose another one with ?schema=NAME; this one was left as it is."
        )
    version = int(row[0])
    if schema.is_older(f"store {connection.url.name}", version):
        for text in sql.migrate("postgresql", version):
            connection.command(text)
    token = connection.row(sql.GET_META, {"name": sealing.VARIABLE})
    sealing.check(f"store {connection.url.name}", token[0] if token else None, connection.vault)
    return version
