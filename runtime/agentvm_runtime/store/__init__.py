"""Stores: where runs, journals, values and the memo are kept.

`open_store` picks one by URL. No database driver is imported before that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from agentvm_runtime.ports import Store

from . import durability as modes
from .leases import this_holder
from .sealing import vault_of
from .url import MemoryUrl, Place, SqliteUrl, parse

__all__ = ["Place", "open_store", "this_holder"]


def open_store(
    url: Place, *, durability: str | None = None, clock: Callable[[], float] | None = None
) -> Store:
    """The store a URL names, not yet opened.

    Args:
        url: `sqlite+aiosqlite:///path`, `sqlite:///path`, a file path,
            `postgresql+asyncpg://user:password@host/database`, or `memory`.
            `?synchronous=NORMAL` on SQLite trades the last commits at a power cut for
            speed; `?schema=NAME` on PostgreSQL says where its tables are.
        durability: `strict`, `group` or `exit` (`Mode`); wins over `?durability=` in the
            URL, where `?unacknowledged=N` also says how far `group` may be ahead.
        clock: Unix seconds, for leases and expiry; by default this machine's, and the
            server's for leases on PostgreSQL.

    What runs and models wrote is encrypted if `AGENTVM_ENCRYPTION_KEY` is set (`sealing.py`).

    Raises:
        ConfigError: the URL names no kind of store this version has.
    """
    place = parse(url)
    # Checked for every kind of store, so that a misspelt mode is noticed in memory too.
    wanted = None if durability is None else modes.durability(durability)
    if isinstance(place, MemoryUrl):
        from .memory import MemoryStore

        return MemoryStore(clock=clock or time.time)
    chosen = place.durability if wanted is None else replace(place.durability, mode=wanted.mode)
    vault = vault_of(os.environ)
    if isinstance(place, SqliteUrl):
        from .sqlite import SqliteStore

        return SqliteStore(
            place.path, synchronous=place.synchronous, durability=chosen, vault=vault, clock=clock
        )
    from .postgres import PostgresStore

    return PostgresStore(place, durability=chosen, vault=vault, clock=clock)
