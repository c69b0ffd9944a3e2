"""Control by the command line: answers, settling, cancelling from other processes; budgets, deadlines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentvm import AgentVM, agent, ask_human, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import EventKind

ROOT = Path(__file__).parents[2]

FLOW = """\
import asyncio, sys
from enum import Enum
from pathlib import Path

from agentvm import agent, ask_human, llm, tool
from agentvm.testing import ScriptedLLM

HERE = Path(__file__).parent


class Verdict(Enum):
    GO = "go"
    STOP = "stop"


@tool
async def send(text: str) -> str:
    with (HERE / "sent.log").open("a") as log:
        log.write(text + "\\n")
    if (HERE / "hold").exists():
        print("holding", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    return f"sent {text}"


@agent
async def review(topic: str) -> str:
    draft = await llm(f"draft {topic}")
    verdict = await ask_human(f"What of {draft}?", returns=Verdict)
    if verdict is Verdict.STOP:
        return "stopped"
    name = await ask_human("To whom?")
    return await send(f"{draft} to {name}")


@agent
async def twice(text: str) -> list[str]:
    return [await send(text), await send(text + " again")]


@agent
async def talk(topic: str) -> str:
    first = await llm(f"about {topic}")
    return await llm(f"more {first}")


@tool(effect="read")
async def wait() -> None:
    await asyncio.sleep(0.4)


@agent
async def late() -> str:
    await wait()
    return "done"


model = ScriptedLLM(lambda call: call.prompt.upper())
"""
MODEL = ("--llm", "scripted:flow.py:model")


class Cli:
    """Runs `agentvm` in a folder with `flow.py` and a store of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "flow.py").write_text(FLOW)
        self.folder = folder
        paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join(paths),
            "AGENTVM_STORE": f"sqlite+aiosqlite:///{folder / 'store.db'}",
            "NO_COLOR": "1",
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agentvm", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )

    def json(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and document."""
        done = self(*arguments, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def start(self, agent: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """Run an agent until its tool holds; the process and the run's id."""
        (self.folder / "hold").touch()
        process = subprocess.Popen(
            [sys.executable, "-m", "agentvm", "run", f"flow.py:{agent}", *arguments, *MODEL],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line == "holding\n":
                break
        (self.folder / "hold").unlink()
        return process, next(line.split()[1] for line in seen if line.startswith("run "))

    @property
    def sent(self) -> list[str]:
        log = self.folder / "sent.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_a_run_waits_for_people_and_goes_on_when_answered(cli: Cli):
    """Exit code 3 while it waits; an answer goes on with it, to the next question or to the end."""
    code, document = cli.json("run", "flow.py:review", "-i", "topic=tea", *MODEL)
    assert (code, document["status"]) == (3, "suspended")
    run = document["run"]
    assert "What of DRAFT TEA?" in document["error"]
    assert cli("answer", run).stdout.startswith("human#1: What of DRAFT TEA?")

    refused = cli("answer", run, "perhaps")
    assert refused.returncode == 2
    assert "'perhaps' is no answer to 'What of DRAFT TEA?'" in refused.stderr

    code, document = cli.json("answer", run, "human#1", "go")
    assert (code, document["status"]) == (3, "suspended")
    assert cli.sent == []
    done = cli("answer", run, "Ada")
    assert (done.returncode, done.stdout) == (0, "sent DRAFT TEA to Ada\n"), done.stderr
    assert cli.sent == ["DRAFT TEA to Ada"]
    assert cli("answer", run, "Bob").returncode == 2


def test_an_answer_may_wait_for_the_resume(cli: Cli):
    """With --no-resume it is only recorded; `agentvm resume` goes on with it."""
    run = cli.json("run", "flow.py:review", "-i", "topic=tea", *MODEL)[1]["run"]
    done = cli("answer", run, "stop", "--no-resume")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"agentvm resume {run}" in done.stderr
    code, document = cli.json("resume", run)
    assert (code, document["result"]) == (0, "stopped")


def test_whatever_comes_of_an_answer_is_one_document(cli: Cli):
    """With --json: the open questions, that one is answered, and the end of the run."""
    run = cli.json("run", "flow.py:review", "-i", "topic=tea", *MODEL)[1]["run"]
    head = {"run": run, "agent": "flow:review", "status": "suspended"}
    code, document = cli.json("answer", run)
    [question] = document.pop("questions")
    assert (code, document) == (0, head)
    assert (question["node"], question["question"], question["problem"]) == (
        "human#1",
        "What of DRAFT TEA?",
        None,
    )
    assert question["schema"]["enum"] == ["go", "stop"]
    recorded = cli.json("answer", run, "stop", "--no-resume")
    assert recorded == (0, {**head, "answered": "human#1", "driven": False})
    assert cli.json("answer", run)[1]["questions"] == []
    assert cli.json("resume", run)[1]["result"] == "stopped"


GATE: list[asyncio.Event] = []


@tool(effect="read")
async def held(topic: str) -> str:
    await GATE[0].wait()
    return topic


@agent
async def asks_meanwhile(topic: str) -> list[str]:
    return await asyncio.gather(held(topic), ask_human("To whom?"))


async def test_an_answer_to_a_run_that_is_driven_is_one_document(cli: Cli):
    """It says that the process which drives the run goes on with it."""
    GATE[:] = [asyncio.Event()]
    async with AgentVM(store=cli.environment["AGENTVM_STORE"], llm=ScriptedLLM(lambda call: "")) as vm:
        run = await vm.start(asks_meanwhile, "tea")
        async for event in run.events():
            if event.kind is EventKind.ASKED:
                break
        code, document = await asyncio.to_thread(cli.json, "answer", run.id, "Ada")
        assert (code, document["answered"], document["driven"]) == (0, "human#1", True)
        GATE[0].set()
        assert await run.result() == ["tea", "Ada"]


def killed(cli: Cli) -> str:
    """A run whose process was killed in the middle of its first write."""
    process, run = cli.start("twice", "-i", "text=hello")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=1200)
    resumed = cli("resume", run)
    assert resumed.returncode == 3
    assert f"agentvm resolve {run} 'send#1' --done VALUE" in resumed.stderr
    assert cli.sent == ["hello"]
    return run


def test_a_write_in_doubt_is_settled_as_done(cli: Cli):
    """The run goes on with the value somebody gave."""
    run = killed(cli)
    assert cli("resolve", run).returncode == 2
    assert cli("resolve", run, "send#2", "--retry").returncode == 2
    done = cli("resolve", run, "send#1", "--done", "by hand")
    assert done.returncode == 0
    assert f"agentvm resume {run}" in done.stdout
    code, document = cli.json("resume", run)
    assert (code, document["result"]) == (0, ["by hand", "sent hello again"])
    assert cli.sent == ["hello", "hello again"]


def test_a_write_in_doubt_is_started_again_or_given_up(cli: Cli):
    """--retry repeats it at the resume; --abort ends the run."""
    run = killed(cli)
    assert cli("resolve", run, "--retry").returncode == 0
    assert cli.json("resume", run)[1]["result"] == ["sent hello", "sent hello again"]
    assert cli.sent == ["hello", "hello", "hello again"]
    (cli.folder / "sent.log").unlink()
    run = killed(cli)
    assert cli("resolve", run, "send#1", "--abort").returncode == 0
    code, document = cli.json("resume", run)
    assert (code, document["status"]) == (1, "cancelled")
    assert cli.sent == ["hello"]


def test_a_run_is_cancelled_from_another_process(cli: Cli):
    """The process that drives it ends with code 1 and writes nothing more."""
    process, run = cli.start("twice", "-i", "text=hello")
    cancelled = cli("cancel", run)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"Run {run} is cancelled.\n")
    _, errors = process.communicate(timeout=1200)
    assert process.returncode == 1, errors
    assert "was cancelled" in errors
    assert cli.sent == ["hello"]
    assert cli.json("resume", run)[1]["status"] == "cancelled"
    assert "had ended already" not in cli("cancel", run).stdout


