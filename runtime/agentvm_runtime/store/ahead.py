"""Reading ahead: shared results that a run will ask for next, had with the one it asks for now.

A run that does again what an earlier one did finds its results in the order in
which that one left them. What was read ahead counts only as long as this process
cannot have learnt of anything since: until its event loop turns or something is
executed. So nobody who took a result back, and told so, finds it used after that.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

from agentvm_runtime.records import MemoEntry

MOST = 15
"""Results that are read ahead at once."""
SMALL = 4096
"""Bytes. Larger values are read when they are asked for."""


class Found(NamedTuple):
    """A shared result."""

    number: int
    """Entries are numbered in the order they were first left."""
    entry: MemoEntry
    data: bytes


class ReadAhead:
    """What one store has read ahead, and how far that is worth it."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}
        self._thread = 0
        self._next = -1
        """The number after that of the last result that was asked for."""
        self._used = 0
        """How many were asked for since the last reading, that one included."""

    def take(self, key: str) -> Found | None:
        """What was read ahead for this key."""
        found = self._found.pop(key, None) if self._thread == threading.get_ident() else None
        if found is not None:
            self._next = found.number + 1
            self._used += 1
        return found

    def wanted(self, key: str) -> dict[str, Any]:
        """What to ask the database for: this result, and some others if it follows on the last one."""
        return {"key": key, "next": self._next, "more": min(MOST, 2 * self._used), "small": SMALL}

    def keep(self, key: str, found: Iterable[Found]) -> Found | None:
        """The result that was asked for, of those just read on the spot. The others are held for a moment."""
        others = {each.entry.key: each for each in found}
        asked = others.pop(key, None)
        if asked is not None:
            self._used = 1 if asked.number == self._next else 0
            self._next = asked.number + 1
        if others:
            self._found, self._thread = others, threading.get_ident()
            asyncio.get_running_loop().call_soon(self.drop)
        return asked

    def drop(self) -> None:
        self._found.clear()
