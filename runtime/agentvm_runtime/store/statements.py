"""The stores' statements, made once from the tables of `schema`, for every database.

They take named parameters and give rows in the order of the table's columns.
Compiling one takes a third of a millisecond, more than most take to be executed;
so their texts for SQLite are kept beside this module (`scripts/statements.py`
writes them, a test compares).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    Integer,
    Select,
    String,
    bindparam,
    cast,
    delete,
    extract,
    func,
    insert,
    literal_column,
    select,
    text,
    tuple_,
    union,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from . import schema

Name = Literal["sqlite", "postgresql"]


@cache
def _dialects(name: Name) -> tuple[Any, Any]:
    """A dialect's module and the dialect itself, imported when first used: each takes its time."""
    package = f"sqlalchemy.dialects.{name}"
    module = import_module(package)
    if name == "sqlite":
        return module, module.dialect(paramstyle="named")
    return module, import_module(f"{package}.asyncpg").dialect()


_PARAMETER = re.compile(r"(?<!:):(\w+)")


TEXTS = Path(__file__).with_name("statements.json")


@cache
def _known() -> dict[str, str]:
    """Texts for SQLite, by name."""
    known: dict[str, str] = json.loads(TEXTS.read_text(encoding="utf-8"))
    return known


class Statement:
    """One statement, compiled for a database when it is first used there."""

    name = ""
    """By which its text is known, once it has one."""

    def __init__(
        self, build: Callable[[Any], Any], columns: list[str] | None = None, index: str | None = None
    ) -> None:
        """`build` makes it from the dialect's module (for its own `insert`).

        Args:
            index: what SQLite is to find rows by where it would guess wrong.
        """
        self._build = build
        self._index = index
        self._more = {} if columns is None else {"column_keys": columns}

    @cached_property
    def sqlite(self) -> str:
        """Its text, with parameters as `:name`."""
        return _known().get(self.name) or self.compiled

    @property
    def compiled(self) -> str:
        """The same, made from the tables."""
        module, dialect = _dialects("sqlite")
        compiled = str(self._build(module).compile(dialect=dialect, **self._more))
        if self._index is not None:
            compiled = compiled.replace("\nWHERE", f" INDEXED BY {self._index}\nWHERE")
        return compiled

    @cached_property
    def sqlite_many(self) -> tuple[str, Callable[[Mapping[str, Any]], Any]]:
        """Its text with parameters as `?`, and what puts those of a row in order: bound in half the time."""
        names = _PARAMETER.findall(self.sqlite)
        return _PARAMETER.sub("?", self.sqlite), itemgetter(*names)

    @cached_property
    def postgres(self) -> tuple[str, tuple[str, ...]]:
        """Its text, with parameters as `$1`, and the names of these in order."""
        module, dialect = _dialects("postgresql")
        compiled = self._build(module).compile(dialect=dialect, **self._more)
        names = compiled.positiontup or ()
        return str(compiled), tuple(names)

    @cached_property
    def seals(self) -> dict[str, str]:
        """How the parameters named like sealed columns are sealed, by name."""
        return {each.name: each.info["sealed"] for each in self._columns() if "sealed" in each.info}

    @cached_property
    def opens(self) -> list[tuple[str, str | None]]:
        """Name of each column of a query, and how it is sealed."""
        construct = self._build(_dialects("sqlite")[0])
        return [(each.key, getattr(each, "info", {}).get("sealed")) for each in construct.selected_columns]

    def _columns(self) -> list[Any]:
        construct = self._build(_dialects("sqlite")[0])
        if isinstance(construct, Select):
            return [column for table in construct.get_final_froms() for column in table.columns]
        return list(construct.table.columns)


def plain(construct: Any, columns: list[str] | None = None, *, index: str | None = None) -> Statement:
    """A statement that is written alike for every database."""
    return Statement(lambda _: construct, columns, index)


def _upsert(table: Any, key: str) -> Statement:
    def build(dialect: Any) -> Any:
        new = dialect.insert(table)
        rest = {c.name: new.excluded[c.name] for c in table.columns if c.name != key}
        return new.on_conflict_do_update(index_elements=[key], set_=rest)

    return Statement(build)


def _add(table: Any) -> Statement:
    """Insert, or leave what is there."""
    return Statement(lambda dialect: dialect.insert(table).on_conflict_do_nothing())


def _by(table: Any, column: ColumnElement[Any], *columns: Any) -> Statement:
    return plain(select(*(columns or table.columns)).where(column == bindparam(column.key)))


