"""Archives: a run in one file, with all it was forked from and all their values.

A gzip file of JSON lines: a header, then runs (ancestors first), events and
values, then the SHA-256 of all lines before. Reading one checks everything
before anything is written. An archive is not encrypted, even if its store is.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from agentvm_compiler.errors import InputError
from agentvm_runtime.control import OPEN
from agentvm_runtime.mailbox import mailbox_of
from agentvm_runtime.records import Digest, Event, EventKind, RunRecord, RunStatus, Source
from agentvm_runtime.values import digest

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

FORMAT, VERSION = "agentvm-run", 1
_DIGEST = re.compile(r"\b[0-9a-f]{40}\b")
_PIECE = 3 << 18
"""Bytes of a value that are written at a time."""
_DATA = b'{"data":"'
"""How the line of a value begins."""
_SUM = b'{"sha256"'
"""How the last line begins."""


async def write_archive(store: Store, record: RunRecord, path: Path) -> int:
    """Write a run and its ancestors into a file; returns the file's size in bytes.

    Raises:
        InputError: the file cannot be written.
    """
    runs = [record]
    while runs[0].parent is not None and (parent := await store.get_run(runs[0].parent)) is not None:
        runs.insert(0, parent)
    hashed = hashlib.sha256()
    try:
        # No time and no name in the header: equal runs make equal files.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:

            def put(line: dict[str, Any]) -> str:
                text = json.dumps(line, separators=(",", ":"), sort_keys=True)
                hashed.update(text.encode() + b"\n")
                file.write(text.encode() + b"\n")
                return text

            put({"format": FORMAT, "version": VERSION, "run": record.id})
            names: dict[str, None] = {}
            keys: set[str] = set()
            for each in runs:
                names.update(dict.fromkeys(_DIGEST.findall(put({"run": asdict(each)}))))
                for journal in (each.id, mailbox_of(each.id)) if each.status in OPEN else (each.id,):
                    for event in await store.events(journal):
                        line = {"event": asdict(event), "of": journal}
                        names.update(dict.fromkeys(_DIGEST.findall(put(line))))
                        keys.add(event.key or "")
            for name in names:
                # One at a time: any may take a hundred megabytes.
                found = {} if name in keys else await store.values([Digest(name)])
                for data in found.values():
                    for piece in _value_line(name, data):
                        hashed.update(piece)
                        file.write(piece)
            file.write(json.dumps({"sha256": hashed.hexdigest()}).encode() + b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from None
    return await anyio.to_thread.run_sync(lambda: path.stat().st_size)


async def read_archive(store: Store, path: Path) -> list[RunRecord]:
    """Put the runs of an archive into a store; returns those that were not there, ancestors first.

    Raises:
        InputError: the file is no archive, damaged, or of a newer version; or a
            run of that id is in the store and is another one.
    """
    runs: list[RunRecord] = []
    events: dict[str, list[Event]] = {}
    values: dict[Digest, bytes] = {}
    for line in _checked(path):
        try:
            if line.startswith(_DATA):
                name, data = _value(line)
                values[name] = data
                continue
            said = json.loads(line)
            if "event" in said:
                events.setdefault(said["of"], []).append(_event(said["event"]))
            else:
                runs.append(_run(said["run"]))
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path} is damaged: it has a line that makes no sense. Export the run again."
            ) from None
    new = []
    for each in runs:
        known = await store.get_run(each.id)
        if known is None:
            new.append(each)
        elif (known.program, known.inputs, known.created_at) != (each.program, each.inputs, each.created_at):
            raise InputError(
                f"{path}: this store has another run called {each.id}. Import it into another --store."
            )
    for each in new:
        mail = events.get(mailbox_of(each.id), [])
        await store.add_run(each, events.get(each.id, []), values, mail)
    return new


def _value_line(name: str, data: bytes) -> Iterator[bytes]:
    """A value as a line, in pieces: what `json.dumps` makes of it takes several times its bytes."""
    yield _DATA
    for start in range(0, len(data), _PIECE):
        yield base64.b64encode(data[start : start + _PIECE])
    yield f'","value":"{name}"}}\n'.encode()


def _value(line: bytes) -> tuple[Digest, bytes]:
    """The inverse of `_value_line`. Raises ValueError."""
    end = line.index(b'"', len(_DATA))
    data = binascii.a2b_base64(memoryview(line)[len(_DATA) : end], strict_mode=True)
    name: Digest = json.loads(b"{" + line[end + 2 :])["value"]
    if digest(data) != name:
        raise ValueError
    return name, data


def _checked(path: Path) -> Iterator[bytes]:
    """The lines of an archive after its header; all have been checked before the first is given."""
    try:
        with gzip.open(path) as file:
            _check(path, file)
        with gzip.open(path) as file:
            next(file)
            yield from (line for line in file if not line.startswith(_SUM))
    except OSError as error:
        why = error.strerror or "it is not an archive, or damaged"
        raise InputError(f"{path} cannot be read: {why}.") from None
    except (EOFError, zlib.error):
        raise InputError(f"{path} is damaged: it cannot be unpacked. Export the run again.") from None


def _check(path: Path, lines: Iterable[bytes]) -> None:
    """Read an archive to its end, a line at a time. Raises InputError."""
    hashed, header, recorded = hashlib.sha256(), b"", None
    for line in lines:
        if line.startswith(_SUM):
            recorded = line
            continue
        header = header or line
        hashed.update(line)
    try:
        said = json.loads(header)
        wanted = json.loads(recorded or b"")["sha256"]
        version = said["version"] if said["format"] == FORMAT else None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} is not an archive of a run, or cut off.") from None
    if version is None:
        raise InputError(f"{path} is not an archive of a run.")
    if not isinstance(version, int) or version > VERSION:
        raise InputError(f"{path} was written by a newer AgentVM. Upgrade: pip install --upgrade agentvm")
    if hashed.hexdigest() != wanted:
        raise InputError(f"{path} is damaged: its checksum does not fit. Export the run again.")


def _run(data: dict[str, Any]) -> RunRecord:
    return RunRecord(**{**data, "status": RunStatus(data["status"])})


def _event(data: dict[str, Any]) -> Event:
    return Event(**{**data, "kind": EventKind(data["kind"]), "source": Source(data["source"])})
