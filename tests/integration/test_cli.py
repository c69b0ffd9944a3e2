"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

FLOW = """\
import asyncio, sys
from pathlib import Path

from agentvm import agent, llm
from agentvm.testing import ScriptedLLM

print("noise of the user's file")


@agent
async def chain(topic: str, times: int = 2) -> dict[str, str]:
    first = await llm(f"first {topic}")
    second = await llm(f"second {first}")
    return {"answer": second}


@agent
async def talk(topic: str) -> str:
    return await llm(f"talk about {topic}")


@agent
async def broken() -> str:
    await llm("one")
    raise ValueError("too bad")


async def answer(call):
    here = Path(__file__).parent
    with (here / "calls.log").open("a") as log:
        log.write(call.prompt + "\\n")
    if call.prompt.startswith("second") and (here / "hold").exists():
        print("holding", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    return call.prompt.upper()


model = ScriptedLLM(answer)
"""
MODEL = ("--llm", "scripted:flow.py:model")


class Cli:
    """Runs `agentvm` in a folder of its own, with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
        inherited = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join([*inherited, *paths]),
            "AGENTVM_STORE": f"sqlite+aiosqlite:///{folder / 'store.db'}",
            "AGENTVM_MODELS_DIR": str(folder / "models"),
            "NO_COLOR": "1",
        }
        self.command = [sys.executable, "-m", "agentvm"]
        self.printed = ""
        """Standard output of the last run that was held."""

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def hold_then(self, number: int, *arguments: str) -> tuple[str, str, int]:
        """Start a run, send it a signal with one call recorded and one in flight; its id, stderr, code."""
        (self.folder / "hold").touch()
        process = subprocess.Popen(
            [*self.command, "run", "flow.py:chain", "-i", "topic=x", *MODEL, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if line == "holding\n":
                break
        run = next(line.split()[1] for line in seen.splitlines() if line.startswith("run "))
        # A model call may begin before the answer of the one before it is on the disk.
        for _ in range(100):
            if any(node["kind"] == "llm" for node in self.json("show", run)["nodes"]):
                break
        process.send_signal(number)
        self.printed, rest = process.communicate(timeout=1200)
        seen += rest
        (self.folder / "hold").unlink()
        return run, seen, process.returncode

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def cli(tmp_path):
    """The command line in a folder with `flow.py`."""
    (tmp_path / "flow.py").write_text(FLOW)
    return Cli(tmp_path)


def test_run_prints_the_answer_and_what_it_took(cli):
    """The answer goes to standard output; run id, nodes, tokens, time and deadline to standard error."""
    done = cli("run", "flow.py:talk", "-i", "topic=owls", "--deadline", "1h", *MODEL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "TALK ABOUT OWLS"
    first, *rest = [line for line in done.stderr.splitlines() if line]
    assert first.startswith("run ")
    assert {line.split()[0] for line in rest} >= {"run", "nodes", "tokens", "time", "deadline"}
    assert "deadline met" in done.stderr and "3 in, 3 out" in done.stderr


def test_run_json_is_one_document_and_nothing_else(cli):
    """What the user's file prints does not get into it."""
    document = cli.json("run", "flow.py:chain", "-i", "topic=x", "--deadline", "1h", *MODEL)
    run, seconds = document.pop("run"), document.pop("seconds")
    assert run and seconds > 0
    assert document.pop("nodes")["reused"] == 0
    assert document == {
        "agent": "flow:chain",
        "status": "completed",
        "result": {"answer": "SECOND FIRST X"},
        "error": None,
        "tokens": {"input": 5, "output": 5},
        "deadline_met": True,
    }


def test_a_failed_run_exits_1_with_the_agents_error(cli):
    """The message has the exception; the document has it too."""
    done = cli("run", "flow.py:broken", "--json", *MODEL)
    document = json.loads(done.stdout)
    assert (done.returncode, document["status"], document["result"]) == (1, "failed", None)
    assert "ValueError: too bad" in document["error"]
    assert "ValueError: too bad" in done.stderr and "Traceback" not in done.stderr


