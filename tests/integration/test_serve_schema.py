"""schemathesis over the API's own description: what fits it, and what does not, is answered without a 500."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from agentvm import AgentVM, agent, ask_human, llm
from agentvm.server.app import create_app
from agentvm.server.settings import Settings
from agentvm.testing import ScriptedLLM

TOKEN = "a-token-for-the-schema"


@agent
async def talks(topic: str, times: int = 1) -> str:
    return await llm(f"talk about {topic}")


@agent
async def asks(topic: str) -> str:
    return topic if await ask_human(f"{topic}?", returns=bool) else "no"


class Server:
    """A server in a thread of its own, as schemathesis is synchronous."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with AgentVM(store="memory", llm=ScriptedLLM("words")) as vm:
            await vm.run(talks, "a", run_id="first")
            app = create_app(vm, [talks, asks], Settings(host="0.0.0.0", token=TOKEN, poll=0.01))
            config = uvicorn.Config(app, port=0, http="h11", ws="none", log_level="error")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve())
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            self._ready.set()
            await self._stop.wait()
            app.state.house.runner.closing.set()
            server.should_exit = True
            await serving

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(600)
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


EXAMPLES = settings(max_examples=8, suppress_health_check=list(HealthCheck))
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def test_no_request_is_a_server_error() -> None:
    """Every operation, with values that fit its description; half of them of a run that is there."""
    with Server() as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=HEADERS)
        operations = [each.ok() for each in schema.get_all_operations()]
        assert len(operations) > 20
        for operation in operations:
            _try(operation, GenerationMode.POSITIVE)
            _try(operation, GenerationMode.NEGATIVE)


def _try(operation: schemathesis.APIOperation, mode: GenerationMode) -> None:
    """Requests of one operation, with values that fit, or that do not."""

    @EXAMPLES
    @given(operation.as_strategy(generation_mode=mode))
    def one(case: schemathesis.Case) -> None:
        if len(str(case.path_parameters.get("run", ""))) % 2:
            case.path_parameters["run"] = "first"
        if isinstance(case.body, dict) and len(str(case.body.get("agent"))) % 2:
            case.body["agent"] = "talks"
        answer = case.call(headers=HEADERS, timeout=60)
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        case.validate_response(answer, checks=[status_code_conformance, response_schema_conformance])

    with suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
        one()
