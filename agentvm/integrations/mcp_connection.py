"""Connections to MCP servers, kept open for a process.

A connection must be opened and closed by one task, and outlives any event loop of
the user's. So all live in the loop of `background.py`, and calls come to them from
any other.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from agentvm_compiler.errors import alone

from . import background

if TYPE_CHECKING:
    from mcp import Client

T = TypeVar("T")

CLOSING_SECONDS = 5.0
"""How long the end of the process waits for servers to stop."""


class Connection:
    """One client of one server, connected with the first call and again after a loss.

    Args:
        make: gives a client that is not connected yet.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def use(self, call: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """What `call` makes of the connected client; cancelling it cancels the call at the server.

        Raises:
            ConnectionError: the connection is lost; the next call makes a new one.
            OSError, MCPError: the server cannot be reached, or refuses.
        """
        return await background.run(self._use(call))

    def use_now(self, call: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """`use`, for synchronous code."""
        return background.run_now(self._use(call))

    def close(self) -> None:
        """Stop the client, and the server if it is a child process. A later call connects anew."""
        background.run_now(self._close(), CLOSING_SECONDS)

    async def _use(self, call: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        import anyio
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        client = await self._connected()
        try:
            return await call(client)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise
            await self._close()
            raise ConnectionError(error.message) from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            await self._close()
            raise ConnectionError("the server has closed the connection") from error

    async def _connected(self) -> Client:
        async with self._lock:
            if self._client is None:
                ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
                self._stop = asyncio.Event()
                self._task = asyncio.create_task(self._keep(ready, self._stop))
                self._client = await ready
                _open.add(self)
                _close_at_exit()
            return self._client

    async def _keep(self, ready: asyncio.Future[Client], stop: asyncio.Event) -> None:
        """Open the connection, hold it until told otherwise, close it: all in this task."""
        try:
            async with self._make() as client:
                ready.set_result(client)
                await stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(alone(error))
            elif not isinstance(error, Exception):
                raise  # what fails while it closes has nobody left to be told

    async def _close(self) -> None:
        async with self._lock:
            task, self._task, self._client = self._task, None, None
            _open.discard(self)
            if task is not None:
                self._stop.set()
                await task


_open: set[Connection] = set()
"""Connections to be closed when the process ends; touched in the loop's thread only."""


@cache
def _close_at_exit() -> None:
    atexit.register(_close_all)


def _close_all() -> None:
    async def close() -> None:
        await asyncio.gather(*(each._close() for each in list(_open)), return_exceptions=True)

    with suppress(TimeoutError):  # a server that does not stop sees its input end with this process
        background.run_now(close(), CLOSING_SECONDS)
