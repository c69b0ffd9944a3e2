"""One connection: how long a client may take to say what it wants, and to take what it is given.

uvicorn bounds neither the time for a request's head nor that for an answer to
be read: connections that say nothing, or read nothing, would hold the server's
places for ever, and anybody who reaches the socket can open them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

LEAST = 64 * 1024
"""Bytes that must be taken in the time for taking, where so many wait."""


class Connection(H11Protocol):
    """HTTP/1.1 with both times bounded.

    Args:
        head_timeout: seconds from the connection, or the end of an answer, to the end of the next head.
        take_timeout: seconds in which something of an answer that waits must be taken.
    """

    def __init__(self, *given: Any, head_timeout: float, take_timeout: float, **options: Any) -> None:
        super().__init__(*given, **options)
        self._head_timeout = head_timeout
        self._take_timeout = take_timeout
        self._head: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering:
            _stop(self._head)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._answering:
            self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._taking)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head)
        super().connection_lost(exc)
        _stop(self._taking)

    @property
    def _answering(self) -> bool:
        """Whether a request is being answered; what it may take is bounded elsewhere."""
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        _stop(self._head)
        self._head = self.loop.call_later(self._head_timeout, self.transport.close)

    def _await_taking(self) -> None:
        _stop(self._taking)
        left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self._take_timeout, self._check_taken, left)

    def _check_taken(self, before: int) -> None:
        if self.transport.get_write_buffer_size() > before - LEAST:
            self.transport.abort()  # closing would wait for what waits to be taken
        else:
            self._await_taking()


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
