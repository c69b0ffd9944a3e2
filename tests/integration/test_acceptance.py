"""What a new user tries, on the real parts: examples on the small model, `kill -9`, mistakes, a full disk."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx
import pytest

from agentvm.loading import load_agent
from agentvm_runtime.records import Event, EventKind
from agentvm_runtime.store import open_store
from agentvm_runtime.values import decode
from agentvm_serving.backends.engine import last_words
from agentvm_serving.vllm import LOG_VARIABLE, SERVER_MODULE
from agentvm_serving.vllm.server import OWNER_FLAG
from tests.integration.relay import Relay

ROOT = Path(__file__).parents[2]
RESEARCH = f"{ROOT / 'examples' / 'research.py'}:research"
CHAT = f"{ROOT / 'examples' / 'chat_tools.py'}:chat"
MINUTES = 60
"""The deadline of the runs here: none may miss it, however busy the machine."""
QUESTION = ("-i", "question=Why is the sky dark at night?", "--deadline", f"{MINUTES}m")
SOURCES = os.pathsep.join(map(str, [ROOT, *(ROOT / each for each in ("compiler", "runtime", "serving"))]))

T = TypeVar("T")


def until(look: Callable[[], T], what: str, limit: float = 900.0) -> T:
    """Look again and again until there is something to see."""
    end = time.monotonic() + limit
    while not (found := look()):
        assert time.monotonic() < end, f"waited {limit:.0f} s for {what}"
        time.sleep(0.02)
    return found


@dataclass
class Shell:
    """A terminal in a folder of its own; the store, logs and the user's data are in there too."""

    folder: Path
    llm: str = ""
    place: Path | None = None
    """Where the store is, if not in the folder itself."""

    @property
    def store(self) -> str:
        return f"sqlite+aiosqlite:///{(self.place or self.folder) / 'runs.db'}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
        return kept | {
            "PYTHONPATH": os.pathsep.join(filter(None, [SOURCES, os.environ.get("PYTHONPATH")])),
            "AGENTVM_STORE": self.store,
            "AGENTVM_LLM": self.llm,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "NO_COLOR": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `agentvm`."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "agentvm", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """Start `agentvm run`; the process and the run's id."""
        process = self.start("run", *arguments)
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("run "), first + process.stderr.read()
        return process, first.split()[1]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `agentvm` to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=1800)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str) -> Any:
        """The document of a command that succeeds."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def journal(self, run: str) -> list[tuple[Event, Any]]:
        """What is durably recorded of a run: events with their values."""

        async def read() -> list[tuple[Event, Any]]:
            store = open_store(self.store)
            await store.open()
            try:
                events = await store.events(run)
                values = await store.values([each.value for each in events if each.value])
            finally:
                await store.aclose()
            return [(each, decode(values[each.value]) if each.value else None) for each in events]

        return anyio.run(read)

    def answered(self, run: str) -> set[str]:
        """Paths of the model calls whose answers are recorded."""
        return {
            each.path for each, _ in self.journal(run) if (each.kind, each.node) == (EventKind.DONE, "llm")
        }


def model_at(url: str) -> str:
    """The model of a server, as `--llm` takes it."""
    return f"openai:{url}/v1#smollm2-135m"


@dataclass
class Server:
    """Our vLLM server on a port of this machine, as seen from outside."""

    url: str
    log: Path

    def events(self, stage: str) -> list[dict[str, Any]]:
        """What the scheduler logged of one stage."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [each for each in found if each["event"] == stage]

    def asked(self, run: str) -> Counter[str]:
        """How often each model call of a run reached the engine, by the path of its node."""
        keys = [each["key"] for each in self.events("added")]
        return Counter(key.removeprefix(f"{run}/") for key in keys if key.startswith(f"{run}/"))

    def served(self) -> int:
        """How many requests the engine says it has served to their end."""
        until(lambda: len(self.events("added")) == len(self.events("finished")), "the engine to be idle")
        metrics = httpx.get(f"{self.url}/metrics").text
        found = re.findall(
            r'vllm:request_success_total\{.*finished_reason="(?:stop|length)".*\} (\S+)', metrics
        )
        return int(sum(map(float, found)))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


# Before the fixture `server` is first used, so that there is one engine at a time.
@pytest.mark.engine
def test_run_starts_an_engine_and_tells_what_it_took(shell: Shell, model_folder: Path) -> None:
    """As `make demo` does; the finished run is shown again without an engine."""
    shell.llm = f"vllm:{model_folder}"
    done = shell("run", RESEARCH, *QUESTION)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["body"]
    summary = dict(line.split(maxsplit=1) for line in done.stderr.splitlines()[-5:])
    assert set(summary) == {"run", "nodes", "tokens", "time", "deadline"}
    assert summary["run"].endswith("completed") and summary["deadline"].startswith("met")
    again = shell.json("resume", summary["run"].split()[0])
    assert (again["result"], again["nodes"]["executed"]) == (json.loads(done.stdout), 0)
    assert len(list(shell.folder.rglob("*.log"))) == 1


