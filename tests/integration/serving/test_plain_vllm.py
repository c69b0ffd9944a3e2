"""`vllm serve` with our scheduler, as docs/scheduling.md has it, and clients that know nothing of AgentVM."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import openai
import pytest

from agentvm_serving.backends.http import client_module
from agentvm_serving.vllm import LOG_VARIABLE
from agentvm_serving.vllm.environment import engine_variables
from agentvm_serving.vllm.records import SHOWN

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[3]
LIMIT = 600.0
"""Seconds after which a wait has failed; no machine is that slow."""
SLOTS = 2
VLLM = """\
#!{python}
# What `vllm` is where vLLM's CPU build is installed, whose distribution has another name: with options for a
# CPU, on a port that is free, and to its end with whoever has started it.
import sys

from agentvm_serving.vllm import environment, watchdog

if __name__ == "__main__":
    watchdog.guard()
environment.prepare_imports()
if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    sys.argv += "--port {port} --max-num-seqs {slots} --max-model-len 2048 --dtype float32".split()
    sys.argv.append("--enforce-eager")
    main()
"""


def snippet(kind: str) -> str:
    """The fenced block of that kind in the section on plain vLLM."""
    section = (ROOT / "docs" / "scheduling.md").read_text().partition("## From plain vLLM")[2]
    [found] = re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)
    return found


@dataclass
class Plain:
    """The server."""

    url: str
    model: str
    log: Path

    def client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=LIMIT)

    def first_scheduled(self) -> list[str]:
        """vLLM's names of requests, in the order they began."""
        events = map(json.loads, self.log.read_text().splitlines())
        return [each["request"] for each in events if each["event"] == "first_scheduled"]

    def added(self, name: str) -> bool:
        """Whether the scheduler knows a request whose name has that in it."""
        return any(name in json.loads(line)["request"] for line in self.log.read_text().splitlines())

    async def metrics(self) -> dict[str, float]:
        async with client_module().AsyncClient() as http:
            text = (await http.get(f"{self.url}/metrics/", follow_redirects=True)).text
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def record(self, key: str) -> dict[str, Any]:
        async with client_module().AsyncClient() as http:
            answer = await http.post(f"{self.url}/v1/agentvm/requests", json={"key": key})
        [record] = answer.json()["requests"]
        return dict(record)


@pytest.fixture(scope="module")
def plain(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    """The shell's lines as pasted, but for the installation and the model's name."""
    folder = tmp_path_factory.mktemp("plain")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "bin").mkdir()
    command = folder / "bin" / "vllm"
    command.write_text(VLLM.format(python=sys.executable, port=port, slots=SLOTS))
    command.chmod(0o755)
    lines = snippet("bash").replace("MODEL", str(model_folder))
    assert lines.startswith("pip install 'agentvm[cuda]'\n")
    environment = {
        **os.environ,
        **engine_variables(local=True),
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("", "compiler", "runtime", "serving")),
        "TMPDIR": str(folder),
        LOG_VARIABLE: str(folder / "events.jsonl"),
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["bash", "-c", lines.partition("\n")[2]],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    found = Plain(f"http://127.0.0.1:{port}", str(model_folder), folder / "events.jsonl")
    try:
        anyio.run(_ready, found, server, folder / "log")
        yield found
    finally:
        server.stdin.close()
        server.wait(LIMIT)


async def _ready(plain: Plain, server: subprocess.Popen[bytes], log: Path) -> None:
    http = client_module()
    with anyio.fail_after(LIMIT):
        async with http.AsyncClient() as client:
            while True:
                assert server.poll() is None, _said(log)
                try:
                    if (await client.get(f"{plain.url}/health")).status_code == 200:
                        return
                except http.TransportError:
                    await anyio.sleep(0.2)


def _said(log: Path) -> str:
    return log.read_text()[-4000:]


