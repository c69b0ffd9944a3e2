"""The model API: what OpenAI's clients speak, passed on to the engine.

The engine is a process of ours on a Unix socket that serves vLLM's own
OpenAI-compatible API. Requests and answers pass through byte by byte, as they
come. A client that goes away takes its request with it: the connection to the
engine is closed, and the engine frees the slot.

Only the routes and headers named here pass.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from agentvm_compiler.errors import AgentVMError
from agentvm_serving.backends.http import client_module

from .asgi import Receive, Scope, Send
from .models import Model
from .problems import answer

if TYPE_CHECKING:
    from agentvm_serving.backends.vllm import VllmBackend

logger = logging.getLogger(__name__)

ROUTES = {
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/responses": "POST",
    "/v1/embeddings": "POST",
    "/v1/tokenize": "POST",
    "/v1/models": "GET",
    "/v1/agentvm/hints": "POST",
    "/v1/agentvm/cancel": "POST",
    "/v1/agentvm/requests": "POST",
}
"""What the engine is asked for others: nothing that changes the engine itself."""
_ELSEWHERE = {"/v1/tokenize": "/tokenize"}
_FORWARDED = (b"accept", b"content-type", b"x-request-id", b"user-agent")
_HINTS = b"x-agentvm-"
_RETURNED = (b"content-type", b"x-request-id", b"retry-after", b"content-length")
METRICS_SECONDS = 5.0


class ModelApi:
    """The way from clients to one engine.

    Args:
        backend: starts the engine, and again if it has died.
    """

    def __init__(self, backend: VllmBackend) -> None:
        self._backend = backend
        self._failure: AgentVMError | None = None
        self._awaited = False
        """Whether the server is not ready without the engine."""
        self._client: Any = None
        self._of: object = None
        """The engine that the client reaches."""

    @property
    def state(self) -> Model:
        engine = self._backend.engine
        if engine is not None and engine.alive and not self._backend.starting:
            return "ready"
        if self._failure is not None:
            return "failed"
        return "starting" if self._awaited or self._backend.starting else "none"

    @asynccontextmanager
    async def running(self, at_once: bool) -> AsyncIterator[None]:
        """Serve while inside; `at_once` starts the engine beside that, not with the first request."""
        self._awaited = at_once
        async with anyio.create_task_group() as tasks:
            if at_once:
                tasks.start_soon(self._start)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                if self._client is not None:
                    with anyio.CancelScope(shield=True):
                        await self._client.aclose()

    async def _start(self) -> None:
        try:
            await self._reach()
            logger.info("the engine serves")
        except AgentVMError as error:
            logger.error("the engine does not serve: %s", error)

    async def _reach(self) -> Any:
        """A client of the engine, which is started if it is not there. Raises AgentVMError."""
        try:
            await self._backend.start()
        except AgentVMError as error:
            self._failure = error
            raise
        self._failure = None
        engine = self._backend.engine
        assert engine is not None
        if self._of is not engine:
            if self._client is not None:
                await self._client.aclose()
            # No time limit: the engine is ours and watched, and its queue is ordered by deadline.
            client = client_module().AsyncClient
            self._client = client(transport=engine.transport(), base_url="http://engine", timeout=None)
            self._of = engine
        return self._client

    async def metrics(self) -> bytes:
        """The engine's metrics in Prometheus' text format; empty while it does not serve."""
        if self.state != "ready":
            return b""
        try:
            with anyio.move_on_after(METRICS_SECONDS):
                client = await self._reach()
                return bytes((await client.get("/metrics")).content)
        except (AgentVMError, client_module().HTTPError) as error:
            logger.info("the engine's metrics cannot be had: %s", error)
        return b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        body = await _body(receive)
        if body is None:
            return
        try:
            client = await self._reach()
        except AgentVMError as error:
            await answer(scope["path"], 503, "engine", str(error))(scope, receive, send)
            return
        relay = _Relay(scope, send)
        try:
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(watch)
                await relay.run(client, body)
                tasks.cancel_scope.cancel()
        except* client_module().HTTPError as errors:
            logger.warning("the engine broke off: %r", errors.exceptions[0])
            relay.broken = True
        if relay.broken and not relay.started:
            detail = "The engine did not answer. It is started again with the next request."
            await answer(scope["path"], 502, "engine", detail)(scope, receive, send)


class _Relay:
    """One request to the engine, and its answer on the way back."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.started = False
        self.broken = False

    async def run(self, client: Any, body: bytes) -> None:
        path = self._scope["path"]
        forwarded = [
            (name, value)
            for name, value in self._scope["headers"]
            if name in _FORWARDED or name.startswith(_HINTS)
        ]
        request = client.build_request(
            self._scope["method"], _ELSEWHERE.get(path, path), headers=forwarded, content=body
        )
        response = await client.send(request, stream=True)
        try:
            headers = [(n.lower(), v) for n, v in response.headers.raw if n.lower() in _RETURNED]
            await self._send(
                {"type": "http.response.start", "status": response.status_code, "headers": headers}
            )
            self.started = True
            async for chunk in response.aiter_raw():
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            # Shielded, or a client that went away would leave its request with the engine.
            with anyio.move_on_after(5, shield=True):
                await response.aclose()


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None if the client went away."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def no_model(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for the model API where there is none."""
    detail = "This server has no model API: start it with `agentvm serve --llm vllm:MODEL`."
    await answer(scope["path"], 404, "no-model-api", detail)(scope, receive, send)
