"""Stores: where runs, journals, values and the memo are kept.

`open_store` picks one by URL. No database driver is imported before that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from agentvm_compiler.errors import ConfigError
from agentvm_runtime.ports import Store

from .leases import this_holder

__all__ = ["open_store", "this_holder"]

_ACCEPTED = (
    "accepted are sqlite+aiosqlite:///relative.db, sqlite:////absolute.db, "
    "a plain file path, and memory (kept only as long as the process)"
)


def open_store(url: str | Path, *, clock: Callable[[], float] = time.time) -> Store:
    """The store a URL names, not yet opened.

    Args:
        url: `sqlite+aiosqlite:///path`, `sqlite:///path`, a file path, or `memory`.
            `?synchronous=NORMAL` trades the last commits at a power cut for speed.
        clock: Unix seconds, for leases and expiry.

    Raises:
        ConfigError: the URL names no kind of store this version has.
    """
    text = str(url)
    if text in ("memory", "memory:", "memory://", ":memory:", "sqlite://", "sqlite:///:memory:"):
        from .memory import MemoryStore

        return MemoryStore(clock=clock)
    scheme, separator, rest = text.partition("://")
    if isinstance(url, Path) or not separator:
        return _sqlite(text, "FULL", clock)
    if scheme.startswith("postgres"):
        raise ConfigError(f"store {scheme}://...: PostgreSQL is not in this version; {_ACCEPTED}")
    if not re.fullmatch(r"sqlite(\+(aiosqlite|pysqlite))?", scheme):
        raise ConfigError(f"store {text!r}: no such kind of store; {_ACCEPTED}")
    path, _, query = rest.partition("?")
    if not path.startswith("/") or len(path) < 2:
        raise ConfigError(f"store {text!r}: three slashes and a path must follow the colon; {_ACCEPTED}")
    synchronous = "FULL"
    if query:
        option = re.fullmatch(r"synchronous=(FULL|NORMAL|EXTRA)", query, re.IGNORECASE)
        if option is None:
            raise ConfigError(f"store {text!r}: the only option is synchronous=FULL, NORMAL or EXTRA")
        synchronous = option[1].upper()
    return _sqlite(path[1:], synchronous, clock)


def _sqlite(path: str, synchronous: str, clock: Callable[[], float]) -> Store:
    if not path.strip():
        raise ConfigError(f"store: an empty path; {_ACCEPTED}")
    from .sqlite import SqliteStore

    return SqliteStore(Path(path).expanduser(), synchronous=synchronous, clock=clock)