def test_a_missed_deadline_exits_4(cli):
    """The run is recorded as such."""
    (cli.folder / "hold").touch()
    done = cli("run", "flow.py:chain", "-i", "topic=x", "--deadline", "500ms", "--json", *MODEL)
    document = json.loads(done.stdout)
    assert (done.returncode, document["status"], document["deadline_met"]) == (4, "deadline_missed", False)
    assert "Traceback" not in done.stderr


def test_an_interrupted_run_says_how_to_go_on(cli):
    """SIGINT exits 130; the run is listed as interrupted, and resuming it redoes only what was in flight."""
    run, stderr, code = cli.hold_then(signal.SIGINT, "--json")
    assert code == 130
    document = json.loads(cli.printed)
    assert (document["run"], document["status"], document["result"]) == (run, "interrupted", None)
    assert f"agentvm resume {run}" in document["error"]
    assert f"agentvm resume {run}" in stderr and "Traceback" not in stderr
    (row,) = cli.json("runs")
    assert (row["run"], row["status"], row["resume"]) == (run, "interrupted", f"agentvm resume {run}")
    document = cli.json("resume", run)
    assert (document["status"], document["result"]) == ("completed", {"answer": "SECOND FIRST X"})
    assert document["nodes"]["reused"] >= 1
    assert cli.calls == ["first x", "second FIRST X", "second FIRST X"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_run_resumes_without_asking_again(cli):
    """After kill -9 the recorded call is reused, and `show` says so; a finished run executes nothing."""
    run, _, code = cli.hold_then(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert cli.json("runs")[0]["status"] == "interrupted"
    assert cli.json("resume", run[:8])["result"] == {"answer": "SECOND FIRST X"}
    assert cli.calls == ["first x", "second FIRST X", "second FIRST X"]
    shown = cli.json("show", run)
    sources = [node["source"] for node in shown["nodes"] if node["kind"] == "llm"]
    assert sources == ["reused at resume", "executed"]
    assert "reused at resume" in cli("show", run).stdout
    again = cli.json("resume", run)
    assert (again["result"], again["nodes"]["executed"]) == ({"answer": "SECOND FIRST X"}, 0)
    assert len(cli.calls) == 3


def test_show_has_header_nodes_and_result(cli):
    """Inputs, status, each node with its tokens, and the answer."""
    run = cli.json("run", "flow.py:chain", "-i", "topic=x", "--deadline", "1h", *MODEL)["run"]
    shown = cli.json("show", run)
    assert shown["inputs"]["topic"] == "x" and shown["result"] == {"answer": "SECOND FIRST X"}
    calls = [node for node in shown["nodes"] if node["kind"] == "llm"]
    assert [node["tokens"] for node in calls] == [{"input": 2, "output": 2}, {"input": 3, "output": 3}]
    text = cli("show", run[:8]).stdout
    assert all(each in text for each in (run, "completed", "topic='x'", "2 in, 2 out", "SECOND FIRST X"))


def test_runs_are_listed_newest_first(cli):
    """With status and nodes done; in a table and as JSON."""
    assert "No runs yet" in cli("runs").stderr
    first = cli.json("run", "flow.py:talk", "-i", "topic=x", *MODEL)["run"]
    second = cli("run", "flow.py:broken", "--json", *MODEL)
    rows = cli.json("runs")
    assert [(row["agent"], row["status"]) for row in rows] == [
        ("flow:broken", "failed"),
        ("flow:talk", "completed"),
    ]
    assert (rows[0]["run"], rows[1]["run"]) == (json.loads(second.stdout)["run"], first)
    assert rows[1]["nodes_done"] >= 1
    assert [row["run"] for row in cli.json("runs", "--status", "completed")] == [first]
    assert first in cli("runs").stdout


def test_compile_and_graph_print_what_an_agent_becomes(cli):
    """Text, JSON, an explanation, a mermaid graph; nothing is run."""
    assert "llm" in cli("compile", "flow.py:chain").stdout
    assert isinstance(cli_json(cli("compile", "flow.py:chain", "--emit", "json")), dict)
    assert cli("compile", "flow.py:chain", "--explain").stdout
    assert cli("graph", "flow.py:chain", "--format", "mermaid").stdout.startswith(("flowchart", "graph"))
    assert cli.calls == []


def cli_json(done):
    """The document of a command that prints JSON."""
    return json.loads(done.stdout)


BAD = "x = 1\ndef f(:\n    pass\n"
RUN = ("run", "flow.py:talk", "-i", "topic=x")


@pytest.mark.parametrize(
    ("arguments", "code", "messages"),
    [
        pytest.param(
            ("run", "flow.py:chain", "-i", "topic=x", "-i", "times=many", *MODEL),
            2,
            ["times: 'many' is not a valid int", "chain(topic: str, times: int = 2)"],
            id="wrong input",
        ),
        pytest.param(("run", "flow.py:chain", *MODEL), 2, ["missing: topic (str)", "-i"], id="missing input"),
        pytest.param(
            (*RUN, "-i", "topic=y", *MODEL), 2, ["topic= is given more than once"], id="input twice"
        ),
        pytest.param(("new", "flow.py/project"), 1, ["Not a directory", "Check the path"], id="no folder"),
        pytest.param(
            ("run", "flow.py:chian", *MODEL), 2, ["no agent named 'chian'", "chain"], id="unknown agent"
        ),
        pytest.param(("run", "folw.py:chain", *MODEL), 2, ["no file folw.py", "flow.py"], id="unknown file"),
        pytest.param(("run", "bad.py:f", *MODEL), 2, ["bad.py:2", "SyntaxError", "^"], id="syntax error"),
        pytest.param(
            (*RUN, "--deadline", "soon", *MODEL), 2, ["--deadline='soon'", '"30s"'], id="bad deadline"
        ),
        pytest.param(
            (*RUN, "--llm", "vllm:smollm2-135m"),
            2,
            ["agentvm models fetch smollm2-135m"],
            id="model not fetched",
        ),
        pytest.param(
            (*RUN, "--llm", "vllm:nowhere"), 2, ["'nowhere'", "agentvm models list"], id="no such model"
        ),
        pytest.param((*RUN, "--llm", "magic"), 2, ["'magic'", "openai:BASE_URL#MODEL"], id="no such backend"),
        pytest.param(
            (*RUN, "--llm", "scripted:flow.py:nothing"), 2, ["no scripted model named"], id="no such double"
        ),
        pytest.param(
            (*RUN, "--llm", "openai:http://127.0.0.1:9/v1#m"), 1, ["127.0.0.1:9"], id="unreachable endpoint"
        ),
        pytest.param(
            (*RUN, *MODEL, "--store", "/proc/agentvm/runs.db"),
            1,
            ["/proc/agentvm", "--store"],
            id="read-only store folder",
        ),
        pytest.param(
            (*RUN, *MODEL, "--store", "flow.py/runs.db"), 1, ["flow.py", "--store"], id="store under a file"
        ),
        pytest.param(
            (*RUN, *MODEL, "--store", "flow.py"), 1, ["not a database", "--store"], id="not a store"
        ),
        pytest.param(
            (*RUN, *MODEL, "--store", "mysql://x/y"), 2, ["mysql", "sqlite"], id="unknown kind of store"
        ),
        pytest.param(("show", "nothing"), 2, ["no run 'nothing'", "agentvm runs"], id="unknown run"),
        pytest.param(
            ("resume", "nothing"), 2, ["no run 'nothing'", "agentvm runs"], id="unknown run to resume"
        ),
        pytest.param(("models", "fetch", "huge"), 2, ["'huge'", "smollm2-135m"], id="unknown model to fetch"),
    ],
)
def test_a_mistake_gives_one_message_with_the_remedy(cli, arguments, code, messages):
    """No traceback, the right exit code, nothing on standard output; a later good run works."""
    (cli.folder / "bad.py").write_text(BAD)
    done = cli(*arguments)
    assert done.returncode == code, done.stderr
    assert all(each in done.stderr for each in messages), done.stderr
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    assert done.stdout.replace("noise of the user's file\n", "") == ""
    assert cli.json(*RUN, *MODEL)["result"] == "TALK ABOUT X"


def test_with_json_a_mistake_is_a_document_too(cli):
    """Whoever parses standard output gets one document in every outcome, with what standard error says."""
    for arguments, told in {
        ("run", "flow.py:chian", "--json"): "no agent named 'chian'",
        ("run", "--json"): "Wrong usage",
        ("show", "nothing", "--json"): "no run 'nothing'",
    }.items():
        done = cli(*arguments)
        document = json.loads(done.stdout)
        assert done.returncode == 2 and document["status"] == "error"
        assert told in document["error"]


def test_output_that_nobody_reads_changes_nothing(cli):
    """`| head` that has seen enough, or no standard output at all: no traceback, and the run's exit code."""
    command = [*cli.command, *RUN, *MODEL]
    for arguments in ([*command, "--json"], ["sh", "-c", '"$@" >&-', "sh", *command]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            arguments, cwd=cli.folder, env=cli.environment, stdout=write, stderr=subprocess.PIPE, text=True
        )
        os.close(write)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr and "bug" not in done.stderr
    assert [row["status"] for row in cli.json("runs")] == ["completed", "completed"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["runs", "--json"], ["--help"]], ids=["json", "text"])
def test_a_full_disk_is_no_bug_of_ours(cli, command, unbuffered):
    """What the operating system refuses is told as that, whether or not output is buffered until the end."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*cli.command, *command],
            cwd=cli.folder,
            env={**cli.environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "No space left on device. Make room" in done.stderr
    assert not {"bug", "ignored"} & set(done.stderr.split())


@pytest.mark.parametrize("asked", ["option", "variable"])
def test_a_traceback_is_shown_to_those_who_ask(cli, asked):
    """By `--traceback`, wherever it stands, or by the environment."""
    if asked == "variable":
        cli.environment["AGENTVM_TRACEBACK"] = "1"
    done = cli("run", "flow.py:nothing", *(["--traceback"] if asked == "option" else []))
    assert done.returncode == 2 and "Traceback" in done.stderr and "InputError" in done.stderr


def test_resume_needs_the_file_or_its_new_place(cli):
    """A moved file is named with --agent."""
    run, _, _ = cli.hold_then(signal.SIGINT)
    (cli.folder / "flow.py").rename(cli.folder / "moved.py")
    gone = cli("resume", run, "--llm", "scripted:moved.py:model")
    assert gone.returncode == 2 and "that file is gone" in gone.stderr and "--agent" in gone.stderr
    document = cli.json("resume", run, "--agent", "moved.py:chain", "--llm", "scripted:moved.py:model")
    assert document["result"] == {"answer": "SECOND FIRST X"}


def test_help_lists_the_commands(cli):
    """`agentvm --help` and `--version` work anywhere."""
    text = cli("--help").stdout
    commands = ("run", "resume", "runs", "show", "compile", "graph", "models", "doctor")
    assert all(each in text for each in commands)
    assert cli("--version").stdout.startswith("agentvm ")


def test_doctor_gives_its_checks_as_json(cli):
    """One document, whatever stands well or badly."""
    checks = json.loads(cli("doctor", "--json").stdout)
    assert {"name", "status", "detail", "remedy"} == set(checks[0])


def test_resume_after_an_edit_says_what_it_keeps(cli: Cli) -> None:
    """`--dry-run` prints what would be kept and does nothing; `resume` says it, then does it."""
    flow, log = cli.folder / "flow.py", cli.folder / "calls.log"
    flow.write_text(FLOW.replace('"answer": second', '"answer": second + undefined'))
    assert cli("run", "flow.py:chain", "-i", "topic=bees", *MODEL).returncode == 1
    run = cli.json("runs")[0]["run"]
    flow.write_text(FLOW.replace('f"second {first}"', 'f"next {first}"'))
    asked = log.read_text()
    rehearsed = cli("resume", run, "--retry", "--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "kept 1, re-run 1: prompt of 'second' changed at flow.py:13 and 1 more" in rehearsed.stdout
    assert log.read_text() == asked
    resumed = cli("resume", run, "--retry")
    assert resumed.returncode == 0, resumed.stderr
    assert "The code has changed: kept 1, re-run 1" in resumed.stderr
    assert log.read_text() == asked + "next FIRST BEES\n"