@pytest.fixture(scope="module")
def server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started as the read-me says, and ended with the module."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--model", str(model_folder), "--served-model-name", "smollm2-135m"]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                SERVER_MODULE,
                *options,
                "--host",
                "127.0.0.1",
                "--port",
                port,
                OWNER_FLAG,
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": SOURCES, LOG_VARIABLE: str(folder / "events.jsonl")},
            start_new_session=True,
        )
    found = Server(f"http://127.0.0.1:{port}", folder / "events.jsonl")

    def healthy() -> bool:
        assert process.poll() is None, last_words(folder / "output")
        try:
            return httpx.get(f"{found.url}/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    try:
        until(healthy, "the server to be ready")
        yield found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(600)


@pytest.fixture
def online(shell: Shell, server: Server) -> Shell:
    """A terminal whose model is the server's."""
    shell.llm = model_at(server.url)
    return shell


@pytest.fixture
def relay(shell: Shell, server: Server) -> Iterator[Relay]:
    """What is between the terminal and its model."""
    with Relay(server.url) as found:
        shell.llm = model_at(found.url)
        yield found


@pytest.mark.engine
def test_json_is_the_documented_document(online: Shell) -> None:
    """Each field of it, and the answer has the agent's shape."""
    document = online.json("run", RESEARCH, *QUESTION, "-i", "breadth=2")
    run, seconds = document.pop("run"), document.pop("seconds")
    result, nodes, tokens = (document.pop(each) for each in ("result", "nodes", "tokens"))
    expected = {"agent": "research:research", "status": "completed", "error": None, "deadline_met": True}
    assert document == expected
    assert (result["question"], len(result["topics"])) == ("Why is the sky dark at night?", 2)
    assert result["body"]
    shown = online.json("show", run)
    repeated = len(said_again(shown["nodes"]))
    total = len(shown["nodes"])
    assert nodes == {"total": total, "executed": total - repeated, "reused": repeated}
    assert (tokens, shown["seconds"]) == (shown["tokens"], seconds)
    assert min(tokens.values()) > 0


def said_again(nodes: list[dict[str, Any]]) -> set[str]:
    """Paths of the greedy calls that were not made, since the model had been asked the very same before.

    The small model may revise its draft to the same words; then the second review is the first one.
    """
    found = {node["path"] for node in nodes if node["source"] == "memo"}
    assert all(path.endswith("]/llm#3") and path != "for#1[0]/llm#3" for path in found)
    return found


@pytest.mark.engine
def test_calls_the_program_does_not_order_overlap(shell: Shell, server: Server, relay: Relay) -> None:
    """No note is answered before all are asked for; every call reached vLLM once, with the run's deadline."""
    relay.let(1)
    process, run = shell.run(RESEARCH, *QUESTION)
    until(lambda: shell.answered(run), "the topics")
    [topics] = [value for each, value in shell.journal(run) if each.node == "llm"]
    relay.await_withheld(len(topics[:3]))
    relay.release()
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["topics"] == topics[:3]
    shown = shell.json("show", run)
    calls = [node for node in shown["nodes"] if node["kind"] == "llm"]
    notes = [node for node in calls if "note#1" in node["path"]]
    assert len(notes) == len(topics[:3]) > 1
    for one, other in combinations(notes, 2):
        assert one["started_at"] < other["started_at"] + other["seconds"]
        assert other["started_at"] < one["started_at"] + one["seconds"]
    assert shown["deadline_at"] == pytest.approx(shown["started_at"] + 60 * MINUTES)
    made = {node["path"]: node["deadline"] for node in calls if node["path"] not in said_again(calls)}
    assert set(made.values()) == {shown["deadline_at"]}
    assert server.asked(run) == Counter(made.keys())
    added = [each for each in server.events("added") if each["key"].startswith(run)]
    assert {each["deadline"] for each in added} == {shown["deadline_at"]}


@pytest.mark.engine
@pytest.mark.parametrize("answers", [2, 4])
def test_a_killed_run_goes_on_where_it_was(shell: Shell, server: Server, relay: Relay, answers: int) -> None:
    """After `kill -9`, resume asks the engine only for what was not recorded, and `show` tells them apart."""
    relay.let(answers)
    process, run = shell.run(RESEARCH, *QUESTION)
    until(lambda: len(shell.answered(run)) >= answers, f"{answers} answers")
    relay.await_withheld(1)
    process.kill()
    process.communicate()
    relay.release()
    relay.settle()
    assert shell.json("runs")[0]["status"] == "interrupted"
    recorded, served, asked = shell.answered(run), server.served(), server.asked(run)
    assert len(recorded) == answers
    assert asked.total() > answers

    document = shell.json("resume", run)
    assert (document["status"], document["deadline_met"]) == ("completed", True)
    assert document["result"]["body"]
    nodes = [node for node in shell.json("show", run)["nodes"] if node["kind"] == "llm"]
    calls = {node["path"]: node["source"] for node in nodes}
    repeated = said_again(nodes)
    executed = set(calls) - recorded - repeated
    assert {path for path, source in calls.items() if source == "reused at resume"} == recorded
    assert {path for path, source in calls.items() if source == "executed"} == executed
    assert executed
    new = server.asked(run) - asked
    assert new == Counter(executed)
    assert server.served() - served == new.total()
    assert "reused at resume" in shell("show", run).stdout


@pytest.mark.engine
def test_chat_calculates_what_the_model_wrote(online: Shell) -> None:
    """Sums come in the asked form, and the tool's results in the journal are right, whatever was asked."""
    document = online.json("run", CHAT)
    assert (document["status"], len(document["result"])) == ("completed", 2)
    load_agent(CHAT)  # the journal holds objects of its classes
    journal = [(each.node, value) for each, value in online.journal(document["run"]) if value is not None]
    sums = [value.sum for node, value in journal if type(value).__name__ == "Sum"]
    results = [value for node, value in journal if node == "tool"]
    assert len(sums) == 2 and all(re.fullmatch(r"[0-9]{1,4} [-+*/] [0-9]{1,4}", each) for each in sums)
    assert sorted(results) == sorted(map(value_of, sums))  # neither tool waits for the other


def value_of(sum: str) -> float:
    left, sign, right = sum.split()
    one, other = Fraction(left), Fraction(right)
    values = {"+": one + other, "-": one - other, "*": one * other, "/": one / (other or 1)}
    return float(values[sign])


@pytest.mark.engine
def test_a_model_the_endpoint_lacks_is_named(online: Shell) -> None:
    """With those it has; then the run goes on with the right one."""
    done = online("run", RESEARCH, *QUESTION, "--llm", online.llm.replace("135m", "1b"))
    assert done.returncode == 1
    assert "smollm2-1b" in done.stderr and "Models it serves: smollm2-135m" in done.stderr
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    run = online.json("runs")[0]["run"]
    assert online.json("resume", run, "--retry", "--llm", online.llm)["status"] == "completed"


FLOW = """\
import os
from pathlib import Path

from agentvm import agent, llm
from agentvm.testing import ScriptedLLM

HERE = Path(__file__).parent


@agent
async def chain(topic: str) -> str:
    first = await llm(f"first {topic}")
    return await llm(f"second {first}")


def answer(call):
    with (HERE / "calls.log").open("a") as log:
        log.write(call.prompt + "\\n")
    if call.prompt.startswith("second") and (HERE / "fill").exists():
        fill(HERE / "disk" / "ballast")
        return os.urandom(100_000).hex()
    return call.prompt.upper()


def fill(file):
    with file.open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass


model = ScriptedLLM(answer)
"""
CHAIN = ("run", "flow.py:chain", "-i", "topic=x")


@pytest.fixture
def disk(shell: Shell) -> Iterator[Path]:
    """A disk of one megabyte, for the store; `flow.py` is beside it."""
    (shell.folder / "flow.py").write_text(FLOW)
    shell.llm = "scripted:flow.py:model"
    folder = shell.folder / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small disk here: {getattr(error, 'stderr', '') or error}".strip())
    shell.place = folder
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed with one message that has these words, and nothing else."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert all(each in done.stderr for each in words), done.stderr
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr


def test_a_disk_full_from_the_start_is_named(shell: Shell, disk: Path) -> None:
    """Nothing is run; once there is room, a run is."""
    (disk / "ballast").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    told(shell(*CHAIN), str(disk / "runs.db"), "the disk is full", "Free some space")
    assert not (shell.folder / "calls.log").exists()
    (disk / "ballast").unlink()
    assert shell.json(*CHAIN)["result"] == "SECOND FIRST X"


def test_a_run_whose_disk_fills_up_goes_on_once_there_is_room(shell: Shell, disk: Path) -> None:
    """It ends with the remedy, can still be looked at, and does not repeat what was recorded."""
    (shell.folder / "fill").touch()
    done = shell(*CHAIN, "--durability", "strict")  # the first answer is on the disk before it is full
    told(done, "the disk is full", "Free some space")
    run = shell.json("runs")[0]["run"]
    assert f"agentvm resume {run}" in done.stderr
    (shell.folder / "fill").unlink()
    (disk / "ballast").unlink()
    document = shell.json("resume", run)
    assert (document["result"], document["nodes"]["reused"]) == ("SECOND FIRST X", 1)
    assert (shell.folder / "calls.log").read_text().splitlines() == ["first x", *["second FIRST X"] * 2]


def test_a_read_only_folder_is_named(shell: Shell, disk: Path) -> None:
    """Whether the store exists or not; once it can be written, a run is made."""
    for existing in (False, True):
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        told(shell(*CHAIN), str(disk / "runs.db"), "a folder you may write to")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert shell.json(*CHAIN)["result"] == "SECOND FIRST X"
        assert len(shell.json("runs")) == 1 + existing


def test_a_model_folder_that_is_not_there_is_named(shell: Shell) -> None:
    """Before anything is started or recorded."""
    done = shell("run", RESEARCH, *QUESTION, "--llm", "vllm:/no/such")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/no/such" in done.stderr and "agentvm models fetch" in done.stderr
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    assert shell.json("runs") == []
