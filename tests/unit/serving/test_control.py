"""Changing requests over HTTP: the client's half against a fake endpoint, the server's on a fake engine."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openai")

from agentvm_compiler.errors import BackendError, InputError
from agentvm_compiler.wire import CallRecord, Hints, HintsChange, Message, ModelCall
from agentvm_serving.backends.http import client_module
from agentvm_serving.backends.openai import OpenAIBackend
from agentvm_serving.vllm.control import PREFIX, Control, _agentvm_control
from agentvm_serving.vllm.refusals import REFUSED


class Scheduler:
    """Knows one request."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def update_hints(self, fields: dict[str, Any], key: str, run: str) -> int:
        self.asked.append((fields, key, run))
        return 1

    def cancel(self, key: str, run: str) -> int:
        return 2 if run == "r" else 0

    def records(self, *keys: str) -> list[dict[str, Any]]:
        times = {"arrival": 1.0, "first_scheduled_at": 2.0, "finished_at": 3.0, "preempted_at": [2.5]}
        counts = {"held_seconds": 0.5, "updates": 1, "expected_tokens": 9, "outcome": "refused"}
        told = {"why": "it cannot be in time", "refused": True, **times, **counts}
        return [{"key": each, **told} for each in keys]


class OlderCores:
    """The same in vLLM 0.26, whose own call for all engines keeps only the first answer."""

    def __init__(self, *schedulers: Scheduler) -> None:
        self.core_engines = [SimpleNamespace(scheduler=each) for each in schedulers]

    async def _call_utility_async(self, method: str, *args: Any, engine: Any) -> str:
        assert method == "agentvm_control"
        return _agentvm_control(engine, *args)


class Cores:
    """Two engines behind one client, as with data parallelism."""

    def __init__(self, *schedulers: Scheduler) -> None:
        self.cores = [SimpleNamespace(scheduler=each) for each in schedulers]

    async def call_utility_all_async(self, method: str, *args: Any) -> list[str]:
        assert method == "agentvm_control"
        return [_agentvm_control(core, *args) for core in self.cores]


def backend_of(app: Any) -> OpenAIBackend:
    """A backend that talks to an ASGI application."""
    http = client_module()
    return OpenAIBackend("http://fake/v1", "m", hints=True, transport=lambda: http.ASGITransport(app))


@pytest.fixture
def schedulers() -> list[Scheduler]:
    return [Scheduler(), Scheduler()]


@pytest.fixture(params=[Cores, OlderCores])
def backend(schedulers: list[Scheduler], request: pytest.FixtureRequest) -> OpenAIBackend:
    """A server with our middleware; its chat completions are streams that end without a word."""
    starlette = pytest.importorskip("starlette.applications")
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def chat(request: Any) -> Any:
        return PlainTextResponse("data: [DONE]\n\n", media_type="text/event-stream")

    app = starlette.Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    app.state.engine_client = SimpleNamespace(engine_core=request.param(*schedulers))
    app.add_middleware(Control)
    return backend_of(app)


async def test_changes_reach_every_engine(backend, schedulers):
    """How many were changed is added up."""
    assert await backend.scheduler.update_hints({"deadline": 5.0}, key="k") == 2
    assert [each.asked for each in schedulers] == [[({"deadline": 5.0}, "k", "")]] * 2
    assert await backend.scheduler.cancel(run="r") == 4


async def test_many_changes_go_in_one_message(backend, schedulers):
    """Each is named by its key."""
    await backend.scheduler.update([HintsChange("a", {"siblings": 2}), HintsChange("b", {"deadline": None})])
    assert schedulers[0].asked == [({"siblings": 2}, "a", ""), ({"deadline": None}, "b", "")]
    with pytest.raises(InputError, match="'changes' is a list"):
        await backend.scheduler._ask("hints", {"changes": "all"})


async def test_records_of_many_calls_come_in_one_answer(backend):
    """As plain values, from every engine."""
    records = await backend.scheduler.served(["a", "b"])
    assert [each.key for each in records] == ["a", "b"] * 2
    assert records[0] == CallRecord("a", 1.0, 2.0, 3.0, 0.5, (2.5,), 1, 9, "refused", "it cannot be in time")
    with pytest.raises(InputError, match="'keys' is a list of strings"):
        await backend.scheduler._ask("requests", {"keys": [1]})


