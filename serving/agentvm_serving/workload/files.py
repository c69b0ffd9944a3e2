"""Workload files: JSON lines, a header and one item a line."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from agentvm_compiler.errors import InputError

from .items import Call, Item

VERSION: Final = 2
"""Version 2 added `prefix`, `hints` and `gaps`."""
_DEFAULTS: Final = {
    of: {each.name: each.default for each in fields(of)} for of in (Call, Item)
}  # what is not said is as by default


def write(items: Sequence[Item], path: Path) -> None:
    """Write a workload; compressed if the name ends in `.gz`."""
    lines = [json.dumps({"agentvm_workload": VERSION, "items": len(items)})]
    lines += [json.dumps(_plain(each), separators=(",", ":")) for each in items]
    raw = ("\n".join(lines) + "\n").encode()
    # Without the time, the same workload gives the same file.
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


def read(path: Path) -> list[Item]:
    """Read a workload.

    Raises:
        InputError: it is none, or of a newer version; says the line.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read ({error})") from None
    try:
        lines = list(io.StringIO(text))
        version = json.loads(lines[0])["agentvm_workload"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: this is no workload file: its first line is not a header") from None
    if version > VERSION:
        raise InputError(f"{path}: a workload of version {version}; this AgentVM reads up to {VERSION}")
    items = []
    for number, line in enumerate(lines[1:], 2):
        try:
            items.append(_item(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}, line {number}: not an item ({error})") from None
    return items


def _plain(record: Call | Item) -> dict[str, Any]:
    said = {name: getattr(record, name) for name in _DEFAULTS[type(record)]}
    if isinstance(record, Item):
        said["stages"] = [[_plain(call) for call in stage] for stage in record.stages]
    return {name: value for name, value in said.items() if value != _DEFAULTS[type(record)][name]}


def _item(found: dict[str, Any]) -> Item:
    stages = tuple(tuple(_call(call) for call in stage) for stage in found.pop("stages"))
    return Item(stages=stages, gaps=tuple(found.pop("gaps", ())), **found)


def _call(found: Mapping[str, Any]) -> Call:
    prefix = tuple((str(name), int(tokens)) for name, tokens in found.get("prefix", ()))
    return Call(**{**found, "prefix": prefix})
