"""SQLite's statements, compiled once from the tables of `schema`.

They take named parameters and give rows in the order of the table's columns.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from . import schema

_dialect = sqlite.dialect(paramstyle="named")


def compiled(statement: Any, columns: list[str] | None = None) -> str:
    more = {} if columns is None else {"column_keys": columns}
    return str(statement.compile(dialect=_dialect, **more))


def _upsert(table: Any, key: str) -> str:
    new = sqlite.insert(table)
    rest = {c.name: new.excluded[c.name] for c in table.columns if c.name != key}
    return compiled(new.on_conflict_do_update(index_elements=[key], set_=rest))


def _by(table: Any, column: ColumnElement[Any], *columns: Any) -> str:
    return compiled(select(*(columns or table.columns)).where(column == bindparam(column.key)))


CREATE = [
    statement
    for table in schema.metadata.sorted_tables
    for statement in (
        compiled(CreateTable(table)),
        *(compiled(CreateIndex(index)) for index in sorted(table.indexes, key=lambda i: str(i.name))),
    )
]

_next_seq = select(func.coalesce(func.max(schema.events.c.seq), text("0")) + text("1")).where(
    schema.events.c.run_id == bindparam("of_run")
)
ADD_EVENT = compiled(
    insert(schema.events).inline().values(seq=_next_seq.scalar_subquery()),
    [c.name for c in schema.events.columns],
).replace(":of_run", ":run_id")  # SQLAlchemy reserves the column's own name
ADD_VALUE = compiled(sqlite.insert(schema.values).on_conflict_do_nothing())
ADD_RUN = compiled(sqlite.insert(schema.runs).on_conflict_do_nothing())
PUT_MEMO = _upsert(schema.memo, "key")
PUT_LEASE = _upsert(schema.leases, "run_id")
PUT_PROFILE = _upsert(schema.profiles, "agent")
PUT_META = _upsert(schema.meta, "name")
SET_STATUS = compiled(
    update(schema.runs).where(schema.runs.c.id == bindparam("run_id")),
    ["status", "result", "error", "finished_at"],
)
DROP_LEASE = compiled(
    delete(schema.leases).where(
        schema.leases.c.run_id == bindparam("run_id"), schema.leases.c.holder == bindparam("holder")
    )
)

GET_META = _by(schema.meta, schema.meta.c.name, schema.meta.c.value)
GET_RUN = _by(schema.runs, schema.runs.c.id)
GET_VALUE = _by(schema.values, schema.values.c.digest, schema.values.c.coding, schema.values.c.data)
GET_MEMO = _by(schema.memo, schema.memo.c.key)
GET_LEASE = _by(schema.leases, schema.leases.c.run_id)
GET_PROFILE = _by(schema.profiles, schema.profiles.c.agent, schema.profiles.c.profile)
GET_EVENTS = compiled(
    select(*list(schema.events.columns)[1:])
    .where(schema.events.c.run_id == bindparam("run_id"))
    .order_by(schema.events.c.seq)
)


def list_runs(agent: bool, status: bool) -> str:
    """Runs, newest first, by `agent` and `status` where asked for, at most `limit`."""
    runs = schema.runs
    query = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc())
    if agent:
        query = query.where(runs.c.agent == bindparam("agent"))
    if status:
        query = query.where(runs.c.status == bindparam("status"))
    # By hand: SQLAlchemy would add an OFFSET with a parameter of its own.
    return compiled(query) + " LIMIT :limit"