async def test_the_lines_of_the_docs_work_as_pasted(plain: Plain) -> None:
    """A request with a deadline is met by the policy that was asked for, recorded and counted."""
    before = await plain.metrics()
    code = snippet("python").replace("http://localhost:8000", plain.url).replace('"MODEL"', repr(plain.model))
    known: dict[str, Any] = {}
    # The deadline of the page is for a GPU.
    await anyio.to_thread.run_sync(exec, code.replace("time() + 20", f"time() + {LIMIT}"), known)
    assert known["answer"].choices[0].message.content
    record = await plain.record("report 1")
    assert set(record) == set(SHOWN)
    assert (record["slo"], record["outcome"], record["in_time"]) == ("deadline", "met", True)
    assert record["arrival"] <= record["first_scheduled_at"] <= record["finished_at"] <= record["deadline"]
    assert record["output_tokens"] == record["good_tokens"] == known["answer"].usage.completion_tokens
    after = await plain.metrics()
    gained = {name: after[name] - before[name] for name in after if name in before}
    tokens = record["output_tokens"]
    assert gained['agentvm:requests_total{outcome="met",slo="deadline"}'] == 1
    assert gained['agentvm:goodput_tokens_total{slo="deadline"}'] == tokens
    assert gained['agentvm:output_tokens_total{slo="deadline"}'] == tokens
    assert gained['agentvm:queue_seconds_count{slo="deadline"}'] == 1
    assert gained["agentvm:slack_seconds_count"] == gained["agentvm:length_error_count"] == 1
    assert 0 < gained["agentvm:slack_seconds_sum"] < LIMIT
    assert gained["agentvm:scheduling_seconds_count"] >= gained["agentvm:step_seconds_count"] >= tokens
    log = plain.log.with_name("log").read_text()
    assert re.search("AgentVM orders requests by .*jit", log, re.IGNORECASE)


async def test_every_metric_of_the_dashboard_is_told(plain: Plain) -> None:
    """Ours and vLLM's own, by their names."""
    panels = json.loads((ROOT / "examples" / "grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\b(?:agentvm|vllm):\w+", query)}
    assert asked - {name.partition("{")[0] for name in await plain.metrics()} == set()


async def test_a_hopeless_request_is_served_best_effort(plain: Plain) -> None:
    """By default; its record says why, and it is counted."""
    asked: dict[str, Any] = {"model": plain.model, "messages": [{"role": "user", "content": "Count to 99."}]}
    hints = {"version": 1, "slo": "deadline", "deadline": time.time() + 0.001, "site": "s", "key": "hopeless"}
    async with plain.client() as client:
        # From here the engine's pace is known.
        await client.chat.completions.create(**asked, max_tokens=30, extra_body={"ignore_eos": True})
        before = await plain.metrics()
        xargs = {"vllm_xargs": {"agentvm": json.dumps(hints)}}
        answer = await client.chat.completions.create(**asked, max_tokens=2, extra_body=xargs)
        assert answer.choices[0].finish_reason == "length"
    record = await plain.record("hopeless")
    assert record["why"].startswith("it has -")
    assert (record["outcome"], record["good_tokens"], record["refused"]) == ("missed", 0, False)
    after = await plain.metrics()
    assert after["agentvm:degraded_total"] - before["agentvm:degraded_total"] == 1
    name = 'agentvm:requests_total{outcome="missed",slo="deadline"}'
    assert after[name] - before[name] == 1


async def test_plain_clients_are_served_in_order_of_arrival(plain: Plain) -> None:
    """With every slot taken, those that wait begin one after the other as they came; streams and all."""
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 1000}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": numbers}}
    asked: dict[str, Any] = {"model": plain.model, "messages": [{"role": "user", "content": "Count."}]}
    names = [f"plain-{number}" for number in range(4)]
    async with plain.client() as client, anyio.create_task_group() as group:

        async def hold(task_status: anyio.abc.TaskStatus[anyio.CancelScope]) -> None:
            endless = {**asked, "max_tokens": 1900, "response_format": wanted, "stream": True}
            with anyio.CancelScope() as scope:
                stream = await client.chat.completions.create(**endless)
                async for _ in stream:
                    break
                task_status.started(scope)
                async for _ in stream:
                    pass

        async def ask(name: str, stream: bool) -> None:
            headers = {"X-Request-Id": name}
            answer = await client.chat.completions.create(
                **asked, max_tokens=2, stream=stream, extra_headers=headers
            )
            if stream:
                async for _ in answer:
                    pass

        scopes = [await group.start(hold) for _ in range(SLOTS)]
        for number, name in enumerate(names):
            group.start_soon(ask, name, number % 2 == 0)
            with anyio.fail_after(LIMIT):
                while not plain.added(name):  # noqa: ASYNC110 - a file has no event
                    await anyio.sleep(0.02)
        for each in scopes:
            each.cancel()
    order = [name for request in plain.first_scheduled() for name in names if name in request]
    assert order == names
