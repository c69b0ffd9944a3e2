"""A fake OpenAI-compatible endpoint, in process: it answers from a script and records what it was sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agentvm_serving.backends import openai as backend_module
from agentvm_serving.backends.http import client_module
from agentvm_serving.backends.openai import OpenAIBackend


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class Body:
    """A streamed response body that may hang, and knows whether it was closed."""

    def __init__(self, events: list[Any], *, then: Callable[[], Any] | None = None) -> None:
        self.events = events
        self.then = then
        self.closed = False

    async def parts(self) -> AsyncIterator[bytes]:
        try:
            for event in self.events:
                data = event if isinstance(event, str) else json.dumps(event)
                yield f"data: {data}\n\n".encode()
            if self.then is not None:
                await self.then()
        finally:
            self.closed = True


def chunk(text: str | None = None, finish: str | None = None, usage: tuple[int, int] | None = None) -> Any:
    """One event of a streamed chat completion."""
    event: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    event["choices"] = [choice] if text is not None or finish else []
    if usage is not None:
        prompt, completion = usage
        event["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 1},
        }
    return event


def answer(*texts: str, finish: str = "stop") -> Body:
    """A whole answer, a chunk for each text."""
    chunks = [chunk(text) for text in texts]
    return Body([*chunks, chunk("", finish), chunk(usage=(7, len(texts))), "[DONE]"])


class Endpoint:
    """Answers requests with the scripted replies, the last one again and again."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.models: list[dict[str, Any]] = [{"id": "known", "object": "model", "owned_by": "them"}]

    def handle(self, request: Any) -> Any:
        http = client_module()
        if request.url.path.endswith("/models"):
            return http.Response(200, json={"object": "list", "data": self.models})
        self.requests.append(json.loads(request.content))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Body):
            return http.Response(200, headers={"content-type": "text/event-stream"}, content=reply.parts())
        status, message, *rest = reply
        error = {"message": message, "code": rest[0] if rest else None}
        return http.Response(status, json={"error": error})

    def backend(self, **options: Any) -> OpenAIBackend:
        """A backend that reaches this endpoint."""
        options.setdefault("hints", False)
        transport = client_module().MockTransport(self.handle)
        return OpenAIBackend("http://fake/v1", "m", transport=lambda: transport, **options)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """A fresh fake endpoint; retries do not wait."""
    pytest.importorskip("openai")
    monkeypatch.setattr(backend_module, "BACKOFF_SECONDS", 0.0)
    return Endpoint()


@pytest.fixture
def reply() -> Any:
    """Builders for the fake's replies."""

    class Reply:
        Body = Body
        chunk = staticmethod(chunk)
        answer = staticmethod(answer)

    return Reply
