"""Telling the client of a stream that its request was ended before its first token.

vLLM streams neither a reason nor an end for such a request: a plain client sees
an empty answer that looks like a good one. What OpenAI's API has for it is an
error event, which its clients raise; it is put before the end of such a stream.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

REFUSED: Final = "agentvm_refused"
"""The type of the error."""
PATHS: Final = ("/chat/completions", "/completions")
DONE: Final = b"data: [DONE]"
SAID: Final = (b'"finish_reason":"', b'data: {"error"')
"""What a stream has that says how it ended. In an answer's text the quotation marks are escaped."""
EVENT: Final = (
    b"data: %b\n\n"
    % json.dumps(
        {
            "error": {
                "message": "The scheduler ended the request before its first token: it could not be in time, "
                "or somebody cancelled it. POST /v1/agentvm/requests with the key of its hints tells why.",
                "type": REFUSED,
                "code": 422,
            }
        }
    ).encode()
)

Message = MutableMapping[str, Any]


def telling(send: Callable[[Message], Awaitable[Any]]) -> Callable[[Message], Awaitable[None]]:
    """An ASGI `send` that adds the error to an event stream that ends without saying how."""
    streams = said = False

    async def tell(message: Message) -> None:
        nonlocal streams, said
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
            streams = any(each.startswith(b"text/event-stream") for each in kinds)
        elif streams and not said:
            body = message.get("body", b"")
            said = any(each in body for each in SAID)
            if not said and DONE in body:
                said = True
                message = {**message, "body": body.replace(DONE, EVENT + DONE, 1)}
        await send(message)

    return tell