def test_a_budget_from_the_command_line(cli: Cli):
    """A run that has used it up fails and says how to go on; a larger one lets it."""
    code, document = cli.json(
        "run", "flow.py:talk", "-i", "topic=tea", "--budget", "calls=1,tokens=100", *MODEL
    )
    assert (code, document["status"]) == (1, "failed")
    run = document["run"]
    assert f"agentvm resume {run} --budget tokens=100,calls=MORE" in document["error"]
    code, document = cli.json("resume", run)
    assert (code, document["status"]) == (1, "failed")
    assert cli.json("show", run)[1]["budget"] == {"calls": 1, "tokens": 100}
    assert "tokens=100, calls=1" in cli("show", run).stdout
    code, document = cli.json("resume", run, "--budget", "calls=2")
    assert (code, document["result"]) == (0, "MORE ABOUT TEA")


def test_prices_come_from_a_file(cli: Cli):
    """A budget of cost without a price for the model is refused; limits that cannot be read, too."""
    (cli.folder / "prices.json").write_text('{"scripted": {"input": 1000000, "output": 0}}')
    talk = ("run", "flow.py:talk", "-i", "topic=tea", *MODEL)
    code, document = cli.json(*talk, "--budget", "cost=0.5", "--prices", "prices.json")
    assert (code, document["status"]) == (1, "failed")
    assert "budget of cost: 2 of 0.5" in document["error"]
    assert cli(*talk, "--budget", "cost=0.5").returncode == 2
    refused = cli(*talk, "--budget", "calls")
    assert refused.returncode == 2
    assert "Write it as calls=20,tokens=10000" in refused.stderr


def test_a_run_that_may_be_late(cli: Cli):
    """With `best_effort` it is completed after its deadline; without, it ends with code 4."""
    late = ("run", "flow.py:late", "--deadline", "200ms", *MODEL)
    code, document = cli.json(*late, "--on-deadline", "best_effort", "--concurrency", "1")
    assert (code, document["result"], document["deadline_met"]) == (0, "done", False)
    assert cli.json(*late)[0] == 4
    assert cli(*late, "--on-deadline", "never").returncode == 2


def test_a_deadline_is_brought_forward_from_another_process(cli: Cli):
    """The smaller counts; the run that misses it ends with exit code 4, it cannot be later."""
    process, run = cli.start("twice", "-i", "text=hello", "--deadline", "1h")
    stays = cli("deadline", run, "2h")
    assert (stays.returncode, "its deadline stays" in stays.stdout) == (0, True), stays
    assert cli("deadline", run, "0.01s").stdout == f"Run {run} is due in 10ms.\n"
    assert process.wait(1200) == 4
    assert cli("deadline", run, "soon").returncode == 2
