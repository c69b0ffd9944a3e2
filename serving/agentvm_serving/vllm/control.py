"""Reaching a running scheduler: hints that change, requests that end, records.

Two halves, joined by vLLM's own utility calls, which every kind of engine client
carries to the engine's process and runs there between two steps:

- in the engine's process `connect` adds one method to vLLM's `EngineCore`;
- in the API server `Control`, an ASGI middleware (`--middleware`), adds routes.

| route | body | answer |
| --- | --- | --- |
| `POST /v1/agentvm/hints` | `{"key" or "run": ..., "hints": {field: value}}` | `{"updated": n}` |
| | or `{"changes": [{"key" or "run": ..., "hints": ...}, ...]}` | |
| `POST /v1/agentvm/cancel` | `{"key" or "run": ...}` | `{"cancelled": n}` |
| `POST /v1/agentvm/requests` | `{"key": ...}` or `{"keys": [...]}` | `{"requests": [record, ...]}` |
| `POST /v1/agentvm/policy` | `{"policy": NAME}`, where the engine may, and is idle | `{"changed": 1}` |
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from agentvm_compiler.errors import ConfigError, InputError

from . import SWITCH_VARIABLE
from .refusals import PATHS, telling

PREFIX: Final = "/v1/agentvm/"
OPERATIONS: Final = ("hints", "cancel", "requests", "policy")

Scope: TypeAlias = MutableMapping[str, Any]
Channel: TypeAlias = Callable[..., Awaitable[Any]]


def connect() -> None:
    """Give the engine core of this process the method that `Control` calls. Idempotent."""
    core = sys.modules.get("vllm.v1.engine.core")  # not there: no engine, only its scheduler
    if core is not None:
        core.EngineCore.agentvm_control = _agentvm_control


def _agentvm_control(self, operation, body):  # type: ignore[no-untyped-def]  # vLLM converts by annotation
    return json.dumps(perform(self.scheduler, operation, json.loads(body)))


def perform(scheduler: Any, operation: str, body: Any) -> dict[str, Any]:
    """Do what a client asks; what is wrong with it comes back under `error`."""
    try:
        if operation == "cancel":
            return {"cancelled": scheduler.cancel(**_which(body))}
        if operation == "requests":
            return {"requests": scheduler.records(*(_list(body, "keys") or [_which(body)["key"]]))}
        if operation == "policy":
            return {"changed": _switch(scheduler, body)}
        changes = [
            _change(each) for each in _list(body, "changes") or [body]
        ]  # all are read before one is made
        return {"updated": sum(scheduler.update_hints(**each) for each in changes)}
    except (InputError, ConfigError) as error:
        return {"error": str(error)}


def _switch(scheduler: Any, body: Any) -> int:
    if not scheduler.may_change_policy:
        raise InputError(
            f"this engine keeps its policy. To change it, start the engine with {SWITCH_VARIABLE}=1"
        )
    wanted = body.get("policy") if isinstance(body, Mapping) else None
    if not isinstance(wanted, str):
        raise InputError('say which policy: "policy" is its name')
    scheduler.serve_by(wanted)
    return 1


def _change(body: Any) -> dict[str, Any]:
    which = _which(body)
    hints = body.get("hints")
    if not isinstance(hints, Mapping):
        raise InputError('say what to change: "hints": {field: value}')
    return {**which, "fields": hints}


def _which(body: Any) -> dict[str, str]:
    which = {name: body.get(name, "") if isinstance(body, Mapping) else "" for name in ("key", "run")}
    for name, value in which.items():
        if not isinstance(value, str):
            raise InputError(f"{name!r} is a string")
    if not any(which.values()):
        raise InputError('say which requests are meant: "key" or "run"')
    return which


def _list(body: Any, name: str) -> list[Any]:
    """A list in the body, all of strings if it is `keys`; empty where there is none."""
    found = body.get(name, []) if isinstance(body, Mapping) else []
    if not isinstance(found, list) or (name == "keys" and not all(isinstance(each, str) for each in found)):
        raise InputError(f"{name!r} is a list" + (" of strings" if name == "keys" else ""))
    return found


class Control:
    """ASGI middleware that adds the routes to the application, inside its authentication.

    It also tells clients of streams of refusals, of which vLLM itself tells nothing (`refusals`).
    """

    def __init__(self, app: Channel) -> None:
        self._app = app
        self._added = False

    async def __call__(self, scope: Scope, receive: Channel, send: Channel) -> None:
        if not self._added and "app" in scope:
            self._added = True
            _add_routes(scope["app"])
        tells = scope["type"] == "http" and scope["path"].endswith(PATHS)
        await self._app(scope, receive, telling(send) if tells else send)


def _add_routes(app: Any) -> None:
    from starlette.routing import Route

    for operation in OPERATIONS:
        app.router.routes.append(Route(PREFIX + operation, _endpoint(operation), methods=["POST"]))


def _endpoint(operation: str) -> Callable[[Any], Awaitable[Any]]:
    async def answer(request: Any) -> Any:
        from starlette.responses import JSONResponse

        try:
            body = json.loads(await request.body())
        except ValueError:
            return JSONResponse({"error": {"message": "the body is no JSON", "code": 400}}, 400)
        answers = [json.loads(each) for each in await _ask(request.app.state.engine_client, operation, body)]
        if wrong := next((each["error"] for each in answers if "error" in each), None):
            return JSONResponse({"error": {"message": wrong, "code": 400}}, 400)
        return JSONResponse(_together(answers))

    return answer


async def _ask(client: Any, operation: str, body: Any) -> list[str]:
    """The answers of all engines behind the client."""
    core = client.engine_core
    if hasattr(core, "call_utility_all_async"):
        return list(await core.call_utility_all_async("agentvm_control", operation, json.dumps(body)))
    if hasattr(core, "core_engines") and hasattr(core, "_call_utility_async"):  # 0.26: one answer of many
        told = ("agentvm_control", operation, json.dumps(body))
        each = (core._call_utility_async(*told, engine=engine) for engine in core.core_engines)
        return list(await asyncio.gather(*each))
    return [await core.call_utility_async("agentvm_control", operation, json.dumps(body))]


def _together(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts are added, lists joined."""
    first, *rest = answers
    for other in rest:
        first = {name: value + other[name] for name, value in first.items()}
    return first
