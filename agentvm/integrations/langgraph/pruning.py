"""Maintenance of threads: copying them, and removing what nothing needs any more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, exists, insert, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from .objects import Objects
from .tables import ALL, channels, checkpoints, values, writes

DELTAS = "counters_since_delta_snapshot"
"""In a checkpoint's metadata: the channels whose value is spread over the writes of its ancestors."""
MANY = 500


async def copy_thread(connection: AsyncConnection, source: str, target: str) -> None:
    """All checkpoints of a thread, their writes and values, as another thread's."""
    for table in ALL:
        others = [column for column in table.c if column.name != "thread_id"]
        copied = select(literal(target), *others).where(table.c.thread_id == source)
        await connection.execute(
            insert(table).from_select(["thread_id", *(each.name for each in others)], copied)
        )


async def delete_runs(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """Checkpoints that these runs made, and their writes."""
    for some in _parts(run_ids):
        found = select(checkpoints.c.thread_id, checkpoints.c.ns, checkpoints.c.id).where(
            checkpoints.c.run_id.in_(some)
        )
        rows = (await connection.execute(found)).all()
        await _remove(connection, rows)
        for thread_id in {row.thread_id for row in rows}:
            await _drop_values(connection, thread_id)


async def keep_latest(connection: AsyncConnection, thread_id: str, objects: Objects) -> None:
    """Remove all checkpoints of a thread but the newest of each namespace, and what those are made of.

    A delta channel's value is spread over its ancestors' writes, back to the last snapshot: they stay.
    """
    query = select(checkpoints).where(checkpoints.c.thread_id == thread_id)
    rows = (await connection.execute(query.order_by(checkpoints.c.id))).all()
    by_place = {(row.ns, row.id): row for row in rows}
    kept: dict[tuple[str, str], Mapping[str, Any]] = {}
    for latest in {row.ns: row for row in rows}.values():
        missing = set(objects.loads(latest.about_type, latest.about, latest.id).get(DELTAS, ()))
        row: Row[Any] | None = latest
        while row is not None:
            versions = objects.loads(row.type, row.data, row.id)["channel_versions"]
            kept[row.ns, row.id] = versions
            missing -= await _stored(connection, row, {name: versions.get(name) for name in missing})
            row = by_place.get((row.ns, row.parent_id)) if missing else None
    await _remove(connection, [row for place, row in by_place.items() if place not in kept])
    named = {
        (ns, channel, json.dumps(version))
        for (ns, _), versions in kept.items()
        for channel, version in versions.items()
    }
    place = (channels.c.ns, channels.c.channel, channels.c.version)
    have = (await connection.execute(select(*place).where(channels.c.thread_id == thread_id))).all()
    for some in _parts([each for each in have if tuple(each) not in named]):
        await connection.execute(
            delete(channels).where(
                channels.c.thread_id == thread_id, tuple_(*place).in_([tuple(each) for each in some])
            )
        )
    await _drop_values(connection, thread_id)


async def _stored(connection: AsyncConnection, row: Row[Any], versions: Mapping[str, Any]) -> set[str]:
    """Which of these channels have their value at the checkpoint itself."""
    found = await connection.execute(
        select(channels.c.channel, channels.c.version).where(
            channels.c.thread_id == row.thread_id,
            channels.c.ns == row.ns,
            channels.c.channel.in_(versions),
        )
    )
    return {name for name, version in found if json.dumps(versions[name]) == version}


async def _remove(connection: AsyncConnection, rows: Iterable[Any]) -> None:
    for some in _parts([(row.thread_id, row.ns, row.id) for row in rows]):
        for table, id in ((writes, writes.c.checkpoint_id), (checkpoints, checkpoints.c.id)):
            await connection.execute(delete(table).where(tuple_(table.c.thread_id, table.c.ns, id).in_(some)))


async def _drop_values(connection: AsyncConnection, thread_id: str) -> None:
    """Values of a thread that neither a channel nor a write has."""
    used = [
        exists().where(table.c.thread_id == values.c.thread_id, table.c.digest == values.c.digest)
        for table in (channels, writes)
    ]
    await connection.execute(delete(values).where(values.c.thread_id == thread_id, *(~each for each in used)))


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + MANY] for start in range(0, len(items), MANY))
