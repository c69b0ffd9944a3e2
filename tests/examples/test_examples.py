"""The examples: what each is there to show, with a scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import agentvm
from agentvm import AgentVM
from agentvm.loading import load_file
from agentvm.testing import ScriptedLLM, plain
from agentvm_compiler.compile import compile_agent

ROOT = Path(__file__).parents[2]
AGENTS = {
    "best_of": ["story", "judge"],
    "deep_research": ["investigate", "look_into", "look_if_in_time"],
    "coding_agent": ["solve"],
    "digest_folder": ["digest", "summarise"],
    "support_triage": ["triage", "handle"],
    "ask_database": ["ask"],
    "monitor": ["watch"],
    "tenants": ["chat", "report", "batch"],
    "research": ["research", "note"],
    "chat_tools": ["chat"],
}


def example(name: str) -> Any:
    return load_file(ROOT / "examples" / f"{name}.py")


def test_every_example_is_listed_here() -> None:
    """So that none is left untried."""
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(AGENTS)


@pytest.mark.parametrize("name", AGENTS)
def test_nothing_of_an_example_is_traced(name: str) -> None:
    """They show what the compiler can do."""
    module = example(name)
    for agent in AGENTS[name]:
        program = compile_agent(getattr(module, agent)).program
        assert not [node.site for node in program.body.walk() if node.kind.value == "traced"]


def researcher(call: Any) -> Any:
    if call.returns is not str:
        return [f"{call.prompt[-12:]} sugar?", "What of light?"]
    return f"<{call.prompt[:40]}>"


def test_deep_research_asks_side_by_side_and_answers_as_python_does() -> None:
    """The questions of one level are looked into at once."""
    module = example("deep_research")
    with plain(llm=ScriptedLLM(researcher)):
        expected = asyncio.run(module.investigate("Why red?"))
    waiting: list[str] = []
    both = asyncio.Event()

    async def answer(call: Any) -> Any:
        if call.path.count("look_into") == 2:
            waiting.append(call.prompt)
            if len(waiting) == 2:
                both.set()
            await both.wait()
        return researcher(call)

    assert agentvm.run(module.investigate, "Why red?", llm=ScriptedLLM(answer), store="memory") == expected


def test_the_coding_agent_repairs_until_the_tests_pass() -> None:
    """What the tests print goes back to the model; equal code is not tried twice."""
    module = example("coding_agent")
    wrong, right = "def add(a, b):\n    return a - b", "```python\ndef add(a, b):\n    return a + b\n```"
    model = ScriptedLLM([wrong, wrong, right])
    found = agentvm.run(module.solve, "Write add.", "assert add(2, 3) == 5", llm=model, store="memory")
    assert (found.passed, found.attempts, found.told) == (True, 3, "")
    assert "AssertionError" in model.prompts[1]


def test_the_sandbox_stops_what_takes_too_much() -> None:
    """Memory is bounded; a file cannot fill the disk."""
    module = example("coding_agent")
    assert "MemoryError" in module.run_tests("x = bytearray(2 * 1024**3)", "")
    assert module.run_tests("open('f', 'wb').write(bytes(5_000_000))", "") != ""
    assert module.run_tests("import os; assert not dict(os.environ).get('HOME')", "") == ""


def test_the_digest_asks_again_for_what_was_edited_only(tmp_path: Path, agentvm_database: str) -> None:
    """Greedy answers are kept under what was asked, across runs."""
    module = example("digest_folder")
    for number in range(5):
        (tmp_path / f"{number}.md").write_text(f"file {number}")
    first = ScriptedLLM(lambda call: f"<{call.prompt[-6:]}>", identity="m")
    agentvm.run(module.digest, str(tmp_path), llm=first, store=agentvm_database)
    assert len(first.calls) == 5 + 2 + 1
    (tmp_path / "4.md").write_text("file four")
    second = ScriptedLLM(lambda call: f"<{call.prompt[-6:]}>", identity="m")
    agentvm.run(module.digest, str(tmp_path), llm=second, store=agentvm_database)
    assert [each.split("\n")[-1] for each in second.prompts][:2] == ["file four", "<e four>"]
    assert len(second.calls) == 3
    assert "no *.txt files" in agentvm.run(
        module.digest, str(tmp_path), ".txt", llm=second, store=agentvm_database
    )


@pytest.fixture
def agentvm_database(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'runs.sqlite'}"


def support(call: Any) -> Any:
    if call.returns is str:
        return f"Dear customer: {call.prompt[-8:]}"
    return "refund" if "money" in call.prompt else "question"


async def test_triage_waits_for_a_person_and_sends_each_reply_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agentvm_database: str
) -> None:
    """Suspended in one machine, answered and finished in another."""
    module = example("support_triage")
    monkeypatch.setattr(module, "OUTBOX", tmp_path / "outbox.jsonl")
    tickets = ["Where is it?", "I want my money!"]
    async with AgentVM(llm=ScriptedLLM(support), store=agentvm_database) as vm:
        run = await vm.start(module.triage, tickets)
        with pytest.raises(agentvm.RunSuspended):
            await run.result()
    async with AgentVM(llm=ScriptedLLM(support), store=agentvm_database) as vm:
        (question,) = await vm.questions(run.id)
        assert "I want my money!" in question.text
        await vm.answer(run.id, None, True)
        handled = await (await vm.resume(run.id)).result()
    assert [(each.kind, each.sent) for each in handled] == [("question", True), ("refund", True)]
    sent = [json.loads(line)["reply"] for line in module.OUTBOX.read_text().splitlines()]
    assert sent == ["Dear customer: e is it?", "Dear customer: y money!"]


def test_a_question_to_a_database_is_repaired(tmp_path: Path) -> None:
    """The error goes back to the model; what it writes cannot change the database."""
    module = example("ask_database")
    database = str(tmp_path / "shop.db")
    module.make_shop(database)
    model = ScriptedLLM(
        ["SELECT count(*) FROM order", "SELECT count(*) FROM orders WHERE open", "There are two."]
    )
    answer = agentvm.run(module.ask, database, "How many are open?", llm=model, store="memory")
    assert (answer.text, answer.rows) == ("There are two.", [[2]])
    assert "syntax error" in model.prompts[1]
    with pytest.raises(module.sqlite3.OperationalError, match="readonly"):
        module.query(database, "DELETE FROM orders")


MODEL = """
import os, signal

