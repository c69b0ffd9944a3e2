"""Journals: what runs have done, event by event.

Events are numbered without gaps. Who writes knows the number of the last one as
long as nobody else can have written to the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentvm_runtime.records import (
    Digest,
    Event,
    EventKind,
    MemoEntry,
    Source,
)
from agentvm_runtime.store import rows
from agentvm_runtime.store import statements as sql
from agentvm_runtime.store.checks import check_event
from agentvm_runtime.store.durability import Durability
from agentvm_runtime.store.keeping import CHUNK, TakesLong
from agentvm_runtime.store.pending import Pending
from agentvm_runtime.store.transaction import Transaction

from .leasing import check_held
from .memos import Memos
from .numbering import add_event
from .reading import Reader

_FEW_EVENTS = 64
"""Events that are read one by one rather than out of their whole journal."""
_MANY = 1024
"""Journals whose last events are remembered before those are let go of that have arrived."""
_EXECUTED = Source.EXECUTED


class Journals(Memos):
    """The journals of runs."""

    def __init__(self, name: str, clock: Callable[[], float] | None, durability: Durability) -> None:
        super().__init__(name, clock, durability)
        self._last: dict[str, Pending] = {}
        """The last event of each journal on its way to the database."""

    async def last_seq(self, run_id: str) -> int:
        await self._settled(run_id)
        wanted = {"run_id": run_id}
        return await self._glance(lambda reader: int((reader.row(sql.LAST_SEQ, wanted) or (0,))[0] or 0))

    async def _settled(self, run_id: str) -> None:
        """Return when a run's events are written; what other runs have on its way need not be."""
        last = self._last.get(run_id)
        if last is not None:
            await last.settled()

    def append(
        self,
        run_id: str,
        event: Event,
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
        *,
        holder: str | None = None,
    ) -> Pending:
        check_event(run_id, event)
        row = rows.event_row(run_id, event)
        writer = self._writer or self._opened()
        memo_row = None if memo is None else rows.memo_row(memo)

        def work(transaction: Transaction) -> None:
            check_held(transaction, run_id, holder)
            if values:
                transaction.put_values(values)
            add_event(transaction, row)
            if memo_row is not None:
                transaction.write(sql.PUT_MEMO, memo_row)

        if event.source is _EXECUTED:
            self._ahead.drop()
        large = values is not None and sum(map(len, values.values())) > CHUNK
        pending = writer.submit_result(work, large=large)
        if len(self._last) > _MANY:
            # In place: other threads may be adding theirs.
            for run, last in list(self._last.items()):
                if last.done:
                    self._last.pop(run, None)
        self._last[run_id] = pending
        if memo is not None:
            self._remember(memo, pending)
        return pending

    async def events(self, run_id: str, wanted: Callable[[str], bool] | None = None) -> list[Event]:
        def work(reader: Reader) -> list[Event]:
            run = {"run_id": run_id}
            if wanted is not None:
                kept = [seq for seq, path in reader.rows(sql.GET_PATHS, run) if wanted(path)]
                if len(kept) <= _FEW_EVENTS:
                    few = (reader.row(sql.GET_EVENT, {**run, "seq": seq}) for seq in kept)
                    return [rows.event_of(row) for row in few if row is not None]
            found = reader.rows(sql.GET_EVENTS, run)
            return [rows.event_of(row) for row in found if wanted is None or wanted(row[2])]

        def few(reader: Reader) -> list[Event]:
            last = reader.row(sql.LAST_SEQ, {"run_id": run_id})
            if last is None or last[0] > _FEW_EVENTS:
                raise TakesLong
            return work(reader)

        await self._settled(run_id)
        return await self._glance(few, work)

    async def events_after(self, run_id: str, seq: int) -> list[Event]:
        wanted = {"run_id": run_id, "seq": seq}
        await self._settled(run_id)
        return await self._read(
            lambda reader: [rows.event_of(row) for row in reader.rows(sql.GET_EVENTS_AFTER, wanted)],
            behind_writes=False,
        )

    def peek(
        self,
        run_id: str,
        *,
        path: str | None = None,
        kind: EventKind | None = None,
        around: int = 0,
    ) -> list[Event]:
        query = sql.GET_EVENTS_AT if path is not None else sql.GET_EVENTS
        query = sql.GET_EVENTS_OF if kind is not None else sql.GET_EVENTS_AROUND if around else query
        wanted: dict[str, Any] = {"run_id": run_id, "path": path, "kind": kind and kind.value}
        wanted |= {"around": around, "behind": around // 4}
        return self._at_once(lambda reader: [rows.event_of(row) for row in reader.rows(query, wanted)])

    async def result_paths(self, run_id: str) -> list[tuple[int, str]]:
        def work(reader: Reader) -> list[tuple[int, str]]:
            return [(seq, path) for seq, path in reader.rows(sql.GET_RESULT_PATHS, {"run_id": run_id})]

        return await self._read(work)
