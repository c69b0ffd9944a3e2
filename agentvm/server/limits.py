"""What one request, and all of them together, may take: bytes, time, places.

Answers are timed to their first byte, which is what a client waits for; the
rest of a stream takes as long as it takes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import anyio

from .asgi import Application, Message, Receive, Scope, Send, has_header, header
from .problems import MODEL_API, Refused, answer
from .settings import Settings

Observe = Callable[[Scope, int, float], None]
"""Is told of each answer: its status, and the seconds until it began."""


class Limits:
    """ASGI middleware that bounds requests, and measures them.

    Args:
        observe: is told of each answer.
    """

    def __init__(self, app: Application, settings: Settings, observe: Observe) -> None:
        self._app = app
        self._settings = settings
        self._observe = observe
        self.open = 0
        """Requests under way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        one = _Request(scope, receive, send, self._settings, self._observe)
        if self.open >= self._settings.max_requests:
            detail = f"{self.open} requests are under way. Try again in a moment."
            await one.refuse(Refused(503, "too-many-requests", detail, {"Retry-After": "1"}))
            return
        self.open += 1
        try:
            await one.serve(self._app)
        finally:
            self.open -= 1


class _Request:
    """One request within its limits."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: Settings, observe: Observe
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._settings, self._observe = settings, observe
        self._began = time.monotonic()
        self._model = scope["path"].startswith(MODEL_API)
        self._most = settings.max_model_body if self._model else settings.max_body
        self._bytes = 0
        self._whole = False
        """Whether the body is here."""
        self._started = False
        """Whether the answer has begun."""
        self._refusal: Refused | None = None
        self._time = anyio.CancelScope()
        """Ends what has not begun to answer in time."""

    async def serve(self, app: Application) -> None:
        if has_header(self._scope, b"content-length") and has_header(self._scope, b"transfer-encoding"):
            # Whoever stands in front may read it otherwise, and take the rest for another request.
            await self.refuse(
                Refused(400, "two-lengths", "Send Content-Length or Transfer-Encoding, not both.")
            )
            return
        length = header(self._scope, b"content-length") or "0"
        if not length.isdigit() or len(length) > 15 or int(length) > self._most:
            await self.refuse(self._too_large())
            return
        try:
            if not self._model:
                self._time.deadline = anyio.current_time() + self._settings.request_timeout
            with self._time:
                await app(self._scope, self._read, self._write)
        except Refused as refusal:
            self._refusal = refusal
        if self._time.cancelled_caught:
            detail = f"No answer within {self._settings.request_timeout:g} s."
            self._refusal = Refused(504, "timeout", detail)
        if self._refusal is not None and not self._started:
            await self.refuse(self._refusal)

    async def refuse(self, refusal: Refused) -> None:
        self._refusal = None
        headers = {**refusal.headers, "Connection": "close"}
        answered = answer(self._scope["path"], refusal.status, refusal.kind, refusal.detail, headers=headers)
        await answered(self._scope, self._receive, self._write)

    async def _read(self) -> Message:
        if self._whole:
            return await self._receive()
        if self._refusal is not None:
            raise self._refusal
        left = self._began + self._settings.body_timeout - time.monotonic()
        with anyio.move_on_after(left) as waited:
            message = await self._receive()
        if waited.cancelled_caught:
            self._refusal = Refused(
                408, "slow-body", f"The body took over {self._settings.body_timeout:g} s."
            )
            raise self._refusal
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            self._refusal = self._too_large()
            raise self._refusal
        self._whole = not message.get("more_body", False)
        return message

    async def _write(self, message: Message) -> None:
        if self._refusal is not None and not self._started:
            return  # what the application makes of a body that was cut off is not the reason
        if message["type"] == "http.response.start" and not self._started:
            self._started = True
            self._time.deadline = math.inf
            self._observe(self._scope, message["status"], time.monotonic() - self._began)
        await self._send(message)

    def _too_large(self) -> Refused:
        return Refused(413, "too-large", f"A body may have {self._most} bytes (--max-body).")
