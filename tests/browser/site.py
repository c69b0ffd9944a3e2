"""A real server on a real port, in a thread, with a model whose answers can be held back."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import httpx
import uvicorn

from agentvm import AgentVM
from agentvm.server.app import create_app
from agentvm.server.settings import Settings
from agentvm.testing import ScriptedLLM
from agentvm_compiler.calls import Agent
from agentvm_compiler.wire import CallRecord, HintsChange, ModelCall, ModelResult

from .agents import AGENTS


class Gate:
    """Lets nobody through until it is opened, by another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        with self._lock:
            self._opened = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def passed(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if self._opened:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


class Model:
    """Answers by the first word of the prompt; calls with a word that is held wait until it is released."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = {"topics": ["stars", "dust"], **(answers or {})}
        self._held: dict[str, Gate] = {}
        self._said: dict[str, list[tuple[str, Gate]]] = {}
        self.prompts: list[str] = []
        self.scheduled = False
        """Whether a scheduler tells of its calls; to be set before the server starts."""

    def speak(self, word: str, *pieces: str) -> list[Callable[[], None]]:
        """Answer calls with the word in pieces; what it returns lets the model go on after each."""
        self._said[word] = said = [(each, Gate()) for each in pieces]
        self.answers[word] = "".join(pieces)
        return [gate.open for _, gate in said]

    async def pieces(self, call: ModelCall) -> AsyncIterator[str]:
        """What is said before the whole answer is there."""
        for piece, gate in self._said.get(call.prompt.partition(" ")[0], ()):
            yield piece
            await gate.passed()

    def hold(self, word: str) -> Callable[[], None]:
        """Hold calls back whose prompt begins with the word; what it returns lets them go on."""
        gate = self._held[word] = Gate()
        return gate.open

    async def answer(self, call: ModelCall) -> Any:
        self.prompts.append(call.prompt)
        word = call.prompt.partition(" ")[0]
        if word in self._held:
            await self._held[word].passed()
        return self.answers.get(word, f"<{call.prompt}>")


class Scheduler:
    """Says of each call that it was held, started and preempted."""

    async def update(self, changes: Sequence[HintsChange]) -> None:
        return

    async def cancel(self, *, run: str) -> int:
        return 0

    async def served(self, keys: Sequence[str]) -> list[CallRecord]:
        now = time.time()
        return [
            CallRecord(
                each,
                queued_at=now - 2,
                started_at=now - 1.5,
                finished_at=now - 0.5,
                held_seconds=0.25,
                preempted_at=(now - 1,),
                updates=1,
                expected_tokens=40,
                outcome="met",
            )
            for each in keys
        ]

    async def records(self, key: str) -> list[dict[str, Any]]:
        return []


class Speaking(ScriptedLLM):
    """Says what the model says, as it says it."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.answer)
        self._model = model
        if model.scheduled:
            self.scheduler = Scheduler()

    async def complete(
        self, call: ModelCall, progress: Callable[[int, str], None] | None = None
    ) -> ModelResult:
        count = 0
        async for piece in self._model.pieces(call):
            count += 1
            if progress is not None:
                progress(count, piece)
        return await super().complete(call, None if count else progress)


def _bound(port: int) -> socket.socket:
    """A socket with that port of this machine, which may have others of this process."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


class Site:
    """A server with the agents of these tests. The port stays the same when it is started again."""

    def __init__(
        self, store: str, model: Model, token: str | None = None, agents: Sequence[Agent] = AGENTS
    ) -> None:
        self.model = model
        self._agents = agents
        self._settings = Settings(token=token)
        self._store = store
        self._kept = _bound(0)  # nobody else gets the port, also while the server is stopped
        self.port: int = self._kept.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Returns when requests are answered."""
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), daemon=True)
        self._thread.start()
        assert up.wait(60), "the server did not start"

    def stop(self) -> None:
        """End the server as a signal would; its runs stay as they are."""
        self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive(), "the server did not stop"

    def begin(self, agent: str, _options: Mapping[str, Any] | None = None, /, **inputs: Any) -> str:
        """Start a run without the page; returns its id."""
        body = {"agent": agent, "inputs": inputs, **(_options or {})}
        answer = httpx.post(f"{self.url}/v1/runs", json=body)
        assert answer.status_code == 201, answer.text
        run: str = answer.json()["run"]["id"]
        return run

    def ended(self, run: str) -> dict[str, Any]:
        """The run, when it has ended; waits for the end of its event stream."""
        with httpx.stream("GET", f"{self.url}/v1/runs/{run}/events", timeout=60) as stream:
            lines = iter(stream.iter_lines())
            for line in lines:
                if line == "event: end":
                    found: dict[str, Any] = json.loads(next(lines).removeprefix("data: "))
                    return found
        raise AssertionError(f"the events of {run} broke off")

    async def _serve(self, up: threading.Event) -> None:
        async with AgentVM(store=self._store, llm=Speaking(self.model)) as vm:
            app = create_app(vm, self._agents, self._settings)
            config = uvicorn.Config(
                app, host="127.0.0.1", port=self.port, log_level="error", timeout_graceful_shutdown=1
            )
            self._server = _Server(config, up)
            await self._server.serve(sockets=[_bound(self.port)])


class _Server(uvicorn.Server):
    """Tells when it is up; leaves the signals of this process alone."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()
