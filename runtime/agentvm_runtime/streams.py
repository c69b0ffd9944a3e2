"""Streams to those who watch a run, with back-pressure.

What is told is kept until it is read. A run does not begin new calls while a
reader is far behind, so that a stream takes no more memory than that; but a
reader that takes nothing for a while is taken to have left, and does not hold
the run up any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from .line import Line

T = TypeVar("T")

MOST = 256
"""Things unread with which a reader is far behind."""
PATIENCE = 5.0
"""Seconds for which a run waits for a reader that takes nothing."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a model's answer, as it comes."""

    path: str
    """The call, as in the journal."""
    text: str


class Stream(Generic[T]):
    """What one reader is told."""

    def __init__(self) -> None:
        self._unread: deque[T] = deque()
        self._closed = False
        self._left = False
        self._changed = anyio.Event()
        self._line = Line()
        """Calls that are to begin when the reader has read on."""

    def tell(self, what: T) -> None:
        self._unread.append(what)
        self._change()

    def close(self) -> None:
        """No more will be told; what is unread can still be read."""
        self._closed = True
        self._change()

    async def room(self) -> None:
        """Return when the reader is not far behind, or has left."""
        if self._is_far_behind():
            await self._line.stand(self._caught_up)

    def _is_far_behind(self) -> bool:
        return len(self._unread) >= MOST and not (self._closed or self._left)

    async def _caught_up(self) -> None:
        while self._is_far_behind():
            waiting = self._changed
            with anyio.move_on_after(PATIENCE) as scope:
                await waiting.wait()
            self._left = scope.cancelled_caught

    async def read(self) -> AsyncIterator[T]:
        """All that is told, until the stream is closed."""
        try:
            while True:
                while self._unread:
                    self._left = False
                    what = self._unread.popleft()
                    self._change()
                    yield what
                if self._closed:
                    return
                await self._changed.wait()
        finally:
            self.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class Bell(Stream[Any]):
    """A reader that only wants to know that there is something new, and never holds anybody up."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = False

    def tell(self, what: Any) -> None:
        self._rung = True
        self._change()

    async def room(self) -> None:
        return

    async def wait(self) -> None:
        """Return when it was rung since the last time, or is closed."""
        while not (self._rung or self._closed):
            await self._changed.wait()
        self._rung = False


class Audience(Generic[T]):
    """All who read the same."""

    def __init__(self) -> None:
        self.streams: list[Stream[T]] = []
        """Of readers who are there, as far as is known."""

    def join(self, stream: Stream[T] | None = None) -> Stream[T]:
        """A stream, by default a new one, of what is told from now on."""
        stream = Stream() if stream is None else stream
        self.streams.append(stream)
        return stream

    def tell(self, what: T) -> None:
        if self.streams:
            self.streams = [each for each in self.streams if not each.closed]
            for each in self.streams:
                each.tell(what)

    async def room(self) -> None:
        """Return when no reader is far behind."""
        for each in self.streams:
            await each.room()
