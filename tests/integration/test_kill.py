"""`kill -9` in the middle of a run, then `agentvm resume`: nothing recorded is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

FLOW = '''\
import asyncio, sys
from pathlib import Path

from agentvm import agent, current, llm, tool
from agentvm.testing import ScriptedLLM

HERE = Path(__file__).parent


def note(file: str, text: str) -> None:
    with (HERE / file).open("a") as log:
        log.write(text + "\\n")


async def hold(text: str) -> None:
    """Stay here for ever if the test wants to kill us here."""
    wanted = HERE / "hold"
    if wanted.exists() and wanted.read_text() == text:
        print("holding", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


@tool
async def save(text: str) -> int:
    note("writes.log", text)
    await hold(f"save {text}")
    return len(text)


@tool(idempotent=True)
async def publish(text: str) -> str:
    note("writes.log", f"{text} {current().idempotency_key}")
    await hold(f"publish {text}")
    return text.lower()


@agent
async def digest(topic: str) -> dict[str, object]:
    parts = await llm(f"parts of {topic}", returns=list[str])
    notes = [await llm(f"note {part}") for part in parts]
    size = await save(notes[0])
    review = await llm(f"review {size}")
    total = size + await save(notes[-1])
    link = await publish(review)
    return {"notes": notes, "review": review, "size": total, "link": link}


async def answer(call):
    note("calls.log", call.prompt)
    await hold(call.prompt)
    if call.prompt.startswith("parts"):
        return ["a", "b", "c"]
    return call.prompt.upper()


model = ScriptedLLM(answer)
'''
MODEL = ("--llm", "scripted:flow.py:model")
RESULT = {
    "notes": ["NOTE A", "NOTE B", "NOTE C"],
    "review": "REVIEW 6",
    "size": 12,
    "link": "review 6",
}
NODE_CALLS = ["parts of x", "note a", "note b", "note c", "review 6"]


@dataclass
class Killed:
    """A folder with a run that was killed in it."""

    folder: Path
    environment: dict[str, str]
    run: str = ""

    def agentvm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agentvm", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )

    def resume(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and document of `agentvm resume --json`."""
        done = self.agentvm("resume", self.run, "--json", *arguments)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def start_and_kill(self, at: str) -> None:
        """Run the agent until it holds where it is told to, and kill it there."""
        (self.folder / "hold").write_text(at)
        process = subprocess.Popen(
            [sys.executable, "-m", "agentvm", "run", "flow.py:digest", "-i", "topic=x", *MODEL],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if line == "holding\n":
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=1200)
        assert process.returncode == -signal.SIGKILL, seen
        (self.folder / "hold").unlink()
        self.run = next(line.split()[1] for line in seen.splitlines() if line.startswith("run "))

    def take(self, name: str) -> list[str]:
        """Lines of a log since it was taken last."""
        log = self.folder / name
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    """A folder with `flow.py` and a store of its own."""
    (tmp_path / "flow.py").write_text(FLOW)
    paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
    store = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    return Killed(
        tmp_path, kept | {"PYTHONPATH": os.pathsep.join(paths), "AGENTVM_STORE": store, "NO_COLOR": "1"}
    )


def test_a_killed_run_goes_on_where_it_was(killed: Killed):
    """What was durable before a write is not asked or written again; what was in flight is asked again."""
    killed.start_and_kill("review 6")
    assert sorted(killed.take("calls.log")) == sorted(NODE_CALLS)
    assert killed.take("writes.log") == ["NOTE A"]
    code, document = killed.resume()
    assert (code, document["status"], document["result"]) == (0, "completed", RESULT)
    assert killed.take("calls.log") == ["review 6"]
    assert [line.split(" ")[:2] for line in killed.take("writes.log")] == [["NOTE", "C"], ["REVIEW", "6"]]
    assert document["nodes"]["reused"] >= 5


def test_show_says_what_was_reused(killed: Killed):
    """After a resume each call says whether it was reused or executed."""
    killed.start_and_kill("review 6")
    killed.resume()
    nodes = json.loads(killed.agentvm("show", killed.run, "--json").stdout)["nodes"]
    sources = {each["path"]: each["source"] for each in nodes if each["kind"] in ("llm", "tool")}
    assert sources == {
        "llm#1": "reused at resume",
        "map#1[0]/llm#2": "reused at resume",
        "map#1[1]/llm#2": "reused at resume",
        "map#1[2]/llm#2": "reused at resume",
        "save#1": "reused at resume",
        "llm#3": "executed",
        "save#2": "executed",
        "publish#1": "executed",
    }
    text = killed.agentvm("show", killed.run).stdout
    assert "reused at resume" in next(line for line in text.splitlines() if "save#1" in line)


def test_a_finished_run_executes_nothing(killed: Killed):
    """Resuming once more gives the recorded answer and makes no call."""
    killed.start_and_kill("note b")
    first = killed.resume()[1]
    killed.take("calls.log"), killed.take("writes.log")
    code, second = killed.resume()
    assert (code, second["result"]) == (0, first["result"])
    assert killed.take("calls.log") == killed.take("writes.log") == []
    assert second["nodes"]["executed"] == 0


def test_a_write_killed_half_way_is_not_repeated(killed: Killed):
    """A write whose outcome nobody knows stops the run as uncertain, with exit code 3, and writes nothing."""
    killed.start_and_kill("save NOTE A")
    killed.take("calls.log"), killed.take("writes.log")
    code, document = killed.resume()
    assert (code, document["status"]) == (3, "uncertain")
    assert "save#1" in document["error"]
    assert killed.take("writes.log") == killed.take("calls.log") == []


def test_an_idempotent_write_is_repeated_with_the_same_key(killed: Killed):
    """A tool that may be repeated is called again and can tell from the key that it was called before."""
    killed.start_and_kill("publish REVIEW 6")
    before = killed.take("writes.log")
    killed.take("calls.log")
    code, document = killed.resume()
    assert (code, document["result"]) == (0, RESULT)
    assert killed.take("writes.log") == before[-1:]
    assert killed.take("calls.log") == []


def test_a_run_killed_twice_still_ends(killed: Killed):
    """A resume that is killed in turn leaves a run that can be resumed."""
    killed.start_and_kill("parts of x")
    (killed.folder / "hold").write_text("review 6")
    process = subprocess.Popen(
        [sys.executable, "-m", "agentvm", "resume", killed.run],
        cwd=killed.folder,
        env=killed.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line == "holding\n":
            process.kill()
            break
    process.communicate(timeout=1200)
    (killed.folder / "hold").unlink()
    killed.take("calls.log"), killed.take("writes.log")
    code, document = killed.resume()
    assert (code, document["result"]) == (0, RESULT)
    assert killed.take("calls.log") == ["review 6"]
