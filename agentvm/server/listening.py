"""Listening on a socket, and stopping in order.

On SIGTERM or SIGINT no more connections are taken, event streams are told to
connect again, answers under way have some time, and then the application's
lifespan ends. A second signal does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from agentvm_compiler.errors import ConfigError

from .connections import Connection

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .settings import Settings

LARGEST_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
KEEP_ALIVE = 30


class Server(uvicorn.Server):
    """A uvicorn server whose signals are ours, and that ends streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, closing: Callable[[], None], told: Callable[[], None]) -> None:
        super().__init__(config)
        self._closing = closing
        self._told = told

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise them again at its end, before runs are put away."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing()
        await super().shutdown(sockets)


async def listen(
    app: FastAPI,
    settings: Settings,
    port: int,
    grace: float,
    tls: tuple[Path, Path | None] | None,
    told: Callable[[str], None],
) -> None:
    """Serve until a signal.

    Args:
        port: 0 takes a free one.
        grace: seconds that answers under way have when the server stops.
        tls: certificate and key.
        told: called with the server's URL once it listens.

    Raises:
        ConfigError: the address cannot be bound, or the certificate cannot be used.
    """
    bound = _bind(settings.host, port)
    try:
        config = uvicorn.Config(
            app,
            http=_connections(settings),
            ws="none",
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(grace)),
            limit_concurrency=2 * settings.max_requests,
            backlog=2048,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            ssl_certfile=None if tls is None else tls[0],
            ssl_keyfile=None if tls is None or tls[1] is None else str(tls[1]),
        )
        try:
            config.load()
        except OSError as error:
            raise ConfigError(f"The certificate cannot be used: {error}") from None
        scheme = "http" if tls is None else "https"
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{scheme}://{name}:{bound.getsockname()[1]}"
        await Server(config, app.state.house.runner.closing.set, lambda: told(url)).serve([bound])
    finally:
        bound.close()


def _connections(settings: Settings) -> Any:
    """What makes a connection. The parser is the one in Python: it bounds what it takes, and is strict."""
    return partial(Connection, head_timeout=settings.head_timeout, take_timeout=settings.take_timeout)


def _bind(host: str, port: int) -> socket.socket:
    """A socket of the address. Raises ConfigError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be bound: {error}. Choose another --port or --host."
        ) from None
    bound.setblocking(False)
    return bound
