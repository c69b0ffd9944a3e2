"""Objectives over HTTP: an ASGI middleware for vLLM's server (`--middleware`).

It reads what `agentvm_serving.asking` describes, and hands it to the scheduler
as hints. What cannot be read is answered with status 400 in OpenAI's shape.
"""

from __future__ import annotations

import json
import time
from typing import Final

from agentvm_serving.asking import Asked, Wrong

from .control import Channel, Scope

PATHS: Final = ("/v1/chat/completions", "/v1/completions", "/v1/responses")


class Objectives:
    """Gives requests the hints that their headers and bodies ask for."""

    def __init__(self, app: Channel) -> None:
        self._app = app
        self._asked = Asked(time.time)

    async def __call__(self, scope: Scope, receive: Channel, send: Channel) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in PATHS:
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            return
        try:
            body = self._asked.body(scope["headers"], body)
        except Wrong as wrong:
            await _refuse(wrong, send)
            return
        kept = [each for each in scope["headers"] if each[0] not in (b"content-length", b"transfer-encoding")]
        length = (b"content-length", str(len(body)).encode())
        await self._app({**scope, "headers": [*kept, length]}, _replayed(body, receive), send)


async def _whole(receive: Channel) -> bytes | None:
    """The body; None if the client went away."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Channel) -> Channel:
    """The body, then whatever else the client sends: that it went away, above all."""
    given = False

    async def next_message() -> Scope:
        nonlocal given
        if given:
            return dict(await receive())
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _refuse(wrong: Wrong, send: Channel) -> None:
    error = {"type": "invalid_request_error", "param": wrong.where, "code": "invalid_objective"}
    body = json.dumps({"error": {"message": f"{wrong}.", **error}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
