"""What is measured, and how a row of the table is made of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Taken:
    """What one measurement of one row gave."""

    value: float
    processor: float | None = None
    """The same counted in processor time of all threads, which the machine's other work hardly touches."""


EXECUTED = "executed"
"""The unit of counts of what was executed."""

Found: TypeAlias = Mapping[str, Taken]
"""What one measurement gave, by the keys of the case's rows."""


class Watch:
    """Wall-clock and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def each(self, count: int, scale: float = 1e6) -> Taken:
        """The time for one of so many; in microseconds, or in milliseconds with a scale of 1,000."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        return Taken(wall / count * scale, processor / count * scale)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one measurement keeps what it writes: empty when it begins."""

    folder: Path
    url: str
    """The store, as AgentVM names it."""


Bench: TypeAlias = Callable[[Place], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a peer is asked to measure: a function of its module, and its arguments."""

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    key: str
    name: str
    unit: str
    goal: float | None = None
    """At most this much, on an idle machine of two cores."""


@dataclass(frozen=True)
class Case:
    """What is measured in one go."""

    rows: Sequence[Row]
    ours: Bench
    floor: Bench | None = None
    peers: Mapping[str, Asked] = field(default_factory=dict)
    varies: bool = True
    """Whether it is worth measuring again: sizes and counts are always the same."""


@dataclass
class Measured:
    """A case, and all that was found."""

    case: Case
    ours: list[Found] = field(default_factory=list)
    floor: list[Found] = field(default_factory=list)
    peers: dict[str, list[Found]] = field(default_factory=dict)

    def figures(self) -> list[dict[str, Any]]:
        """A row of plain values for each row of the case."""
        return [self._figure(row) for row in self.case.rows]

    def _figure(self, row: Row) -> dict[str, Any]:
        found = [each[row.key] for each in self.ours]
        # Once too often is once too often: of counts the worst tells.
        middle = max if row.unit == EXECUTED else statistics.median
        value = middle([each.value for each in found])
        processor = [each.processor for each in found if each.processor is not None]
        floor = _median(self.floor, row.key)
        peers = {name: _median(all_found, row.key) for name, all_found in self.peers.items()}
        return {
            "name": row.name,
            "unit": row.unit,
            "goal": row.goal,
            "met": None if row.goal is None else value <= row.goal,
            "median": value,
            "best": min(each.value for each in found),
            "cpu": statistics.median(processor) if processor else None,
            "floor": floor,
            "x floor": _ratio(value, floor),
            "peers": {name: each for name, each in peers.items() if each is not None},
            "x peers": {name: _ratio(each, value) for name, each in peers.items() if each is not None},
        }


def _median(found: Sequence[Found], key: str) -> float | None:
    values = [each[key].value for each in found if key in each]
    return statistics.median(values) if values else None


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by
