"""Slots: values on their way from one node to others.

Single-threaded: all of it happens in the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_PENDING: Any = object()


class Slot:
    """A value that is there or will be. Set once."""

    __slots__ = ("_readers", "value")

    def __init__(self, value: Any = _PENDING) -> None:
        self.value = value
        self._readers: list[Callable[[], None]] | None = None

    @property
    def ready(self) -> bool:
        return self.value is not _PENDING

    def set(self, value: Any) -> None:
        """Give the value, and call those who asked for it."""
        self.value = value
        if self._readers is not None:
            readers, self._readers = self._readers, None
            for each in readers:
                each()

    def then(self, reader: Callable[[], None]) -> None:
        """Call the reader once the value is there: now, if it is."""
        if self.value is not _PENDING:
            reader()
        elif self._readers is None:
            self._readers = [reader]
        else:
            self._readers.append(reader)

    def feed(self, other: Slot) -> None:
        """Give the other slot this one's value as soon as it is there."""
        self.then(lambda: other.set(self.value))

    async def wait(self) -> Any:
        """The value, when it is there."""
        if not self.ready:
            event = asyncio.Event()
            self.then(event.set)
            await event.wait()
        return self.value