def answer(call):
    if "third" in call.prompt and os.environ.get("KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    with open(os.environ["ASKED"], "a") as file:
        file.write(call.prompt.splitlines()[-1] + "\\n")
    return "alarm" if "error" in call.prompt else "fine"
"""


def test_the_monitor_survives_kill_9(tmp_path: Path) -> None:
    """Killed while it looks at the third piece of news: every alarm is raised, and each once."""
    (tmp_path / "model.py").write_text(MODEL)
    pieces = ["first: error".ljust(2000, "."), "second: fine".ljust(2000, "."), "third: error"]
    (tmp_path / "log").write_text("".join(pieces))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            map(str, [ROOT, *(ROOT / part for part in ("compiler", "runtime", "serving"))])
        ),
        "MONITOR_ALARMS": str(tmp_path / "alarms"),
        "ASKED": str(tmp_path / "asked"),
        "AGENTVM_STORE": f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}",
        "AGENTVM_LLM": f"scripted:{tmp_path / 'model.py'}:answer",
    }
    watch = f"{ROOT / 'examples' / 'monitor.py'}:watch"
    inputs = ["-i", f"path={tmp_path / 'log'}", "-i", "checks=4", "-i", "every=0"]

    def command(*arguments: str, kill: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agentvm", *arguments],
            env=environment | ({"KILL": "1"} if kill else {}),
            capture_output=True,
            text=True,
            timeout=600,
        )

    killed = command("run", watch, *inputs, kill=True)
    assert killed.returncode == -9, killed.stderr
    (run,) = json.loads(command("runs", "--json").stdout)
    resumed = command("resume", run["run"], "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["result"] == 2
    alarms = [json.loads(line)["text"] for line in (tmp_path / "alarms").read_text().splitlines()]
    assert [each.strip(".")[:12] for each in alarms] == ["", "third: error"]
    asked = [line[:5] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == ["first", "secon", "third"], "what was answered before is not asked again"


async def test_tenants_say_what_they_need_to_the_engine() -> None:
    """Chats, reports and the night's batch reach the engine with objectives of their own."""
    module = example("tenants")
    model = ScriptedLLM("words")
    async with AgentVM(llm=model, store="memory") as vm:
        lines = await module.serve(vm, chats=1, reports=1, night=2)
    assert [line.tenant for line in lines] == ["night", "reports", "chats"]
    objectives = sorted((each.hints.slo, each.hints.deadline is not None) for each in model.calls)
    assert objectives == [("best_effort", False)] * 2 + [("deadline", True)] * 3 + [("latency", False)]
