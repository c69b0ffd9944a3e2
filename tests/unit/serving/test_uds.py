"""HTTP over a Unix socket."""

from __future__ import annotations

import asyncio

import pytest

from agentvm_serving.backends.http import PerLoop, client_module
from agentvm_serving.backends.uds import unix_transport

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def server(tmp_path):
    """A server that streams one chunk, then waits for its client to leave."""
    left = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"1\r\na\r\n")
        await reader.read()
        left.set()
        writer.close()

    path = tmp_path / "s.sock"
    listening = await asyncio.start_unix_server(serve, path)
    yield path, left
    listening.close()


async def test_streams_over_a_unix_socket_and_hangs_up(server):
    """The body comes as it is sent, and closing the response tells the server."""
    path, left = server
    async with (
        client_module().AsyncClient(transport=unix_transport(str(path))) as client,
        client.stream("GET", "http://engine/") as response,
    ):
        assert await anext(response.aiter_bytes()) == b"a"
    await left.wait()


async def test_all_requests_reach_the_engine_at_once(tmp_path):
    """Who waits is for its scheduler to say: none is held back here."""
    count = 150
    arrived = 0
    all_there = asyncio.Event()

    async def serve(reader, writer):
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == count:
            all_there.set()
        await all_there.wait()
        writer.write(HEAD + b"0\r\n\r\n")
        await reader.read()
        writer.close()

    path = tmp_path / "s.sock"
    listening = await asyncio.start_unix_server(serve, path, backlog=count)
    transport = unix_transport(str(path))
    async with client_module().AsyncClient(transport=transport, timeout=30) as client:
        asked = [client.get("http://engine/") for _ in range(count)]
        assert [each.status_code for each in await asyncio.gather(*asked)] == [200] * count
    listening.close()


async def test_more_requests_than_files_wait_for_a_connection(tmp_path, monkeypatch):
    """None of them fails."""
    open_now = most = 0

    async def serve(reader, writer):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(HEAD + b"0\r\n\r\n")
        except asyncio.IncompleteReadError:
            open_now -= 1
            writer.close()

    monkeypatch.setattr("resource.getrlimit", lambda which: (8, 8))
    path = tmp_path / "s.sock"
    listening = await asyncio.start_unix_server(serve, path)
    transport = unix_transport(str(path))
    async with client_module().AsyncClient(transport=transport, timeout=30) as client:
        asked = [client.get("http://engine/") for _ in range(20)]
        assert [each.status_code for each in await asyncio.gather(*asked)] == [200] * 20
    listening.close()
    assert most == 4


async def test_missing_server_is_a_connection_error(tmp_path):
    """As the client's other transports report it."""
    async with client_module().AsyncClient(transport=unix_transport(str(tmp_path / "none"))) as client:
        with pytest.raises(client_module().ConnectError):
            await client.get("http://engine/")


def test_each_event_loop_gets_its_own():
    """A client of a closed loop is not used again."""
    made = iter(range(9))
    each = PerLoop(lambda: next(made))

    async def twice() -> tuple[int, int]:
        return each.get(), each.get()

    assert [asyncio.run(twice()), asyncio.run(twice())] == [(0, 0), (1, 1)]
