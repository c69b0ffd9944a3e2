"""The model API of `agentvm serve`, driven by clients that know nothing of AgentVM."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from agentvm import AgentVM, agent, llm
from agentvm.server.app import create_app
from agentvm.server.listening import listen
from agentvm.server.settings import Settings
from agentvm_serving.backends.vllm import VllmBackend

pytestmark = pytest.mark.engine

TOKEN = "token-of-the-model-api"
SLOTS = 4
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


class Served:
    """A server over the engine, on a socket of its own."""

    def __init__(self, url: str, engine: VllmBackend) -> None:
        self.url, self.engine = url, engine
        self.model = engine.folder.name

    def client(self, **headers: str) -> openai.AsyncOpenAI:
        """The official client, as anybody would make it."""
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=TOKEN, default_headers=headers, max_retries=0, timeout=600
        )

    async def begun(self, key: str) -> None:
        """Return when the request with that key has a slot."""
        while True:
            if any(each["first_scheduled_at"] for each in await self.engine.scheduler.records(key)):
                return
            await anyio.sleep(0.05)

    async def record(self, key: str) -> dict[str, Any]:
        """The scheduler's account of the request with that key."""
        [record] = await self.engine.scheduler.records(key)
        return record


@pytest.fixture
async def served(engine: VllmBackend) -> AsyncIterator[Served]:
    settings = Settings(host="127.0.0.1", token=TOKEN)
    said: list[str] = []
    heard = anyio.Event()

    def told(url: str) -> None:
        said.append(url)
        heard.set()

    async with AgentVM(store="memory", llm=engine) as vm, anyio.create_task_group() as tasks:
        app = create_app(vm, [], settings)
        tasks.start_soon(partial(listen, app, settings, 0, 1.0, None, told))
        await heard.wait()
        yield Served(said[0], engine)
        signal.raise_signal(signal.SIGTERM)


def fresh() -> str:
    """A key of this test alone."""
    return uuid.uuid4().hex


async def test_the_official_client_asks_streams_and_lists(served: Served) -> None:
    """Without a word of AgentVM's."""
    async with served.client() as client:
        assert served.model in [each.id async for each in client.models.list()]
        answer = await client.chat.completions.create(model=served.model, messages=QUESTION, temperature=0)
        assert answer.choices[0].message.content == "The capital of France is Paris."
        stream = await client.chat.completions.create(
            model=served.model, messages=QUESTION, temperature=0, stream=True
        )
        pieces = [each.choices[0].delta.content or "" async for each in stream]
        assert "".join(pieces) == "The capital of France is Paris."
        assert len([each for each in pieces if each]) > 1
        text = await client.completions.create(model=served.model, prompt="One, two,", max_tokens=3)
        assert text.usage.completion_tokens == 3


async def test_one_line_gives_a_client_deadlines(served: Served) -> None:
    """`default_headers`; requests without share the server, and are best effort."""
    key = fresh()
    headers = {"X-AgentVM-Deadline": "20s", "X-AgentVM-Key": key, "X-AgentVM-Program": "asker"}
    before = time.time()
    async with served.client(**headers) as client, served.client() as plain:

        async def ask(who: openai.AsyncOpenAI, **more: Any) -> None:
            options = {"model": served.model, "messages": QUESTION, "max_tokens": 8, **more}
            await who.chat.completions.create(**options)

        other = fresh()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, client)
            tasks.start_soon(ask, plain)
            field = {"extra_body": {"agentvm": {"ttft": "2s", "tbt": "150ms", "key": other}}}
            tasks.start_soon(partial(ask, plain, **field))
    record = await served.record(key)
    assert record["slo"] == "deadline"
    assert before + 20 <= record["deadline"] <= time.time() + 20
    assert (await served.record(other))["slo"] == "latency"


@agent(deadline="10m")
async def asker(question: str) -> str:
    return await llm(question, temperature=0, max_tokens=16)


