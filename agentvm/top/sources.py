"""Where runs are looked at: in a store, or through a server's API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx

from agentvm.views.engine import Engine, engine_of
from agentvm.views.goodput import Accounts, Goodput
from agentvm.views.nodes import NodeView, nodes_of
from agentvm_compiler.errors import AgentVMError, InputError
from agentvm_runtime.control import cancel
from agentvm_runtime.ports import Store

from .rows import NodeRow, RunRow, Snapshot, step_seconds

SECONDS = 10.0
"""In which a server must answer."""


class Unreachable(AgentVMError):
    """What is looked at does not answer now."""


class Source(Protocol):
    """What can be seen and done."""

    async def look(self) -> Snapshot:
        """Raises Unreachable if it does not answer."""
        ...

    async def nodes(self, run: str) -> Sequence[NodeRow]: ...

    async def cancel(self, run: str) -> str:
        """Stop a run for good; how it stands then."""
        ...


class _Engines:
    """What was seen of the engine before."""

    def __init__(self) -> None:
        self._before: Engine | None = None

    def snapshot(self, place: str, found: Goodput, runs: list[RunRow], engine: Engine | None) -> Snapshot:
        step = None if engine is None else step_seconds(engine, self._before)
        self._before = engine
        classes = found.classes if engine is None else engine.classes
        return Snapshot(time.time(), place, runs, classes, engine, step)


class StoreSource:
    """A store, and perhaps the metrics of an engine.

    Args:
        store: open.
        metrics: URL of the engine's `/metrics`.
    """

    def __init__(self, store: Store, place: str, limit: int, metrics: str | None = None) -> None:
        self._store = store
        self._place = place
        self._limit = limit
        self._metrics = metrics
        self._accounts = Accounts()
        self._engines = _Engines()

    async def look(self) -> Snapshot:
        found = await self._accounts.of(self._store, limit=self._limit)
        engine = None
        if self._metrics is not None:
            async with httpx.AsyncClient(timeout=SECONDS) as client:
                engine = engine_of((await _get(client, self._metrics)).text)
        rows = [RunRow.of(each) for each in found.runs]
        return self._engines.snapshot(self._place, found, rows, engine)

    async def nodes(self, run: str) -> Sequence[NodeRow]:
        record = await self._store.get_run(run)
        if record is None:
            raise InputError(f"There is no run {run!r} any more.")
        return [_node(path, each) for path, each in (await nodes_of(self._store, record)).items()]

    async def cancel(self, run: str) -> str:
        record = await self._store.get_run(run)
        if record is None:
            raise InputError(f"There is no run {run!r} any more.")
        return str((await cancel(self._store, record)).status)


def _node(path: str, view: NodeView) -> NodeRow:
    event = view.event
    ended = view.state in ("done", "failed") and event.finished_at > 0
    due = event.detail.get("deadline")
    slack = due - event.finished_at if due is not None and ended else None
    state = "reused" if view.reused else view.state
    finished = event.finished_at if ended else None
    tokens = event.detail.get("output_tokens")
    return NodeRow(path, event.node, state, event.started_at or None, finished, tokens, slack)


class ServerSource:
    """A server's API.

    Args:
        client: with the server's address and the token.
    """

    def __init__(self, client: httpx.AsyncClient, place: str, limit: int) -> None:
        self._client = client
        self._place = place
        self._limit = limit
        self._engines = _Engines()

    async def look(self) -> Snapshot:
        found = Goodput.model_validate((await _get(self._client, "/v1/goodput")).json())
        page = (await _get(self._client, f"/v1/runs?limit={min(self._limit, 500)}")).json()
        progress = {each["id"]: each["progress"] for each in page["runs"]}
        rows = [RunRow.of(each, progress.get(each.run)) for each in found.runs[: self._limit]]
        return self._engines.snapshot(self._place, found, rows, found.engine)

    async def nodes(self, run: str) -> Sequence[NodeRow]:
        answer = (await _get(self._client, f"/v1/runs/{run}/nodes?limit=10000")).json()
        return [_sent(each) for each in answer["nodes"]]

    async def cancel(self, run: str) -> str:
        try:
            answer = await self._client.post(f"/v1/runs/{run}/cancel", json={})
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._place} does not answer: {error}") from None
        _check(answer)
        return str(answer.json()["run"]["status"])


def _sent(node: dict[str, Any]) -> NodeRow:
    tokens = node["tokens"]
    return NodeRow(
        node["path"],
        node["kind"],
        "reused" if node["reused"] else node["state"],
        node["started_at"],
        node["finished_at"],
        None if tokens is None else tokens["output"],
        node["slack"],
    )


@asynccontextmanager
async def server(url: str, token: str | None, limit: int) -> AsyncIterator[ServerSource]:
    """The runs of a server, while inside."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=SECONDS) as client:
        yield ServerSource(client, url, limit)


async def _get(client: httpx.AsyncClient, path: str) -> httpx.Response:
    try:
        answer = await client.get(path)
    except httpx.HTTPError as error:
        raise Unreachable(
            f"{client.base_url.join(path)} does not answer: {error or type(error).__name__}"
        ) from None
    _check(answer)
    return answer


def _check(answer: httpx.Response) -> None:
    if answer.status_code in (401, 403):
        raise Unreachable(f"{answer.url} wants a token: set AGENTVM_TOKEN to the one the server printed.")
    if answer.is_error:
        raise Unreachable(f"{answer.url} answers {answer.status_code}: {_said(answer)}")


def _said(answer: httpx.Response) -> str:
    """What an error says of itself."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
