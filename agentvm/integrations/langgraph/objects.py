"""Objects as bytes: sealed if the store is, and values kept once for a thread, by their digest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol
from sqlalchemy import Row, Table, and_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from agentvm_runtime.store.rows import pack, unpack
from agentvm_runtime.store.sealing import Vault
from agentvm_runtime.values.keys import digest

from .tables import channels, values, writes

MANY = 500
"""Names in one query; databases bound how many parameters it may have."""


class Objects:
    """Objects as rows and back, by a serializer of LangGraph's, sealed if there is a vault."""

    def __init__(self, serde: SerializerProtocol, seal: Vault | None) -> None:
        self._serde = serde
        self._seal = seal

    def dumps(self, given: Any, about: str) -> tuple[str, bytes]:
        """Type and bytes, which only open as being about the same."""
        kind, data = self._serde.dumps_typed(given)
        return kind, data if self._seal is None else self._seal.data(data, about)

    def loads(self, kind: str, data: bytes, about: str) -> Any:
        return self._serde.loads_typed(
            (kind, data if self._seal is None else self._seal.open_data(data, about))
        )

    def packed(self, thread_id: str, value: Any) -> dict[str, Any]:
        """A row of `values`."""
        kind, data = self._serde.dumps_typed(value)
        coding, stored = pack(data)
        name: str = digest(kind.encode() + b"\0" + data)
        if self._seal is not None:
            name = self._seal.name(name)
            stored = self._seal.data(stored, name)
        return {"thread_id": thread_id, "digest": name, "type": kind, "coding": coding, "data": stored}

    def _opened(self, row: Row[Any]) -> Any:
        stored = row.data if self._seal is None else self._seal.open_data(row.data, row.digest)
        return self._serde.loads_typed((row.type, unpack(row.coding, stored)))

    async def of_channels(
        self, connection: AsyncConnection, place: tuple[str, str], versions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Values of channels at these versions; of empty channels there are none."""
        thread_id, ns = place
        wanted = {name: json.dumps(version) for name, version in versions.items()}
        found: dict[str, Any] = {}
        names = list(wanted)
        for start in range(0, len(names), MANY):
            some = names[start : start + MANY]
            query = (
                select(channels.c.channel, channels.c.version, values)
                .join(values, _same_value(channels))
                .where(channels.c.thread_id == thread_id, channels.c.ns == ns)
                .where(channels.c.channel.in_(some), channels.c.version.in_({wanted[name] for name in some}))
            )
            for row in await connection.execute(query):
                if wanted[row.channel] == row.version:
                    found[row.channel] = self._opened(row)
        return {name: found[name] for name in versions if name in found}

    async def of_writes(
        self, connection: AsyncConnection, place: tuple[str, str], checkpoint_id: str
    ) -> list[PendingWrite]:
        """A checkpoint's writes, in the order in which LangGraph applies them."""
        thread_id, ns = place
        query = (
            select(writes.c.task_id, writes.c.channel, values)
            .join(values, _same_value(writes))
            .where(writes.c.thread_id == thread_id, writes.c.ns == ns)
            .where(writes.c.checkpoint_id == checkpoint_id)
            .order_by(writes.c.task_path, writes.c.task_id, writes.c.number)
        )
        rows = await connection.execute(query)
        return [(row.task_id, row.channel, self._opened(row)) for row in rows]


def _same_value(table: Table) -> Any:
    return and_(table.c.thread_id == values.c.thread_id, table.c.digest == values.c.digest)


async def upsert(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]], *, replace: bool = True
) -> None:
    """Insert rows; those whose key is there take its place, or are left out."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
    made = insert.on_conflict_do_update(index_elements=keys, set_=others)
    kept = insert.on_conflict_do_nothing(index_elements=keys)
    await connection.execute(made if replace else kept, list(rows))
