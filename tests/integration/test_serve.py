"""`agentvm serve` as a process: its socket, its signals, its words."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from agentvm.cli import main

ROOT = Path(__file__).parents[2]
TOKEN = "integration-test-token"

FLOW = """\
import asyncio
from pathlib import Path

from agentvm import agent, llm
from agentvm.testing import ScriptedLLM

HERE = Path(__file__).parent


@agent
async def chain(topic: str) -> str:
    first = await llm(f"first {topic}")
    return await llm(f"second {first}")


async def answer(call):
    with (HERE / "calls.log").open("a") as log:
        log.write(call.prompt + "\\n")
    if call.prompt.startswith("second") and (HERE / "hold").exists():
        (HERE / "holding").touch()
        await asyncio.Event().wait()
    return call.prompt.upper()


model = ScriptedLLM(answer)
"""


class Served:
    """One server process."""

    def __init__(self, process: subprocess.Popen[str], url: str, said: list[str]) -> None:
        self.process, self.url, self.said = process, url, said
        self.headers: dict[str, str] = {}

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + path, headers=self.headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def start(self, **body: Any) -> str:
        answer = httpx.post(f"{self.url}/v1/runs", json=body, headers=self.headers, timeout=60)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run"]["id"])

    def events(self, run: str) -> Iterator[tuple[str, Any]]:
        """The run's events as they come, until the server ends the stream."""
        url = f"{self.url}/v1/runs/{run}/events"
        with httpx.stream("GET", url, headers=self.headers, timeout=600) as answer:
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """End it; all it said."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        rest = self.process.stderr.read()
        assert self.process.wait(600) == 0
        return "\n".join([*self.said, rest])

    def raw(self, data: bytes) -> bytes:
        """What the server answers to these very bytes."""
        place = urlsplit(self.url)
        with socket.create_connection(("127.0.0.1", place.port or 0), timeout=60) as line:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            found = b""
            with suppress(ConnectionResetError):  # it does not read what it has refused
                while more := line.recv(65536):
                    found += more
            return found


@contextmanager
def served(folder: Path, *options: str, **variables: str) -> Iterator[Served]:
    """`agentvm serve` on a free port, with a store in the folder."""
    (folder / "flow.py").write_text(FLOW)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
    paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
    store = f"sqlite+aiosqlite:///{folder}/runs.db"
    command = [sys.executable, "-m", "agentvm", "serve", "flow.py", "--port", "0", "--store", store]
    process = subprocess.Popen(
        [*command, "--llm", "scripted:flow.py:model", *options],
        cwd=folder,
        env=kept | {"PYTHONPATH": os.pathsep.join(paths), **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said: list[str] = []
        while not (said and said[-1].startswith("agents:")):
            line = process.stderr.readline()
            assert line, "\n".join(said)
            said.append(line.rstrip())
        url = next(each.split()[-1] for each in said if each.startswith("AgentVM serves"))
        yield Served(process, url.replace("0.0.0.0", "127.0.0.1"), said)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_runs_outlive_the_server(tmp_path: Path, number: int) -> None:
    """Stopped in order or killed: the next server finishes what was under way, and does nothing twice."""
    (tmp_path / "hold").touch()
    with served(tmp_path) as server:
        run = server.start(agent="chain", inputs={"topic": "x"})
        seen = []
        for kind, data in server.events(run):
            seen.append(kind)
            held = kind == "progress" and [each["path"] for each in data["running"]] == ["llm#2"]
            if held and (tmp_path / "holding").exists():
                break
        if number == signal.SIGTERM:
            server.stop()
        else:
            server.process.kill()
            server.process.wait()
    (tmp_path / "hold").unlink()
    with served(tmp_path) as server:
        assert [kind for kind, _ in server.events(run)][-1] == "end"
        assert server.get(f"/v1/runs/{run}")["result"] == "SECOND FIRST X"
    calls = (tmp_path / "calls.log").read_text().splitlines()
    assert calls.count("first x") == 1
    assert calls.count("second FIRST X") == 2


def test_stopping_ends_streams_and_says_so(tmp_path: Path) -> None:
    """A client learns that it is to connect again, and the server does not wait for it."""
    (tmp_path / "hold").touch()
    with served(tmp_path) as server:
        run = server.start(agent="chain", inputs={"topic": "x"})
        events = server.events(run)
        assert next(events)[0] in ("run", "journal", "progress")
        server.process.send_signal(signal.SIGTERM)
        assert [kind for kind, _ in events][-1] == "closing"
        assert server.process.wait(600) == 0


def test_beyond_loopback_a_token_is_made_and_wanted(tmp_path: Path) -> None:
    """It is said once, to whoever starts the server."""
    with served(tmp_path, "--host", "0.0.0.0") as server:
        assert httpx.get(f"{server.url}/v1/runs").status_code == 401
        assert server.process.stderr is not None
        token = server.process.stderr.readline().split()[-1]
        server.headers = {"Authorization": f"Bearer {token}"}
        assert server.get("/v1/runs")["runs"] == []


def test_a_token_that_was_given_is_never_said(tmp_path: Path) -> None:
    """Neither at the start, nor in the log of requests that bring it."""
    with served(tmp_path, "--host", "0.0.0.0", AGENTVM_TOKEN=TOKEN) as server:
        server.headers = {"Authorization": f"Bearer {TOKEN}"}
        run = server.start(agent="chain", inputs={"topic": "x"})
        assert [kind for kind, _ in server.events(run)][-1] == "end"
        httpx.get(f"{server.url}/v1/runs?token={TOKEN}")
        assert server.raw(b"GET /%s HTTP/1.1\r\nbroken\r\n\r\n" % TOKEN.encode())
        assert TOKEN not in server.stop()


def test_bytes_that_are_no_request_are_refused_and_the_server_goes_on(tmp_path: Path) -> None:
    """Split and smuggled requests, long heads, and lines that would become headers."""
    length = b"Content-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"
    with served(tmp_path) as server:
        for data, status in {
            b"\x00\x01\x02\r\n\r\n": (400,),
            b"GET /v1/runs HTTP/1.1\r\n\r\n": (400,),
            b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n": (400,),
            b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000 + b"\r\n\r\n": (0, 400, 431),
            b"GET /v1/runs/a\r\nX-Injected: 1 HTTP/1.1\r\nHost: localhost\r\n\r\n": (400,),
            b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n": (400, 413),
            b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\n" + length: (400,),
            b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\n"
            + length.replace(b"{}", b"0\r\n\r\nGET /v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n"): (400,),
            b"GET /v1/runs/%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n": (
                404,
                422,
            ),
        }.items():
            answer = server.raw(data)
            head = answer.partition(b"\r\n\r\n")[0]
            assert int(head.split()[1] if head else 0) in status, (data[:80], answer[:300])
            assert b"X-Injected" not in head
            assert answer.count(b"HTTP/1.1 ") <= 1, "what is hidden in a body is no request"
        assert server.get("/healthz")["status"] == "ok"
        assert server.get("/v1/runs")["runs"] == []
        assert "Traceback" not in server.stop()


def test_what_is_wrong_with_the_options_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token that is short, a file that is not there: before anything is begun."""
    (tmp_path / "short").write_text("short")
    (tmp_path / "flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    model = ["--llm", "scripted:flow.py:model", "--store", "memory"]
    for options, told in {
        ("flow.py", "--token-file", "short"): "at least 16 characters",
        ("flwo.py",): "Did you mean flow.py",
    }.items():
        with pytest.raises(SystemExit) as ended:
            main(["serve", *options, *model])
        assert ended.value.code == 2
        assert told in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "flow.py").write_text(FLOW)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        options = ["--port", port, "--llm", "scripted:flow.py:model", "--store", "memory"]
        done = subprocess.run(
            [sys.executable, "-m", "agentvm", "serve", "flow.py", *options],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *_parts()])},
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 2
    assert "cannot be bound" in done.stderr


def _parts() -> list[str]:
    return [str(ROOT / each) for each in ("compiler", "runtime", "serving")]
