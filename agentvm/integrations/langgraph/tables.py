"""The tables of LangGraph's checkpoints, beside AgentVM's own in the same database.

A channel's value is kept once however many checkpoints and writes of a thread
have it: `channels` and `writes` name it by its digest, `values` has the bytes.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, SmallInteger, String, Table, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from agentvm_runtime.store.url import Place, PostgresUrl, SqliteUrl, parse

metadata = MetaData()

checkpoints = Table(
    "langgraph_checkpoints",
    metadata,
    Column("thread_id", String, primary_key=True),
    Column("ns", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("parent_id", String),
    Column("run_id", String),
    # The checkpoint without its channels' values, and its metadata, as the serializer wrote them.
    Column("type", String, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("about_type", String, nullable=False),
    Column("about", LargeBinary, nullable=False),
    Index("langgraph_checkpoints_by_run", "run_id"),
)

channels = Table(
    "langgraph_channels",
    metadata,
    Column("thread_id", String, primary_key=True),
    Column("ns", String, primary_key=True),
    Column("channel", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("digest", String, nullable=False),
)

writes = Table(
    "langgraph_writes",
    metadata,
    Column("thread_id", String, primary_key=True),
    Column("ns", String, primary_key=True),
    Column("checkpoint_id", String, primary_key=True),
    Column("task_id", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("task_path", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("digest", String, nullable=False),
)

values = Table(
    "langgraph_values",
    metadata,
    Column("thread_id", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("coding", SmallInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

ALL = (checkpoints, channels, writes, values)


def connect(store: Place) -> AsyncEngine:
    """The database of a store's URL. Raises ConfigError if it names no kind of store."""
    place = parse(store)
    if isinstance(place, PostgresUrl):
        parts = urlsplit(place.dsn)
        url = urlunsplit(("postgresql+asyncpg", *parts[1:]))
        settings = {"server_settings": {"search_path": place.schema}}
        return create_async_engine(url, connect_args=settings)
    if not isinstance(place, SqliteUrl):
        return create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    engine = create_async_engine(f"sqlite+aiosqlite:///{place.path}", connect_args={"timeout": 60})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous={place.synchronous}")
        cursor.close()

    return engine
