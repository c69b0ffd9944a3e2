"""Results that runs share, and what completed runs tell of their agents.

An entry on its way to the database counts as one that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agentvm_runtime.records import (
    Collected,
    MemoEntry,
)
from agentvm_runtime.store import rows
from agentvm_runtime.store import statements as sql
from agentvm_runtime.store.ahead import Found, ReadAhead
from agentvm_runtime.store.collecting import collect
from agentvm_runtime.store.durability import Durability
from agentvm_runtime.store.pending import Pending

from .reading import Reader
from .values import Values

_FRESH_MAX = 1024
_ALL = 2**31 - 1


class Memos(Values):
    """The memo, and profiles."""

    def __init__(self, name: str, clock: Callable[[], float] | None, durability: Durability) -> None:
        super().__init__(name, clock, durability)
        self._fresh: dict[str, tuple[Pending, MemoEntry]] = {}
        """Memo entries on their way to the database."""
        self._fresh_most = _FRESH_MAX
        """How many there may be before those are let go of that have arrived."""
        self._ahead = ReadAhead()

    async def memo(self, key: str) -> MemoEntry | None:
        # It does not wait for appends that concern other keys.
        entry = self._on_its_way(key)
        if entry is None:
            row = await self._glance(lambda reader: reader.row(sql.GET_MEMO, {"key": key}))
            entry = None if row is None else rows.memo_of(row)
        return self._in_force(entry)

    async def shared_result(self, key: str, *, ahead: bool = False) -> tuple[MemoEntry, bytes] | None:
        # The hot path of reads.
        entry = self._on_its_way(key) if key in self._fresh else None
        if entry is not None:
            found = await self.values([entry.value]) if self._in_force(entry) else {}
            return (entry, found[entry.value]) if entry.value in found else None
        known = self._ahead.take(key) if ahead else None
        if known is not None:
            return (known.entry, known.data) if self._in_force(known.entry) else None

        def work(reader: Reader, small: bool = False) -> tuple[MemoEntry, bytes] | None:
            row = reader.row(sql.GET_SHARED, {"key": key})
            entry = None if row is None else self._in_force(rows.memo_of(row[:-2]))
            if row is None or entry is None:
                return None
            return entry, reader.opened(entry.value, *row[-2:], small=small)

        def with_others(reader: Reader) -> tuple[MemoEntry, bytes] | None:
            several = reader.rows(sql.GET_SHARED_AHEAD, self._ahead.wanted(key))
            asked = self._ahead.keep(key, (_found(reader, row) for row in several))
            return None if asked is None or not self._in_force(asked.entry) else (asked.entry, asked.data)

        at_once = with_others if ahead and self.near else lambda reader: work(reader, reader.near)
        return await self._glance(at_once, work)

    def _remember(self, entry: MemoEntry, pending: Pending) -> None:
        """Let an entry be found while it is on its way."""
        if len(self._fresh) > self._fresh_most:
            # In place: other threads may be adding theirs.
            for key, (arrived, _) in list(self._fresh.items()):
                if arrived.done:
                    self._fresh.pop(key, None)
            self._fresh_most = max(_FRESH_MAX, 2 * len(self._fresh))
        self._fresh[entry.key] = pending, entry

    def _on_its_way(self, key: str) -> MemoEntry | None:
        """A memo entry that the database may not have yet."""
        pending, entry = self._fresh.get(key, (None, None))
        if pending is not None and pending.done:
            self._fresh.pop(key, None)  # another thread may have been first
            return None
        return entry

    def _in_force(self, entry: MemoEntry | None) -> MemoEntry | None:
        expired = entry is not None and entry.expires_at is not None and entry.expires_at <= self._clock()
        return None if expired else entry

    async def memos(self, prefix: str = "", limit: int = 100) -> list[MemoEntry]:
        # In an encrypted store the database cannot tell how a key begins.
        wanted = {"limit": limit if not prefix else _ALL}

        def work(reader: Reader) -> list[MemoEntry]:
            entries = map(rows.memo_of, reader.rows(sql.LIST_MEMO, wanted))
            return [each for each in entries if each.key.startswith(prefix)][:limit]

        return await self._read(work)

    async def forget(self, key: str) -> bool:
        self._fresh.pop(key, None)
        pending = self._submit(lambda transaction: transaction.execute(sql.DROP_MEMO, {"key": key}))
        await pending.wait()
        self._ahead.drop()
        return bool(pending.result)

    async def collect(self, run_ids: Sequence[str]) -> Collected:
        pending = self._submit(lambda transaction: collect(transaction, run_ids, self._now(transaction)))
        await pending.wait()
        self._ahead.drop()
        found: Collected = pending.result
        return found

    async def profile(self, agent: str) -> str | None:
        last = self._opened().last
        if last is not None:
            await last.settled()
        found = await self._glance(lambda reader: reader.row(sql.GET_PROFILE, {"agent": agent}))
        return None if found is None else str(found[0])

    def save_profile(self, agent: str, profile: str) -> Pending:
        row = {"agent": agent, "profile": profile}
        # As a result, it can wait for what comes after it: the run's end.
        return self._opened().submit_result(lambda transaction: transaction.execute(sql.PUT_PROFILE, row))


def _found(reader: Reader, row: Sequence[Any]) -> Found:
    """From a row of `GET_SHARED_AHEAD`."""
    *columns, coding, stored, number = row
    entry = rows.memo_of(tuple(columns))
    return Found(number, entry, reader.opened(entry.value, coding, stored, small=True))