async def test_agents_elsewhere_take_it_for_their_model(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--llm openai:URL#MODEL`: one engine for many commands, which their deadlines reach."""
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    async with AgentVM(store="memory", llm=f"openai:{served.url}/v1#{served.model}") as vm:
        run = await vm.start(asker, QUESTION[0]["content"])
        assert await run.result() == "The capital of France is Paris."
    record = await served.record(f"{run.id}/llm#1")
    assert (record["slo"], record["outcome"]) == ("deadline", "met")


async def test_a_langgraph_program_gains_deadlines_by_one_line(served: Served) -> None:
    """`default_headers` of LangChain's own chat model; all calls of the graph have them."""
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    graphs = pytest.importorskip("langgraph.graph", reason="LangGraph is not installed")
    key = fresh()
    model = langchain.ChatOpenAI(
        model=served.model,
        base_url=f"{served.url}/v1",
        api_key=TOKEN,
        max_tokens=4,
        default_headers={"X-AgentVM-Deadline": "600s", "X-AgentVM-Key": key},
    )

    async def ask(state: Any) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("first", ask).add_node("second", ask)
    graph.add_edge(graphs.START, "first").add_edge("first", "second").add_edge("second", graphs.END)
    found = await graph.compile().ainvoke({"messages": [("user", "What is the capital of France?")]})
    assert len(found["messages"]) == 3
    records = await served.engine.scheduler.records(key)
    assert [each["slo"] for each in records] == ["deadline", "deadline"]


async def test_a_pydantic_ai_program_gains_deadlines_by_one_line(served: Served) -> None:
    """The client that its provider is given has the headers."""
    pydantic_ai = pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    key = fresh()
    async with served.client(**{"X-AgentVM-Deadline": "600s", "X-AgentVM-Key": key}) as client:
        model = OpenAIChatModel(served.model, provider=OpenAIProvider(openai_client=client))
        agent = pydantic_ai.Agent(model, model_settings={"temperature": 0, "max_tokens": 16})
        assert (await agent.run(QUESTION[0]["content"])).output == "The capital of France is Paris."
    assert (await served.record(key))["slo"] == "deadline"


async def test_an_objective_that_cannot_be_read_is_refused(served: Served) -> None:
    """The client raises its own error, whose message has the remedy."""
    async with served.client(**{"X-AgentVM-Deadline": "soon"}) as client:
        with pytest.raises(openai.BadRequestError, match=r"x-agentvm-deadline: 'soon' is no time. Write 20s"):
            await client.chat.completions.create(model=served.model, messages=QUESTION)


async def test_structured_output_and_tools_pass(served: Served) -> None:
    """What vLLM offers is offered here."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    schema["properties"]["city"]["maxLength"] = 20
    # Without `strict` vLLM sees to the form of the call only, and the small model's arguments fit nothing.
    function = {"name": "look_up", "parameters": schema, "strict": True}
    choice = {"type": "function", "function": {"name": "look_up"}}
    async with served.client() as client:
        answer = await client.chat.completions.create(
            model=served.model, messages=QUESTION, response_format=wanted, max_tokens=60, temperature=0
        )
        assert isinstance(json.loads(answer.choices[0].message.content)["city"], str)
        answer = await client.chat.completions.create(
            model=served.model,
            messages=QUESTION,
            tools=[{"type": "function", "function": function}],
            tool_choice=choice,
            max_tokens=60,
            temperature=0,
        )
        [call] = answer.choices[0].message.tool_calls
        assert call.function.name == "look_up"
        assert isinstance(json.loads(call.function.arguments)["city"], str)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_frees_its_slot(served: Served, stream: bool) -> None:
    """With every slot taken by answers without end, another is answered once they are given up."""
    keys = [fresh() for _ in range(SLOTS)]
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
    endless = {
        "model": served.model,
        "messages": [{"role": "user", "content": "Count."}],
        "max_tokens": 3800,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": numbers}},
    }
    async with served.client() as client:

        async def hold(key: str) -> None:
            headers = {"X-AgentVM-Key": key, "X-AgentVM-Deadline": "10d"}
            answer = await client.chat.completions.create(**endless, stream=stream, extra_headers=headers)
            async for _ in answer:
                pass

        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(hold, key)
            for key in keys:
                await served.begun(key)
            tasks.cancel_scope.cancel()
        answer = await client.chat.completions.create(model=served.model, messages=QUESTION, temperature=0)
        assert answer.choices[0].message.content == "The capital of France is Paris."
    for key in keys:
        record = await served.record(key)
        assert record["status"] == "FINISHED_ABORTED" and not record["refused"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_drives_it(served: Served) -> None:
    """With the token it answers; without, or with a wrong one, it does not."""
    body = json.dumps({"model": served.model, "messages": QUESTION, "temperature": 0})
    curl = [
        "curl",
        "-s",
        f"{served.url}/v1/chat/completions",
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
    ]
    done = await anyio.run_process(
        [*curl, "-H", f"Authorization: Bearer {TOKEN}", "-H", "X-AgentVM-TTFT: 2s"]
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "The capital of France is Paris."
    error = json.loads((await anyio.run_process(curl)).stdout)["error"]
    assert error["type"] == "authentication_error"


BENCH = """
import argparse, sys
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args(sys.argv[1:]))
"""


async def test_vllms_own_benchmark_drives_it(served: Served, tmp_path: Path) -> None:
    """`vllm bench serve --goodput`, which that command's own entry point runs."""
    place = served.url.rpartition("//")[2]
    host, _, port = place.partition(":")
    options = {
        "--model": str(served.engine.folder),
        "--served-model-name": served.model,
        "--host": host,
        "--port": port,
        "--endpoint": "/v1/completions",
        "--dataset-name": "random",
        "--random-input-len": "16",
        "--random-output-len": "4",
        "--num-prompts": "4",
        "--result-dir": str(tmp_path),
        "--result-filename": "bench.json",
    }
    goodput = ["--goodput", "ttft:600000", "e2el:600000", "--save-result"]
    headers = ["--header", f"Authorization=Bearer {TOKEN}", "X-AgentVM-Deadline=60s"]
    flat = [part for pair in options.items() for part in pair]
    script = tmp_path / "bench.py"
    script.write_text(BENCH)
    done = await anyio.run_process(
        [sys.executable, str(script), *flat, *goodput, *headers],
        check=False,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout.decode()[-3000:]
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["completed"] == 4
    assert found["request_goodput"] > 0


async def test_the_engines_metrics_are_among_the_servers(served: Served) -> None:
    """One place to scrape."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with served.client() as asking:
        await asking.completions.create(model=served.model, prompt="One, two,", max_tokens=3)
    async with openai.DefaultAsyncHttpxClient() as client:
        text = (await client.get(f"{served.url}/metrics", headers=headers)).text
        health = (await client.get(f"{served.url}/readyz")).json()
    for name in (
        "agentvm_api_seconds_count",
        "agentvm_runs{",
        "vllm:num_requests_running",
        "agentvm:requests",
    ):
        assert name in text
    assert health["model"] == "ready"
