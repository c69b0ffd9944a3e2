"""HTTP over a Unix socket, by asyncio's own streams.

The HTTP clients would use anyio's Unix stream, which resolves a future it may
just have cancelled: a call cancelled in the moment its next token arrives makes
the event loop report an InvalidStateError. asyncio's streams have no such race.
"""

from __future__ import annotations

import asyncio
import importlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .http import client_module

IDLE_SECONDS = 2.0
"""How long an idle connection is kept: vLLM closes one after 5 s, perhaps just as a request is sent on it."""


def unix_transport(path: str) -> Any:
    """A transport of the installed `openai`'s HTTP client that reaches a Unix socket."""
    http = client_module()
    transport = http.AsyncHTTPTransport(uds=path)
    if hasattr(transport, "_pool"):  # else the client has changed: the race above is harmless, if ugly
        core = importlib.import_module(http.__name__.replace("httpx", "httpcore"))
        transport._pool = core.AsyncConnectionPool(
            uds=path,
            max_connections=_most_connections(),
            keepalive_expiry=IDLE_SECONDS,
            network_backend=_backend(core)(),
        )
    return transport


def _most_connections() -> int | None:
    """As many as this process may open, and as many files again; the library's default is ten.

    What the engine does not see it cannot put in order: a queue here is first come, first served.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else max(1, files // 2)


def _backend(core: Any) -> Any:
    """Classes over httpcore, or httpcore2, whichever the client uses."""

    @contextmanager
    def mapped(timed_out: type[Exception], failed: type[Exception]) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise timed_out(error) from error
        except OSError as error:
            raise failed(error) from error

    class Stream(core.AsyncNetworkStream):  # type: ignore[misc]
        def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._reader, self._writer = reader, writer

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            with mapped(core.ReadTimeout, core.ReadError):
                async with asyncio.timeout(timeout):
                    return await self._reader.read(max_bytes)

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            with mapped(core.WriteTimeout, core.WriteError):
                async with asyncio.timeout(timeout):
                    self._writer.write(buffer)
                    await self._writer.drain()

        async def aclose(self) -> None:
            self._writer.close()

        def get_extra_info(self, info: str) -> Any:
            # Asked of idle connections: readable means the server has closed it.
            return self._reader.at_eof() if info == "is_readable" else None

    class Backend(core.AsyncNetworkBackend):  # type: ignore[misc]
        async def connect_unix_socket(
            self, path: str, timeout: float | None = None, socket_options: Any = None
        ) -> Stream:
            with mapped(core.ConnectTimeout, core.ConnectError):
                async with asyncio.timeout(timeout):
                    return Stream(*await asyncio.open_unix_connection(path))

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    return Backend