ADD_EVENT = plain(insert(schema.events))
ADD_VALUE = _add(schema.values)
ADD_CHUNK = _add(schema.chunks)
ADD_RUN = _add(schema.runs)
ADD_LEASE = _add(schema.leases)
PUT_MEMO = _upsert(schema.memo, "key")
PUT_LEASE = _upsert(schema.leases, "run_id")
PUT_PROFILE = _upsert(schema.profiles, "agent")
PUT_META = _upsert(schema.meta, "name")
SET_STATUS = plain(
    update(schema.runs).where(schema.runs.c.id == bindparam("run_id")),
    ["status", "result", "error", "finished_at"],
)
REVISE_RUN = plain(
    update(schema.runs).where(schema.runs.c.id == bindparam("run_id")), ["program", "meta", "deadline_at"]
)
GET_FORKS = plain(
    select(schema.runs)
    .where(schema.runs.c.parent == bindparam("parent"))
    .order_by(schema.runs.c.created_at, schema.runs.c.id)
)
GET_PATHS = plain(
    select(schema.events.c.seq, schema.events.c.path)
    .where(schema.events.c.run_id == bindparam("run_id"))
    .order_by(schema.events.c.seq)
)
GET_EVENT = plain(
    select(*list(schema.events.columns)[1:]).where(
        schema.events.c.run_id == bindparam("run_id"), schema.events.c.seq == bindparam("seq", type_=Integer)
    )
)
_EVENTS = select(*list(schema.events.columns)[1:]).where(schema.events.c.run_id == bindparam("run_id"))
GET_EVENTS_AT = plain(
    _EVENTS.where(schema.events.c.path == bindparam("path")).order_by(schema.events.c.seq),
    index="events_by_path",
)
GET_EVENTS_OF = plain(_EVENTS.where(schema.events.c.kind == bindparam("kind")).order_by(schema.events.c.seq))


def _events_around(dialect: Any) -> Any:
    events, near = schema.events, schema.events.alias("near")
    first = select(func.min(events.c.seq)).where(
        events.c.run_id == bindparam("run_id"), events.c.path == bindparam("path")
    )
    behind = bindparam("behind", type_=Integer)
    paths = (
        select(near.c.path)
        .where(near.c.run_id == bindparam("run_id"), near.c.seq >= first.scalar_subquery() - behind)
        .order_by(near.c.seq)
        .suffix_with(text("LIMIT :around").bindparams(bindparam("around", type_=Integer)))
    )
    if dialect.__name__.endswith("postgresql"):  # a join might read the whole journal
        among = events.c.path == func.any(func.array(paths.scalar_subquery()))
    else:
        among = events.c.path.in_(paths)
    return _EVENTS.where(among).order_by(events.c.seq)


GET_EVENTS_AROUND = Statement(_events_around)
"""All events of the paths that the journal goes through where it comes to one of them."""
GET_EVENTS_AFTER = plain(
    _EVENTS.where(schema.events.c.seq > bindparam("seq", type_=Integer)).order_by(schema.events.c.seq)
)
GET_RESULT_PATHS = plain(
    select(schema.events.c.seq, schema.events.c.path)
    .where(schema.events.c.run_id == bindparam("run_id"), text("kind IN ('done', 'failed')"))
    .order_by(schema.events.c.seq)
)
LAST_SEQ = plain(
    select(func.coalesce(func.max(schema.events.c.seq), text("0"))).where(
        schema.events.c.run_id == bindparam("run_id")
    )
)
DROP_LEASE = plain(
    delete(schema.leases).where(
        schema.leases.c.run_id == bindparam("run_id"), schema.leases.c.holder == bindparam("holder")
    )
)

# By hand: SQLAlchemy would add an OFFSET with a parameter of its own.
_LIMIT = text("LIMIT :limit").bindparams(bindparam("limit", type_=Integer))
LIST_MEMO = plain(
    select(schema.memo)
    .order_by(schema.memo.c.created_at.desc(), schema.memo.c.key.desc())
    .suffix_with(_LIMIT)
)
DROP_MEMO = plain(delete(schema.memo).where(schema.memo.c.key == bindparam("key")))

DROP_RUN = plain(delete(schema.runs).where(schema.runs.c.id == bindparam("id")))
DROP_EVENTS = plain(delete(schema.events).where(schema.events.c.run_id == bindparam("run_id")))
DROP_MEMO_OF = plain(delete(schema.memo).where(schema.memo.c.run_id == bindparam("run_id")))
DROP_EXPIRED_MEMO = plain(
    delete(schema.memo).where(schema.memo.c.expires_at <= bindparam("now", type_=Double))
)
DROP_EXPIRED_LEASES = plain(
    delete(schema.leases).where(schema.leases.c.expires_at <= bindparam("now", type_=Double))
)
GET_METAS = plain(select(schema.runs.c.meta))
GET_DETAILS = plain(select(schema.events.c.detail).where(schema.events.c.detail.is_not(None)))
ADD_ROOT = _add(schema.roots)
DROP_ROOTS = plain(delete(schema.roots))
_REFERRING = (
    schema.runs.c.inputs,
    schema.runs.c.result,
    schema.runs.c.error,
    schema.events.c.value,
    schema.memo.c.value,
    schema.roots.c.digest,
)
DROP_VALUES = plain(
    delete(schema.values).where(
        schema.values.c.digest.not_in(union(*(select(each).where(each.is_not(None)) for each in _REFERRING)))
    )
)
DROP_CHUNKS = plain(
    delete(schema.chunks).where(schema.chunks.c.digest.not_in(select(schema.values.c.digest)))
)

