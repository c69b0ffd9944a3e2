"""Errors over HTTP: RFC 9457 problems, and OpenAI's shape where OpenAI's clients look for it.

Every error a request can meet passes here. What is a bug of ours is logged with
its traceback and told without any of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agentvm.views.values import clean
from agentvm_compiler.errors import AgentVMError, BackendError, CompileError, ConfigError, InputError
from agentvm_runtime.errors import RunLeased, StoreError, UnstorableValue

logger = logging.getLogger(__name__)

MODEL_API = ("/v1/chat/", "/v1/completions", "/v1/models", "/v1/responses", "/v1/embeddings", "/v1/tokenize")
"""Paths of the model API, whose clients expect OpenAI's errors."""

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Invalid input",
    500: "Internal error",
    502: "Bad gateway",
    503: "Unavailable",
    504: "Timeout",
}
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Refused(Exception):
    """A request that is not served; what the client is told."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}


def not_found(what: str, name: str, remedy: str) -> Refused:
    return Refused(404, f"{what}-not-found", f"There is no {what} {name[:200]!r} here. {remedy}")


def answer(
    path: str,
    status: int,
    kind: str,
    detail: str,
    *,
    errors: Sequence[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The response for an error, in the shape that clients of the path expect."""
    detail = clean(detail)
    if path.startswith(MODEL_API):
        type_ = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        body: dict[str, Any] = {"error": {"message": detail, "type": type_, "param": None, "code": kind}}
        return JSONResponse(body, status, headers)
    body = {
        "type": f"urn:agentvm:{kind}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = list(errors)
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def told(error: AgentVMError) -> tuple[int, str]:
    """Status and kind of an error that AgentVM raised on purpose."""
    if isinstance(error, InputError | CompileError | UnstorableValue):
        return 422, "invalid-input"
    if isinstance(error, RunLeased):
        return 409, "run-leased"
    if isinstance(error, StoreError):
        return 503, "store"
    if isinstance(error, BackendError):
        return 502, "model"
    if isinstance(error, ConfigError):
        return 422, "configuration"
    return 409, "run-state"


def install(app: FastAPI) -> None:
    """Give the application its handlers."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return answer(request.url.path, error.status, error.kind, error.detail, headers=error.headers)

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AgentVMError)
        return answer(request.url.path, *told(error), detail=str(error))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = [
            {"where": ".".join(str(part) for part in each["loc"]), "what": each["msg"]}
            for each in error.errors()
        ]
        detail = "; ".join(f"{each['where']}: {each['what']}" for each in found[:5])
        return answer(request.url.path, 422, "invalid-input", detail, errors=found[:50])

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kind = _TITLES.get(error.status_code, "Error").lower().replace(" ", "-")
        path = request.url.path
        headers = dict(error.headers or {})
        return answer(path, error.status_code, kind, f"{error.detail}: {path[:200]}", headers=headers)

    async def bug(request: Request, error: Exception) -> JSONResponse:
        logger.error("a request failed: %s %s", request.method, request.url.path, exc_info=error)
        detail = f"{type(error).__name__}. This is a bug in AgentVM: the server's log has the traceback."
        return answer(request.url.path, 500, "internal", detail)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(AgentVMError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, bug)