async def test_what_is_wrong_comes_back_with_the_reason(backend):
    """As an error of the caller's."""
    with pytest.raises(InputError, match="say which requests are meant"):
        await backend.scheduler.cancel()


async def test_a_body_that_is_no_json_is_refused(backend):
    """By whoever sends it."""
    answer = await backend.client()._client.post(f"http://fake{PREFIX}hints", content=b"{")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "the body is no JSON")


async def test_a_refused_call_says_why(backend):
    """vLLM gives a stream without tokens neither reason nor end; the record has both."""
    call = ModelCall(messages=(Message("user", "hi"),), hints=Hints(key="k"))
    with pytest.raises(
        BackendError, match=r"ended the call \(it cannot be in time\). Give it more time"
    ) as caught:
        await backend.complete(call)
    assert not caught.value.transient


async def test_an_endpoint_without_our_scheduler_knows_of_no_requests():
    """Nothing is changed, and nothing is wrong."""
    http = client_module()
    transport = http.MockTransport(
        lambda request: http.Response(404, json={"error": {"message": "no route"}})
    )
    backend = OpenAIBackend("http://fake/v1", "m", hints=True, transport=lambda: transport)
    assert await backend.scheduler.update_hints({"deadline": 5.0}, key="k") == 0
    assert await backend.scheduler.records("k") == []


async def test_a_program_does_not_go_on_telling_who_does_not_listen():
    """An endpoint that knows of no such thing is told of one change; one that takes no hints, of none."""
    http = client_module()
    asked: list[str] = []

    def refuse(request: Any) -> Any:
        asked.append(request.url.path)
        return http.Response(404, json={"error": {"message": "no route"}})

    transport = http.MockTransport(refuse)
    for hints, expected in ((True, [PREFIX + "hints"]), (False, [])):
        asked.clear()
        backend = OpenAIBackend("http://fake/v1", "m", hints=hints, transport=lambda: transport)
        for _ in range(3):
            await backend.scheduler.update([HintsChange("a", {"siblings": 2})])
            assert await backend.scheduler.served(["a"]) == []
        assert asked == expected


async def test_requests_are_named_in_the_body():
    """The hints as they are, the key beside them."""
    http = client_module()
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append((request.url.path, json.loads(request.content)))
        return http.Response(200, json={"updated": 1})

    transport = http.MockTransport(answer)
    backend = OpenAIBackend("http://fake/v1", "m", hints=True, transport=lambda: transport)
    assert await backend.scheduler.update_hints({"siblings": 2}, run="r") == 1
    assert seen == [("/v1/agentvm/hints", {"key": "", "run": "r", "hints": {"siblings": 2}})]


def plain_stream(*parts: str) -> Any:
    """The text that a plain client gets of a stream behind our middleware."""
    starlette = pytest.importorskip("starlette.applications")
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def chat(request: Any) -> Any:
        return StreamingResponse(iter(parts), media_type="text/event-stream")

    app = starlette.Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    app.add_middleware(Control)
    return backend_of(app).client()


CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def test_a_plain_client_is_told_that_its_stream_was_refused():
    """An empty answer is no answer: its library raises an error of the request's own."""
    import openai

    stream = await plain_stream("data: [DONE]\n\n").chat.completions.create(**CHAT)
    with pytest.raises(openai.APIError, match="ended the request before its first token") as caught:
        async for _ in stream:
            pass
    assert caught.value.body["type"] == REFUSED


async def test_a_stream_that_says_how_it_ended_is_left_alone():
    """Though its text be about finish reasons."""
    import openai

    texts = ['{"finish_reason":"', ""]
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
        for text, reason in zip(texts, (None, "stop"), strict=True)
    ]
    told = [f"data: {json.dumps(each, separators=(',', ':'))}\n\n" for each in chunks]
    stream = await plain_stream(*told, "data: [DONE]\n\n").chat.completions.create(**CHAT)
    assert [each.choices[0].delta.content async for each in stream] == texts
    cut = await plain_stream(told[0], "data: [DONE]\n\n").chat.completions.create(**CHAT)
    with pytest.raises(openai.APIError, match="ended the request"):
        async for _ in cut:
            pass