GET_META = _by(schema.meta, schema.meta.c.name, schema.meta.c.value)
GET_RUN = _by(schema.runs, schema.runs.c.id)
GET_VALUE = _by(schema.values, schema.values.c.digest, *schema.values.columns)
GET_CHUNK = plain(
    select(schema.chunks.c.coding, schema.chunks.c.data).where(
        schema.chunks.c.digest == bindparam("digest"), schema.chunks.c.number == bindparam("number")
    )
)
GET_MEMO = _by(schema.memo, schema.memo.c.key)
GET_SHARED = plain(
    select(*schema.memo.columns, schema.values.c.coding, schema.values.c.data)
    .join_from(schema.memo, schema.values, schema.memo.c.value == schema.values.c.digest)
    .where(schema.memo.c.key == bindparam("key"))
)
"""A memo entry with how its value is kept."""
_first = schema.memo.alias("first")
GET_SHARED_AHEAD = plain(
    select(*schema.memo.columns, schema.values.c.coding, schema.values.c.data, literal_column("memo.rowid"))
    .select_from(_first)
    .join_from(schema.memo, schema.values, schema.memo.c.value == schema.values.c.digest)
    .where(
        _first.c.key == bindparam("key"),
        text("memo.rowid BETWEEN first.rowid AND first.rowid + (first.rowid = :next) * :more"),
        text('(memo.rowid = first.rowid OR length("values".data) <= :small)'),
    )
)
"""The same, with its number; if that is the next, with so many that follow on it and are small. On SQLite."""
GET_LEASE = _by(schema.leases, schema.leases.c.run_id)
GET_VALUES = plain(
    select(schema.values).where(schema.values.c.digest == func.any(bindparam("digests", type_=ARRAY(String))))
)
"""Those of a list, on PostgreSQL."""
NOW = plain(select(cast(extract("epoch", func.clock_timestamp()), Double)))
"""The server's clock in Unix seconds, on PostgreSQL."""
HOLD_LEASE = plain(
    select(schema.leases).where(schema.leases.c.run_id == bindparam("run_id")).with_for_update()
)
"""`GET_LEASE`, keeping other processes from changing it until the transaction ends."""
GET_PROFILE = _by(schema.profiles, schema.profiles.c.agent, schema.profiles.c.profile)
GET_EVENTS = plain(_EVENTS.order_by(schema.events.c.seq))


def create(name: Name) -> list[str]:
    """What makes the tables and their indexes."""
    _, dialect = _dialects(name)
    constructs: list[Any] = []
    for table in schema.metadata.sorted_tables:
        constructs.append(CreateTable(table))
        constructs.extend(CreateIndex(index) for index in sorted(table.indexes, key=lambda i: str(i.name)))
    return [str(construct.compile(dialect=dialect)) for construct in constructs]


def migrate(name: Name, found: int) -> Iterator[str]:
    """What makes an older database one of this version, the version in `meta` included."""
    from .migrations import statements

    _, dialect = _dialects(name)
    yield from statements(found, dialect)
    yield f"UPDATE meta SET value = '{schema.SCHEMA_VERSION}' WHERE name = 'schema_version'"


def named() -> dict[str, Statement]:
    """All statements by name."""
    return {each.name: each for each in _all()}


@cache
def list_runs(agent: bool, status: bool, before: bool = False) -> Statement:
    """Runs, newest first, by `agent` and `status` and after another where asked for, at most `limit`."""
    runs = schema.runs
    query = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc())
    if agent:
        query = query.where(runs.c.agent == bindparam("agent"))
    if status:
        query = query.where(runs.c.status == bindparam("status"))
    if before:
        moment = bindparam("before_at", type_=Double), bindparam("before_id", type_=String)
        query = query.where(tuple_(runs.c.created_at, runs.c.id) < tuple_(*moment))
    statement = plain(query.suffix_with(_LIMIT))
    chosen = {"AGENT": agent, "STATUS": status, "BEFORE": before}
    statement.name = "_".join(["LIST_RUNS", *(name for name, given in chosen.items() if given)])
    return statement


def _all() -> Iterator[Statement]:
    yield from (each for each in globals().values() if isinstance(each, Statement))
    yield from (list_runs(*chosen) for chosen in product((False, True), repeat=3))


for _name, _statement in list(globals().items()):
    if isinstance(_statement, Statement):
        _statement.name = _name
del _name, _statement
