"""A LangGraph checkpointer in AgentVM's stores.

LangGraph keeps the whole state with each checkpoint. Here a channel's value is
kept once for a thread, compressed if it is large: a thread's size grows with
what changes, not with its length times its state.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from sqlalchemy import Row, and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentvm.config import default_store
from agentvm.integrations import background
from agentvm_compiler.errors import ConfigError
from agentvm_runtime.store import Place
from agentvm_runtime.store.sealing import vault_of

from . import pruning
from .objects import Objects, upsert
from .tables import ALL, channels, checkpoints, connect, metadata, values, writes

PAGE = 100
"""Checkpoints that are read at once when they are listed."""


class AgentVMSaver(BaseCheckpointSaver[str]):
    """Keeps the checkpoints of LangGraph's graphs, for synchronous and asynchronous use alike.

    Args:
        store: as `AgentVM(store=...)`: a URL of SQLite or PostgreSQL, a path, or `memory`; by default
            `AGENTVM_STORE`, else the user's own file. AgentVM's runs may be in the same store.
        serde: how values become bytes; LangGraph's own by default.
    """

    def __init__(self, store: Place | None = None, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._url = store or default_store()
        self._engine: AsyncEngine | None = None
        self._seal = vault_of(os.environ)

    def close(self) -> None:
        """Give the connections back. A later use opens them again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            background.run_now(engine.dispose())

    def __enter__(self) -> AgentVMSaver:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # -- asynchronous -------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await background.run(self._get(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        left, after = limit, None
        while left is None or left > 0:
            page, after = await background.run(self._page(config, filter, before, after))
            for each in page[:left]:
                yield each
            left = None if left is None else left - len(page)
            if after is None:
                return

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await background.run(self._put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await background.run(self._put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        await background.run(self._delete_thread(thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await background.run(self._maintain(pruning.delete_runs, run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await background.run(self._maintain(pruning.copy_thread, source_thread_id, target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await background.run(self._prune(thread_ids, strategy))

    # -- synchronous --------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return background.run_now(self._get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        found = self.alist(config, filter=filter, before=before, limit=limit)
        while True:
            try:
                yield background.run_now(anext(found))  # type: ignore[arg-type]  # an async generator's is a coroutine
            except StopAsyncIteration:
                return

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return background.run_now(self._put(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        background.run_now(self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        background.run_now(self._delete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        background.run_now(self._maintain(pruning.delete_runs, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        background.run_now(self._maintain(pruning.copy_thread, source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        background.run_now(self._prune(thread_ids, strategy))

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Larger than the one before, and like no other: forks of a thread write the same channels."""
        number = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{random.random():016}"

    # -- in the background's loop -------------------------------------------------------

    @property
    def _objects(self) -> Objects:
        return Objects(self.serde, self._seal)  # LangGraph derives savers with serializers of their own

    async def _opened(self) -> AsyncEngine:
        if self._engine is None:
            from agentvm_runtime.store import open_store

            store = open_store(self._url)
            await store.open()  # makes the database AgentVM's, or says why it cannot be
            await store.aclose()
            engine = connect(self._url)
            async with engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
            self._engine = engine
        return self._engine

    async def _get(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, ns = _place(config)
        wanted = get_checkpoint_id(config)
        query = select(checkpoints).where(checkpoints.c.thread_id == thread_id, checkpoints.c.ns == ns)
        query = query.where(checkpoints.c.id == wanted) if wanted else query
        engine = await self._opened()
        async with engine.connect() as connection:
            row = (await connection.execute(query.order_by(checkpoints.c.id.desc()).limit(1))).first()
            return None if row is None else await self._tuple(connection, row)

    async def _page(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        after: tuple[str, str, str] | None,
    ) -> tuple[Sequence[CheckpointTuple], tuple[str, str, str] | None]:
        """The next checkpoints, and the place of the last one read if there may be more."""
        table = checkpoints.c
        query = select(checkpoints).order_by(table.thread_id, table.ns, table.id.desc()).limit(PAGE)
        if config is not None:
            query = query.where(table.thread_id == str(config["configurable"]["thread_id"]))
            ns, own = config["configurable"].get("checkpoint_ns"), get_checkpoint_id(config)
            query = query.where(table.ns == ns) if ns is not None else query
            query = query.where(table.id == own) if own else query
        earlier = get_checkpoint_id(before) if before else None
        query = query.where(table.id < earlier) if earlier else query
        if after is not None:
            thread_id, ns, last = after
            query = query.where(
                (table.thread_id > thread_id)
                | and_(table.thread_id == thread_id, table.ns > ns)
                | and_(table.thread_id == thread_id, table.ns == ns, table.id < last)
            )
        engine = await self._opened()
        async with engine.connect() as connection:
            rows = (await connection.execute(query)).all()
            found = [
                await self._tuple(connection, row)
                for row in rows
                if all(self._about(row).get(key) == value for key, value in (wanted or {}).items())
            ]
        last_row = rows[-1] if len(rows) == PAGE else None
        return found, (last_row.thread_id, last_row.ns, last_row.id) if last_row else None

    def _about(self, row: Row[Any]) -> dict[str, Any]:
        return dict(self._objects.loads(row.about_type, row.about, row.id))

    async def _tuple(self, connection: AsyncConnection, row: Row[Any]) -> CheckpointTuple:
        checkpoint = self._objects.loads(row.type, row.data, row.id)
        place = (row.thread_id, row.ns)
        checkpoint["channel_values"] = await self._objects.of_channels(
            connection, place, checkpoint["channel_versions"]
        )
        return CheckpointTuple(
            config=_config(*place, row.id),
            checkpoint=checkpoint,
            metadata=self._about(row),  # type: ignore[arg-type]
            parent_config=_config(*place, row.parent_id) if row.parent_id else None,
            pending_writes=await self._objects.of_writes(connection, place, row.id),
        )

    async def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        about: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, ns = _place(config)
        given = dict(checkpoint)
        state: dict[str, Any] = given.pop("channel_values")  # type: ignore[assignment]
        told = get_checkpoint_metadata(config, about)
        kind, data = self._objects.dumps(given, checkpoint["id"])
        about_kind, about_data = self._objects.dumps(told, checkpoint["id"])
        row = {
            "thread_id": thread_id,
            "ns": ns,
            "id": checkpoint["id"],
            "parent_id": get_checkpoint_id(config),
            "run_id": told.get("run_id"),
            "type": kind,
            "data": data,
            "about_type": about_kind,
            "about": about_data,
        }
        changed = {name: version for name, version in new_versions.items() if name in state}
        packed = {name: self._objects.packed(thread_id, state[name]) for name in changed}
        named = [
            {
                "thread_id": thread_id,
                "ns": ns,
                "channel": name,
                "version": json.dumps(version),
                "digest": packed[name]["digest"],
            }
            for name, version in changed.items()
        ]
        engine = await self._opened()
        async with engine.begin() as connection:
            await upsert(connection, values, list(packed.values()), replace=False)
            await upsert(connection, channels, named)
            await upsert(connection, checkpoints, [row])
        return _config(thread_id, ns, checkpoint["id"])

    async def _put_writes(
        self, config: RunnableConfig, given: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        thread_id, ns = _place(config)
        rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        packed = [self._objects.packed(thread_id, value) for _, value in given]
        for position, ((channel, _), value) in enumerate(zip(given, packed, strict=True)):
            number = WRITES_IDX_MAP.get(channel, position)
            rows[number < 0].append(  # errors and interrupts of a task take the place of earlier ones
                {
                    "thread_id": thread_id,
                    "ns": ns,
                    "checkpoint_id": config["configurable"]["checkpoint_id"],
                    "task_id": task_id,
                    "number": number,
                    "task_path": task_path,
                    "channel": channel,
                    "digest": value["digest"],
                }
            )
        engine = await self._opened()
        async with engine.begin() as connection:
            await upsert(connection, values, packed, replace=False)
            for replace, some in rows.items():
                await upsert(connection, writes, some, replace=replace)

    async def _delete_thread(self, thread_id: str) -> None:
        engine = await self._opened()
        async with engine.begin() as connection:
            for table in ALL:
                await connection.execute(delete(table).where(table.c.thread_id == thread_id))

    async def _maintain(self, work: Any, *arguments: Any) -> None:
        engine = await self._opened()
        async with engine.begin() as connection:
            await work(connection, *arguments)

    async def _prune(self, thread_ids: Sequence[str], strategy: str) -> None:
        if strategy not in ("keep_latest", "delete"):
            raise ConfigError(f"prune(strategy={strategy!r}): use 'keep_latest' or 'delete'.")
        for thread_id in thread_ids:
            if strategy == "delete":
                await self._delete_thread(thread_id)
            else:
                await self._maintain(pruning.keep_latest, thread_id, self._objects)


def _place(config: RunnableConfig) -> tuple[str, str]:
    given = config["configurable"]
    return str(given["thread_id"]), given.get("checkpoint_ns", "")


def _config(thread_id: str, ns: str, id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": id}}
