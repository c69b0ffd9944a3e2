"""What a store's URL says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from agentvm_compiler.errors import ConfigError

from .durability import DEFAULT, Durability, durability

_ACCEPTED = (
    "accepted are sqlite+aiosqlite:///relative.db, sqlite:////absolute.db, a plain file path, "
    "postgresql+asyncpg://user:password@host/database, and memory (kept only as long as the process)"
)
_POSTGRES = ("postgres", "postgresql", "postgres+asyncpg", "postgresql+asyncpg")
_SQLITE = ("sqlite", "sqlite+aiosqlite", "sqlite+pysqlite")
_MEMORY = ("memory", "memory:", "memory://", ":memory:", "sqlite://", "sqlite:///:memory:")


Place = str | os.PathLike[str]
"""Where a store is: a URL, or a path."""


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """A file."""

    path: Path
    synchronous: str = "FULL"
    """How far each commit is carried to the disk: EXTRA, FULL or NORMAL."""
    durability: Durability = DEFAULT


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A schema of a database."""

    dsn: str
    """As asyncpg takes it."""
    name: str
    """For messages: without the password."""
    schema: str = "agentvm"
    durability: Durability = DEFAULT


@dataclass(frozen=True, slots=True)
class MemoryUrl:
    """This process."""


def parse(url: Place) -> SqliteUrl | PostgresUrl | MemoryUrl:
    """A path object is a file, whatever it is called.

    Raises ConfigError if the URL names no kind of store this version has.
    """
    if isinstance(url, os.PathLike):
        return _sqlite(os.fsdecode(url), {})
    text = url
    if text in _MEMORY:
        return MemoryUrl()
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _sqlite(text, {})
    if scheme in _POSTGRES:
        return _postgres(text)
    if scheme not in _SQLITE:
        raise ConfigError(f"store {text!r}: no such kind of store; {_ACCEPTED}")
    path, _, query = rest.partition("?")
    if not path.startswith("/") or len(path) < 2:
        raise ConfigError(f"store {text!r}: three slashes and a path must follow the colon; {_ACCEPTED}")
    return _sqlite(path[1:], dict(parse_qsl(query, keep_blank_values=True)))


def _sqlite(path: str, options: dict[str, str]) -> SqliteUrl:
    if not path.strip():
        raise ConfigError(f"store: an empty path; {_ACCEPTED}")
    synchronous = options.pop("synchronous", "FULL").upper()
    chosen = durability(options.pop("durability", None), options.pop("unacknowledged", None))
    if options or synchronous not in ("FULL", "NORMAL", "EXTRA"):
        raise ConfigError(
            f"store {path!r}: the options are synchronous=FULL, NORMAL or EXTRA, "
            "durability=strict, group or exit, and unacknowledged=NUMBER"
        )
    return SqliteUrl(Path(path).expanduser(), synchronous, chosen)


def _postgres(text: str) -> PostgresUrl:
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", "agentvm")
    chosen = durability(options.pop("durability", None), options.pop("unacknowledged", None))
    if not schema or "\0" in schema or len(schema.encode()) > 63:
        raise ConfigError("store: schema=NAME in the URL: a name of 1 to 63 bytes")
    dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(options), ""))
    host = parts.netloc.rpartition("@")[2] or options.get("host", "")
    return PostgresUrl(dsn, f"postgresql://{host}{parts.path}", schema, chosen)
