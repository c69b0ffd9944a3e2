"""The scheduler's event log: one JSON line for each stage of each request.

It is how tests and benchmarks see the engine's order from outside; it is off
unless the environment names a file.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from . import LOG_VARIABLE


@dataclass(slots=True)
class Counts:
    """How many requests reached each stage since the engine started."""

    added: int = 0
    with_hints: int = 0
    first_scheduled: int = 0
    finished: int = 0


class EventLog:
    """Writes events to a file, or nowhere."""

    def __init__(self, path: str | None) -> None:
        # Line buffered, so that a reader sees an event as soon as it happened.
        self._file: TextIO | None = None
        if path:
            self._file = Path(path).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - closed by close()

    @classmethod
    def from_environment(cls) -> EventLog:
        """The log that `AGENTVM_SCHEDULER_LOG` names."""
        return cls(os.environ.get(LOG_VARIABLE) or None)

    def write(self, event: str, request: str, key: str, **fields: Any) -> None:
        """Append one event, stamped with the current Unix time."""
        if self._file is not None:
            record = {"event": event, "at": time.time(), "request": request, "key": key, **fields}
            self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def unix_seconds(moment: float) -> float:
    """A moment on vLLM's clock as Unix seconds.

    vLLM has stamped arrivals with either of Python's clocks, depending on the
    version and the entry point; the nearer one is the one it used.
    """
    wall, monotonic = time.time(), time.monotonic()
    return moment if abs(wall - moment) <= abs(monotonic - moment) else moment + wall - monotonic
