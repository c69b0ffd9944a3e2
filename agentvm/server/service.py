"""Routes about the server itself: health, readiness, metrics, and signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

import agentvm
from agentvm_compiler.errors import AgentVMError

from .auth import COOKIE, cookie_value, same, signed_in
from .metrics import exposition
from .models import Given, Health, Problem
from .problems import Refused

if TYPE_CHECKING:
    from .house import House

STORE_SECONDS = 5.0
"""In which the store must answer for the server to be ready."""


class SignIn(Given):
    token: Annotated[str, Field(min_length=1, max_length=1024)]


class Session(BaseModel):
    """Whether requests of this client are let in."""

    required: bool
    signed_in: bool


def service_api(house: House, **options: Any) -> APIRouter:
    """The routes; `options` are those of the router."""
    api = APIRouter(tags=["service"], **options)
    token = house.settings.token

    @api.get("/healthz")
    async def alive() -> Health:
        """Whether the process serves at all."""
        return Health(status="ok", version=agentvm.__version__)

    @api.get("/readyz", responses={503: {"model": Health}})
    async def ready() -> JSONResponse:
        """Whether runs can be started: the store answers, the model is there, the server does not stop."""
        found = await _health(house)
        return JSONResponse(found.model_dump(), 200 if found.status == "ok" else 503)

    @api.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus metrics, the engine's included."""
        text = await exposition(house)
        return Response(text + await house.model_metrics(), media_type="text/plain; version=0.0.4")

    @api.get("/v1/session")
    async def session(request: Request) -> Session:
        """Whether this client is let in, and whether that takes a token."""
        return Session(required=token is not None, signed_in=signed_in(request.scope, house.settings))

    @api.post("/v1/session", responses={401: {"model": Problem}})
    async def sign_in(body: SignIn, request: Request) -> Response:
        """Exchange the token for a cookie, for pages that follow events."""
        if token is None or not same(body.token, token):
            raise Refused(401, "token-wrong", "That is not this server's token.")
        answer = JSONResponse(Session(required=True, signed_in=True).model_dump())
        secure = request.url.scheme == "https"
        value = cookie_value(token)
        answer.set_cookie(COOKIE, value, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    @api.delete("/v1/session")
    async def sign_out() -> Response:
        """Forget the cookie."""
        answer = JSONResponse(Session(required=token is not None, signed_in=token is None).model_dump())
        answer.delete_cookie(COOKIE, path="/")
        return answer

    return api


async def _health(house: House) -> Health:
    store = False
    try:
        with anyio.move_on_after(STORE_SECONDS):
            await house.vm.store.get_run("")
            store = house.runner.failure is None
    except AgentVMError:
        pass
    model = house.model_state()
    closing = house.runner.closing.is_set()
    waits = not store or model in ("starting", "failed")
    return Health(
        status="closing" if closing else "starting" if waits else "ok",
        version=agentvm.__version__,
        store=store,
        model=model,
        runs=house.runner.driven,
    )
