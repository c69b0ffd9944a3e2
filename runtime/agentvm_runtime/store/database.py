"""One SQLite file: opening it, its schema, and what its errors mean to a person."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from agentvm_runtime.errors import StoreError

from . import sealing
from . import statements as sql
from .schema import SCHEMA_VERSION, is_older, tell_migrated
from .sealing import Vault
from .transaction import PATIENCE

BUSY_MS = 5_000
"""How long SQLite itself waits for a lock before it says so."""

_INTACT = "What was recorded before is intact: resume the runs afterwards."
# By SQLite's primary result code: what is wrong, and what to do.
_CAUSES = {
    3: ("access is denied", "Check the permissions of the file and its folder."),
    8: ("it is read-only", "Make the file and its folder writable, or choose another --store."),
    10: ("the system reports an I/O error", f"Check the disk, its quota and file size limits. {_INTACT}"),
    11: (
        "the file is damaged",
        "Restore it from a backup. What can be saved: agentvm doctor --store sqlite:///FILE",
    ),
    13: ("the disk is full", f"Free some space. {_INTACT}"),
    14: ("it cannot be opened", "Check that the path is a file in a folder you may write to."),
    26: ("the file is not a database", "Choose another --store; this file was left as it is."),
}


def is_busy(error: BaseException) -> bool:
    """Whether another connection is in the way and trying again will help."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) and code is not None and code & 0xFF in (5, 6)


def explain(error: BaseException, path: Path, doing: str) -> StoreError:
    """A `StoreError` that says what, where and what to do next."""
    code = getattr(error, "sqlite_errorcode", None)
    if is_busy(error):
        cause = f"another process has kept it locked for {PATIENCE:.0f} s"
        remedy = f"Find it (fuser {path}) and end it."
    elif code is not None and code & 0xFF in _CAUSES:
        cause, remedy = _CAUSES[code & 0xFF]
        remedy = remedy.replace("FILE", str(path))
    elif isinstance(error, PermissionError):
        cause, remedy = _CAUSES[3]
    else:
        cause, remedy = str(error), "Check the path and the disk."
    return StoreError(f"store {path}: cannot {doing}: {cause} ({error}). {remedy}")


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection that may move between threads; transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    return connection


def prepare(path: Path, synchronous: str, vault: Vault | None) -> sqlite3.Connection:
    """Open a database for writing, with its folder and tables made, or migrated, if need be.

    Raises:
        StoreError: it cannot be, and was left as it was.
        ConfigError: it is encrypted with another key.
        StoreVersionError: it is of a newer version, or of one too old.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"store {path}: cannot make the folder {path.parent}: {error.strerror}. "
            f"Choose another --store or make the folder yourself."
        ) from error
    if path.is_dir():
        raise StoreError(f"store {path}: it is a folder. Name a file in it, such as {path / 'agentvm.db'}")
    try:
        connection = connect(path, synchronous)
    except sqlite3.Error as error:
        raise explain(error, path, "open it") from error
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if connection.execute("PRAGMA page_count").fetchone() == (0,):
                # Lets pages that are freed later be given back. Heeded while the file is empty, and
                # written each time it is said, which a full disk would refuse.
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            # Changing the mode does not wait for locks as statements do: two processes may open at once.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            found = _check_schema(connection, path, vault)
            connection.execute("COMMIT")
            tell_migrated(f"store {path}", found)
            return connection
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.rollback()
            if not is_busy(error) or time.monotonic() > deadline:
                connection.close()
                raise explain(error, path, "open it") from error
            time.sleep(0.005)
        except BaseException:
            connection.close()
            raise


def _check_schema(connection: sqlite3.Connection, path: Path, vault: Vault | None) -> int:
    """Make the tables, or migrate them, if need be. Returns the version that was found."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        for text in sql.create("sqlite"):
            connection.execute(text)
        connection.execute(sql.PUT_META.sqlite, {"name": "schema_version", "value": str(SCHEMA_VERSION)})
        if vault is not None:
            connection.execute(sql.PUT_META.sqlite, {"name": sealing.VARIABLE, "value": vault.token()})
        return SCHEMA_VERSION
    row = (
        connection.execute(sql.GET_META.sqlite, {"name": "schema_version"}).fetchone()
        if "meta" in tables
        else None
    )
    if row is None:
        raise StoreError(
            f"store {path}: it is a database of another program. "
            f"Choose another --store; this one was left as it is."
        )
    found = int(row[0])
    if is_older(f"store {path}", found):
        for text in sql.migrate("sqlite", found):
            connection.execute(text)
    token = connection.execute(sql.GET_META.sqlite, {"name": sealing.VARIABLE}).fetchone()
    sealing.check(f"store {path}", token[0] if token else None, vault)
    return found
