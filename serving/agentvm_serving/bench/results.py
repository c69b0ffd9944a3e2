"""Results: rows on disk, as JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from agentvm_compiler.errors import InputError

from .serving import Row

DIGITS = 5
"""Significant digits that are kept."""


def write_json(rows: Iterable[Row], path: Path) -> None:
    """A list of rows, one a line. Whatever happens, the file is the old one or the new one."""
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in map(as_plain, rows))
    beside = path.with_name(path.name + ".part")
    beside.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    beside.replace(path)


def read_json(path: Path) -> list[Row]:
    """The rows of a file; none if there is no file.

    Raises:
        InputError: it has something else.
    """
    if not path.exists():
        return []
    known = {each.name for each in fields(Row)}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [Row(**{name: value for name, value in each.items() if name in known}) for each in found]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: it has no rows of a benchmark to go on from ({error}). Give another --json"
        ) from None


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """A line a row; classes become columns, curves are left out."""
    flat = [_flat(each) for each in rows]
    columns = list(dict.fromkeys(name for each in flat for name in each))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(flat)


def as_plain(row: Row) -> dict[str, Any]:
    """A row as plain values; what it does not tell is left out."""
    found = {name: _rounded(value) for name, value in asdict(row).items() if value not in (None, [], {})}
    # To the last digit: who goes on from the row serves the same workload, and not nearly the same.
    return {**found, "load": row.load, "rate": row.rate, "stretch": row.stretch}


def _flat(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in as_plain(row).items():
        if isinstance(value, dict):
            found |= {f"{name}_{part}": each for part, each in value.items()}
        elif not isinstance(value, list):
            found[name] = value
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
