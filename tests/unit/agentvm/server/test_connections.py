"""Clients that are slow: to say what they want, and to take what they get."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from agentvm.server.connections import Connection

FOREVER = 1e6


class Wire(asyncio.Transport):
    """The server's end of a connection, of which a client takes what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.answered = asyncio.Event()
        self.how = ""
        self.waiting = 0
        """Bytes that the client has not taken."""
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data
        if b"hi" in self.written:
            self.answered.set()

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        self.how = self.how or how
        self.ended.set()

    def is_closing(self) -> bool:
        return self.ended.is_set()

    def get_write_buffer_size(self) -> int:
        return self.waiting


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def connected(head: float = FOREVER, take: float = FOREVER, app: Any = hello) -> tuple[Connection, Wire]:
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    wire = Wire()
    connection = Connection(
        config=config, server_state=ServerState(), app_state={}, head_timeout=head, take_timeout=take
    )
    connection.connection_made(wire)
    return connection, wire


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_head_that_does_not_come_is_not_waited_for(said: bytes) -> None:
    """Whoever connects and says nothing, or half of it, holds no place."""
    connection, wire = connected(head=0.01)
    if said:
        connection.data_received(said)
    await wire.ended.wait()
    assert (wire.how, wire.written) == ("closed", b"")


async def test_the_next_head_is_bounded_too() -> None:
    """After an answer, a client that sends a byte now and then is no better than one that sends none."""
    connection, wire = connected(head=0.01)
    connection.data_received(REQUEST)
    await wire.answered.wait()
    connection.data_received(b"G")
    await wire.ended.wait()
    assert wire.how == "closed"


async def test_an_answer_may_take_its_time() -> None:
    """The time for the head ends with it: a stream goes on for as long as it has something to say."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go.wait()
        await hello(scope, receive, send)

    connection, wire = connected(head=0.01, app=slow)
    connection.data_received(REQUEST)
    await begun.wait()
    assert connection._head is not None and connection._head.cancelled()
    go.set()
    await wire.answered.wait()


async def test_a_client_that_takes_nothing_is_let_go() -> None:
    """What waits for it is dropped: closing would wait for it to be taken."""
    connection, wire = connected(take=0.01)
    wire.waiting = 1_000_000
    connection.pause_writing()
    await wire.ended.wait()
    assert wire.how == "aborted"


async def test_a_client_that_takes_slowly_is_served() -> None:
    """As long as it takes something in each stretch."""
    connection, wire = connected(take=0.01)
    wire.waiting = 1_000_000
    connection.pause_writing()
    while wire.waiting > 200_000:
        assert connection._taking is not None
        wire.waiting -= 100_000
        timer = connection._taking
        connection._check_taken(wire.waiting + 100_000)
        assert connection._taking is not timer and wire.how == ""
    connection.resume_writing()
    assert connection._taking.cancelled()
