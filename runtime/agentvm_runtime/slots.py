"""Slots: values on their way from one node to others.

Single-threaded: all of it happens in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_PENDING: Any = object()


class _Turn(threading.local):
    """Readers that are to be called in this thread, one after the other.

    A reader may set a slot, whose readers set others, as when the first of a thousand
    iterations is done last: Python nests no calls for so long.
    """

    def __init__(self) -> None:
        self.due: deque[Callable[[], None]] = deque()
        self.calling = False


_turn = _Turn()


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
        """Give the value, and call those who asked for it: at once, or when it is their turn."""
        self.value = value
        if self._readers is not None:
            readers, self._readers = self._readers, None
            _call(readers)

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


def _call(readers: list[Callable[[], None]]) -> None:
    turn = _turn
    turn.due.extend(readers)
    if turn.calling:
        return
    turn.calling = True
    try:
        while turn.due:
            turn.due.popleft()()
    finally:
        turn.calling = False
