"""A server over an in-memory store and a scripted model, reached without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sse_starlette.sse import AppStatus

from agentvm import AgentVM, agent, ask_human, llm, tool
from agentvm.handle import Run
from agentvm.server.app import create_app
from agentvm.server.settings import Settings
from agentvm.testing import ScriptedLLM


@pytest.fixture(autouse=True)
def nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of an earlier test that was told to stop does not end the streams of this one."""
    monkeypatch.setattr(AppStatus, "should_exit", False)


@dataclass
class Report:
    """What `research` gives."""

    question: str
    body: str


@tool(effect="read")
async def search(query: str) -> list[str]:
    return [f"hit for {query}"]


@tool
async def publish(text: str) -> str:
    return f"published {text}"


@agent(deadline="30s")
async def research(question: str, breadth: int = 2) -> Report:
    """Find out."""
    queries = await llm(f"List {breadth} queries for: {question}", returns=list[str])
    notes = [await search(q) for q in queries]
    draft = await llm(f"Write on {question} from {notes}")
    for _ in range(3):
        review = await llm(f"Review: {draft}")
        if review == "ok":
            break
        draft = await llm(f"Revise {draft} given {review}")
    return Report(question=question, body=draft)


@agent
async def asks(topic: str) -> str:
    if await ask_human(f"Publish {topic}?", returns=bool):
        return await publish(topic)
    return "not published"


@agent
async def holds(topic: str) -> str:
    first = await llm(f"first {topic}")
    return await llm(f"hold {first}")


@agent
async def breaks(topic: str) -> str:
    await llm(f"one {topic}")
    raise ValueError(f"no {topic}")


AGENTS = [research, asks, holds, breaks]


class Model(ScriptedLLM):
    """Answers by rote; what begins with `hold` waits for `open`."""

    def __init__(self) -> None:
        super().__init__(self._say)
        self.open = asyncio.Event()
        self.held = asyncio.Event()
        """Set when a call waits."""

    async def _say(self, call: Any) -> Any:
        if call.prompt.startswith("List"):
            return ["a", "b"]
        if call.prompt.startswith("Review"):
            return "ok" if "Revised" in call.prompt else "more"
        if call.prompt.startswith("hold"):
            self.held.set()
            await self.open.wait()
        return "Revised" if call.prompt.startswith("Revise") else f"text of {call.prompt[:20]}"


class Api:
    """A client of one server, and what is behind it."""

    def __init__(self, app: FastAPI, vm: AgentVM, client: httpx.AsyncClient) -> None:
        self.app, self.vm, self.client = app, vm, client
        self.house = app.state.house

    async def get(self, url: str, **query: Any) -> Any:
        answer = await self.client.get(url, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, url: str, body: Any = None, expect: int = 200) -> Any:
        answer = await self.client.post(url, json={} if body is None else body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def start(self, name: str, **inputs: Any) -> str:
        """Start a run; its id."""
        found = await self.post("/v1/runs", {"agent": name, "inputs": inputs}, 201)
        return str(found["run"]["id"])

    async def ended(self, run: str) -> dict[str, Any]:
        """The run, once this server does not drive it any more."""
        handle: Run | None = self.vm.driven(run)
        if handle is not None:
            await handle._end.wait()
        return dict(await self.get(f"/v1/runs/{run}"))

    async def events(self, run: str, **query: Any) -> list[tuple[str, str, Any]]:
        """All of a stream that ends: kind, id and data of each event."""
        answer = await self.client.get(f"/v1/runs/{run}/events", params=query)
        return parse(answer.text)


def parse(text: str) -> list[tuple[str, str, Any]]:
    """The events of a stream, comments left out."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
        if "data" in fields:
            found.append((fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])))
    return found


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def settings() -> Settings:
    return Settings(poll=0.01)


Serving = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def serving(model: Model) -> Serving:
    """Serves a store with all agents, as often as one likes."""

    @asynccontextmanager
    async def serve(store: str, settings: Settings | None = None) -> AsyncIterator[Api]:
        async with AgentVM(store=store, llm=model) as vm:
            app = create_app(vm, AGENTS, settings or Settings(poll=0.01))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            ):
                yield Api(app, vm, client)

    return serve


@pytest.fixture
async def api(serving: Serving, settings: Settings) -> AsyncIterator[Api]:
    """A server with all agents, and a client of it."""
    async with serving("memory", settings) as api:
        yield api
