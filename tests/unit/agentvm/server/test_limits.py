"""What requests may take, and what becomes of malformed ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentvm.server.limits import Limits
from agentvm.server.settings import Settings

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def settings() -> Settings:
    return Settings(poll=0.01, max_body=4096, max_requests=4)


async def test_a_body_that_says_it_is_too_large_is_not_read(api: Any) -> None:
    """Its length is enough to refuse it."""
    answer = await api.client.post("/v1/runs", content=b" " * 5000, headers=JSON)
    assert answer.status_code == 413
    assert "4096" in answer.json()["detail"]


async def test_a_body_that_turns_out_too_large_is_refused(api: Any) -> None:
    """One that comes in pieces is counted."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * 100

    answer = await api.client.post("/v1/runs", content=pieces(), headers=JSON)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"agent": 1}',
        b'{"agent": "research", "more": 1}',
        b"[" * 4000,
        b'{"agent": "breaks", "inputs": {"topic": "\\ud800"}}',
        b'{"agent": "\\u0000"}',
        b"9" * 4000,
        b'{"agent": "breaks", "inputs": {"topic": NaN}}',
        b'{"agent": "research", "deadline": "1e9999s"}',
        b'{"agent": "research", "deadline": 1e300}',
        b'{"agent": "breaks", "id": "a/../b"}',
        b'{"agent": "breaks", "id": "a\\r\\nSet-Cookie: x=y"}',
    ],
)
async def test_malformed_bodies_are_refused_and_start_nothing(api: Any, body: bytes) -> None:
    """With a problem that can be read."""
    answer = await api.client.post("/v1/runs", content=body, headers=JSON)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert "set-cookie" not in answer.headers
    assert await api.vm.list() == []


async def test_wrong_names_are_not_all_told(serving: Any) -> None:
    """Looking for what was meant by each of 100,000 would take a second of everybody's time."""
    async with serving("memory", Settings(poll=0.01)) as api:
        body = {"agent": "breaks", "inputs": {f"name{number}": 1 for number in range(100_000)}}
        answer = await api.client.post("/v1/runs", json=body)
        assert answer.status_code == 422
        assert len(answer.content) < 4000 and "..." in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"[" * 900 + b"]" * 900, b"9" * 3900, b'"\\udfff"', b"NaN"])
async def test_values_that_are_hard_to_keep_are_refused_or_kept(api: Any, body: bytes) -> None:
    """Depth, length and odd text of an input, an answer and a fork's value."""
    given = b'{"agent": "breaks", "inputs": {"topic": %b}}' % body
    assert (await api.client.post("/v1/runs", content=given, headers=JSON)).status_code in (201, 422)
    run = await api.start("asks", topic="it")
    await api.ended(run)
    for what, given in {"answer": b'{"value": %b}', "fork": b'{"set": {"human#1": %b}}'}.items():
        answer = await api.client.post(f"/v1/runs/{run}/{what}", content=given % body, headers=JSON)
        assert answer.status_code in (201, 422), answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/..%2f..%2fetc%2fpasswd",
        "/v1/runs/../../etc/passwd",
        "/v1/agents/..%2f..%2f/graph",
        "/ui/../app.py",
        "/ui/..%2f..%2fapp.py",
        "/v1/runs/%00",
        "/v1/runs/%0d%0aX:y",
        "//etc/passwd",
        "/v1/runs/x%2fevents",
    ],
)
async def test_paths_lead_nowhere_but_to_routes(api: Any, path: str) -> None:
    """A name in a URL is looked up among runs and agents, and nowhere else."""
    answer = await api.client.get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text


async def test_an_agent_is_never_imported_by_what_a_request_names(api: Any) -> None:
    """Only those the server was started with are found."""
    for name in (
        "os:system",
        "/etc/passwd",
        "research.py:research",
        "agentvm.testing:ScriptedLLM",
        "__main__",
    ):
        answer = await api.client.post("/v1/runs", json={"agent": name})
        assert answer.status_code == 404


async def test_more_requests_than_are_allowed_are_put_off(api: Any, model: Any) -> None:
    """Streams count, and the answer says to come again."""
    run = await api.start("holds", topic="x")
    await model.held.wait()
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(api.events, run)
        while api.house.streams < 4:
            await anyio.lowlevel.checkpoint()  # the streams begin one after the other
        answer = await api.client.get("/v1/runs")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        model.open.set()
    assert (await api.client.get("/v1/runs")).status_code == 200


async def _ask(app: Any, settings: Settings, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages that an application within limits answers one request with."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if body:
            return body.pop(0)
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": []}
    await Limits(app, settings, lambda *_: None)(scope, receive, send)
    return sent


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """Whoever sends it a byte at a time holds no place for ever."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    started = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent = await _ask(app, Settings(body_timeout=0.01), started)
    assert sent[0]["status"] == 408


async def test_an_answer_that_does_not_begin_is_given_up() -> None:
    """The place is free again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    sent = await _ask(app, Settings(request_timeout=0.01), [])
    assert sent[0]["status"] == 504


async def test_a_bug_is_told_without_its_insides(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the traceback, the client a line."""

    async def breaks(*_: Any) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr(api.house.reader, "detail", breaks)
    answer = await api.client.get("/v1/runs/x")
    assert answer.status_code == 500
    assert "secret insides" not in answer.text
    assert "RuntimeError" in answer.json()["detail"]
