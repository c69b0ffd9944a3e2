"""Objectives as clients write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentvm_compiler.wire import Hints
from agentvm_serving.asking import NAMES, Asked, Wrong
from agentvm_serving.slo import from_extra_args, to_extra_args
from agentvm_serving.vllm.asking import Objectives

NOW = 2_000_000_000.0
BODY: dict[str, Any] = {"model": "m", "prompt": "hi"}


def hints(headers: dict[str, str] | None = None, field: Any = None, **body: Any) -> Hints | None:
    """What the engine is told."""
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    whole = {**BODY, **body} | ({} if field is None else {"agentvm": field})
    sent = json.loads(Asked(lambda: NOW).body(raw, json.dumps(whole).encode()))
    assert "agentvm" not in sent
    assert {name: sent[name] for name in BODY} == BODY
    return from_extra_args(sent.get("vllm_xargs"))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-AgentVM-Deadline": "20s"}, {"slo": "deadline", "deadline": NOW + 20}),
        ({"x-agentvm-deadline": "1m30s"}, {"slo": "deadline", "deadline": NOW + 90}),
        ({"X-AgentVM-Deadline": "2.5"}, {"slo": "deadline", "deadline": NOW + 2.5}),
        ({"X-AgentVM-Deadline": str(NOW + 7)}, {"slo": "deadline", "deadline": NOW + 7}),
        ({"X-AgentVM-TTFT": "500ms"}, {"slo": "latency", "ttft": 0.5}),
        ({"X-AgentVM-TBT": "50ms", "X-AgentVM-Deadline": "9s"}, {"slo": "latency", "deadline": NOW + 9}),
        ({"X-AgentVM-SLO": "best_effort"}, {"slo": "best_effort", "deadline": None}),
        (
            {"X-AgentVM-Program": "p", "X-AgentVM-Run": "r"},
            {"program": "p", "run": "r", "slo": "best_effort"},
        ),
        ({"X-AgentVM-Siblings": "4", "X-AgentVM-Prefix-Group": "g"}, {"siblings": 4, "prefix_group": "g"}),
        (
            {"X-AgentVM-Run-Deadline": "60s", "X-AgentVM-Run": "r"},
            {"slo": "deadline", "run_deadline": NOW + 60},
        ),
    ],
)
def test_headers_become_hints(headers: dict[str, str], expected: dict[str, Any]) -> None:
    """Times are from now; a class follows from what is asked for."""
    told = hints(headers)
    assert told is not None
    assert {name: getattr(told, name) for name in expected} == expected


def test_a_field_of_the_body_says_the_same_and_wins() -> None:
    """It is more particular than headers, which a client may send with all requests."""
    told = hints({"X-AgentVM-Deadline": "20s", "X-AgentVM-Run": "r"}, {"deadline": 5, "prefix_group": "g"})
    assert told is not None
    assert (told.deadline, told.run, told.prefix_group) == (NOW + 5, "r", "g")


def test_what_the_runtime_sends_stays() -> None:
    """Headers add to it."""
    sent = to_extra_args(Hints(key="k", siblings=3)) | {"other": 1}
    assert hints(None, None, vllm_xargs=sent) == Hints(key="k", siblings=3)
    told = hints({"X-AgentVM-Deadline": "20s"}, None, vllm_xargs=sent)
    assert told == Hints(key="k", siblings=3, slo="deadline", deadline=NOW + 20)


def test_requests_that_ask_for_nothing_pass_as_they_are() -> None:
    """Byte for byte, also what is no JSON: the server says what is wrong with it."""
    asked = Asked(lambda: NOW)
    for body in (b'{"model":"m" }', b"{", b"[1]", b'["agentvm"]', b'{"messages": "agentvm"}', b"\xff"):
        assert asked.body([(b"host", b"x")], body) == body


def test_a_run_is_due_when_its_first_request_said() -> None:
    """Later requests of the run do not move it, though each says `60s`."""
    now = NOW
    asked = Asked(lambda: now)
    headers = [(b"x-agentvm-run", b"r"), (b"x-agentvm-run-deadline", b"60s")]
    for seconds in (0, 30):
        now = NOW + seconds
        sent = json.loads(asked.body(headers, b"{}"))
        told = from_extra_args(sent["vllm_xargs"])
        assert told is not None and told.run_deadline == NOW + 60


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"X-AgentVM-Deadline": "soon"}, None),
        ({"X-AgentVM-Deadline": "-1s"}, None),
        ({"X-AgentVM-Deadline": "0"}, None),
        ({"X-AgentVM-Deadline": "nan"}, None),
        ({"X-AgentVM-Deadline": "99999999s"}, None),
        ({"X-AgentVM-Deadine": "20s"}, None),
        ({"X-AgentVM-SLO": "fast"}, None),
        ({"X-AgentVM-Siblings": "0"}, None),
        ({"X-AgentVM-Siblings": "many"}, None),
        ({"X-AgentVM-Run": "a b"}, None),
        ({"X-AgentVM-Run": ""}, None),
        ({"X-AgentVM-Run": "x" * 300}, None),
        (None, {"deadline": "soon"}),
        (None, {"deadline": None}),
        (None, {"deadline": [1]}),
        (None, {"deadine": "20s"}),
        (None, {"run": "a\r\nb"}),
        (None, {"siblings": True}),
        (None, "20s"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(headers: dict[str, str] | None, field: Any) -> None:
    """A deadline that was meant and misspelt is not silently none."""
    with pytest.raises(Wrong) as refused:
        hints(headers, field)
    where = next(iter(headers)) if headers else "agentvm"
    assert str(refused.value).lower().startswith(where.lower())


def test_the_names_are_those_of_hints() -> None:
    """A field of hints that has no name here cannot be asked for, which is meant for these only."""
    fields = {each.replace("-", "_") for each in NAMES}
    assert fields - set(Hints.model_fields) == set()
    assert set(Hints.model_fields) - fields == {"version", "remaining"}


async def _served(headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[Any, list[Any]]:
    """What the application gets, and what is sent, of one request in two pieces."""
    got: dict[str, Any] = {}
    sent: list[Any] = []
    pieces = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.update(headers=dict(scope["headers"]), first=await receive(), second=await receive())

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": headers}
    await Objectives(app)(scope, receive, send)
    return got, sent


async def test_the_server_gets_the_body_whole_and_learns_that_the_client_left() -> None:
    """The length is that of the new body."""
    length = (b"content-length", b"2000")
    got, sent = await _served([length, (b"x-agentvm-deadline", b"20s")], b'{"model": "m"}')
    assert sent == []
    body = got["first"]["body"]
    assert b"vllm_xargs" in body
    assert got["headers"][b"content-length"] == str(len(body)).encode()
    assert got["second"]["type"] == "http.disconnect"


async def test_a_refusal_has_openais_shape() -> None:
    """So that its clients show the message."""
    got, sent = await _served([(b"x-agentvm-deadline", b"soon")], b'{"model": "m"}')
    assert got == {}
    assert sent[0]["status"] == 400
    error = json.loads(sent[1]["body"])["error"]
    assert error["param"] == "x-agentvm-deadline"
    assert "Write 20s" in error["message"]
