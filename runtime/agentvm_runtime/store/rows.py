"""Records to rows and back, and the coding of value bytes."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import zstandard

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Event, EventKind, Lease, MemoEntry, RunRecord, RunStatus, Source

from .details import detail_of, detail_text

RAW, ZSTD = 0, 1
COMPRESS_ABOVE = 4096
"""Bytes. Smaller values are kept as they are."""
# Nothing larger is unpacked into memory because a damaged row says so.
_LARGEST = 1 << 40


def pack(data: bytes | memoryview) -> tuple[int, bytes]:
    """Coding and stored form of a value's bytes; compressed if large and it helps."""
    if len(data) > COMPRESS_ABOVE:
        packed = zstandard.ZstdCompressor(level=3, write_content_size=True).compress(data)
        if len(packed) < len(data):
            return ZSTD, packed
    return RAW, bytes(data)


def unpack(coding: int, data: bytes) -> bytes:
    if coding == RAW:
        return data
    if coding == ZSTD:
        try:
            size = zstandard.frame_content_size(data)
            if not 0 <= size <= _LARGEST:
                raise StoreError("a recorded value is damaged: its compressed size makes no sense")
            return zstandard.ZstdDecompressor().decompress(data)
        except (zstandard.ZstdError, MemoryError) as error:
            raise StoreError(f"a recorded value is damaged: {error}") from error
    raise StoreError(f"a recorded value has coding {coding}, unknown to this version: use a newer AgentVM")


def run_row(run: RunRecord) -> dict[str, Any]:
    row: dict[str, Any] = {f.name: getattr(run, f.name) for f in fields(run)}
    row["status"] = run.status.value
    row["meta"] = json.dumps(run.meta)
    return row


def run_of(row: tuple[Any, ...]) -> RunRecord:
    """From the columns of `schema.runs`, in order."""
    id, agent, program, inputs, created_at, status, deadline, finished, result, error, parent, meta = row
    return RunRecord(
        id=id,
        agent=agent,
        program=program,
        inputs=inputs,
        created_at=created_at,
        status=RunStatus(status),
        deadline_at=deadline,
        finished_at=finished,
        result=result,
        error=error,
        parent=parent,
        meta=json.loads(meta),
    )


def event_row(run_id: str, event: Event) -> dict[str, Any]:
    """All columns of `schema.events` but `seq`, which the database gives."""
    return {
        "run_id": run_id,
        "kind": event.kind._value_,  # as `value`, which is looked up by a function
        "path": event.path,
        "site": event.site,
        "node": event.node,
        "key": event.key,
        "value": event.value,
        "source": event.source._value_,
        "started_at": event.started_at,
        "finished_at": event.finished_at,
        "detail": detail_text(event.detail),
    }


_KINDS = {kind.value: kind for kind in EventKind}
_SOURCES = {source.value: source for source in Source}


def event_of(row: tuple[Any, ...]) -> Event:
    """From the columns of `schema.events` after `run_id`, in order."""
    seq, kind, path, site, node, key, value, source, started_at, finished_at, detail = row
    kind, source = _KINDS[kind], _SOURCES[source]
    return Event(kind, path, site, node, key, value, source, started_at, finished_at, detail_of(detail), seq)


def memo_row(entry: MemoEntry) -> dict[str, Any]:
    return {f.name: getattr(entry, f.name) for f in fields(entry)}


def memo_of(row: tuple[Any, ...]) -> MemoEntry:
    """From the columns of `schema.memo`, in order."""
    return MemoEntry(*row)


def lease_of(row: tuple[Any, ...]) -> Lease:
    """From the columns of `schema.leases`, in order."""
    return Lease(*row)


def lease_row(lease: Lease) -> dict[str, Any]:
    return {"run_id": lease.run_id, "holder": lease.holder, "expires_at": lease.expires_at}
