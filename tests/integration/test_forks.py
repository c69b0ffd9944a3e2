"""Forks and shared results as a user meets them: the example, the commands, and what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentvm import AgentVM
from agentvm.loading import load_file
from agentvm.testing import ScriptedLLM

ROOT = Path(__file__).parents[2]
FLOW = """\
from agentvm import agent, llm
from agentvm.testing import ScriptedLLM


@agent
async def flow(topic: str, tone: str = "dry") -> str:
    facts = await llm(f"facts about {topic}")
    style = await llm(f"style {tone}")
    draft = await llm(f"draft from {facts}")
    return await llm(f"polish {draft} in {style}")


@agent
async def greedy(topic: str) -> str:
    return await llm(f"tell {topic}", temperature=0)


model = ScriptedLLM(lambda call: f"<{call.prompt}>")
"""


async def test_best_of_draws_only_what_differs() -> None:
    """The outline and the title are made once, the draft so many times; the judge's choice is kept."""
    example = load_file(ROOT / "examples" / "best_of.py")
    drafts = iter("abcd")

    def script(call):
        if call.prompt.startswith("Write"):
            return f"draft {next(drafts)}"
        return "2" if call.prompt.startswith("Which") else call.prompt[:7]

    model = ScriptedLLM(script)
    async with AgentVM(store="memory", llm=model) as vm:
        text, run = await example.best_of(vm, "bees", 4)
        assert (await vm.get(run)).parent is not None
    assert text == "Give a \n\ndraft c"
    assert [each.split()[0] for each in model.prompts] == [
        "Outline",
        *sorted(["Give", "Write"]),
        *["Write"] * 3,
        "Which",
    ]


@pytest.fixture
def agentvm(tmp_path: Path):
    """Runs `agentvm` in a folder of its own."""
    (tmp_path / "flow.py").write_text(FLOW)
    paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")},
        "PYTHONPATH": os.pathsep.join(paths),
        "AGENTVM_STORE": f"sqlite+aiosqlite:///{tmp_path / 'store.db'}",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agentvm", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
        )

    return run


def document(done: subprocess.CompletedProcess[str]):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_fork_show_and_diff(agentvm) -> None:
    """A fork by variable name; the tree that both runs show; what differs, and where that began."""
    model = ("--llm", "scripted:flow.py:model")
    first = document(agentvm("run", "flow.py:flow", "-i", "topic=bees", *model, "--json"))
    fork = document(agentvm("fork", first["run"], "--set", 'draft="MINE"', "--json"))
    assert fork["result"] == "<polish MINE in <style dry>>"
    assert fork["nodes"] == {"total": 3, "executed": 1, "reused": 2}
    again = document(agentvm("fork", fork["run"], "--at", "style", "--set", "tone=warm", "--json"))
    assert again["result"] == "<polish MINE in <style warm>>"

    shown = agentvm("show", fork["run"]).stdout
    tree = shown[shown.index("forks\n") :].splitlines()[1:4]
    for line, each in zip(tree, (first, fork, again), strict=True):
        assert f"{each['run']}  completed" in line
    assert tree[1].endswith("(set llm#3)  <-")
    assert document(agentvm("show", fork["run"], "--json"))["inherited"] == 3

    assert (
        document(agentvm("show", again["run"], "--why", "draft", "--json"))[0]["why"] == "given by the fork"
    )

    found = document(agentvm("diff", first["run"], again["run"], "--json"))
    assert found["same"] == 1
    assert [(each["path"], each["how"]) for each in found["differences"]] == [
        ("llm#2", "other work"),
        ("llm#3", "given"),
        ("llm#4", "other work"),
    ]
    assert [each["path"] for each in found["parted"]] == ["llm#3"]
    printed = agentvm("diff", first["run"], fork["run"]).stdout
    assert "They parted at\n  llm#3  (given)\n    A  <draft from <facts about bees>>\n    B  MINE" in printed


def test_a_fork_of_nothing_is_refused(agentvm) -> None:
    """A name that means nothing says how places are called."""
    model = ("--llm", "scripted:flow.py:model")
    run = document(agentvm("run", "flow.py:flow", "-i", "topic=bees", *model, "--json"))["run"]
    done = agentvm("fork", run, "--at", "nope")
    assert done.returncode == 2
    assert "has no place 'nope'" in done.stderr
    assert agentvm("fork", run, "--set", "nothing").returncode == 2


def test_shared_results_are_listed_shown_and_removed(agentvm) -> None:
    """A second run takes the first one's result, says so, and does not after it was removed."""
    run = ("run", "flow.py:greedy", "-i", "topic=bees", "--llm", "scripted:flow.py:model", "--json")
    first, second = document(agentvm(*run)), document(agentvm(*run))
    assert [each["nodes"]["executed"] for each in (first, second)] == [1, 0]
    (entry,) = document(agentvm("memo", "ls", "--json"))
    assert entry["from"] == f"{first['run']}/llm#1"
    assert document(agentvm("memo", "show", entry["key"][:8], "--json"))["value"] == "<tell bees>"
    why = agentvm("show", second["run"], "--why", "llm").stdout
    assert f"llm#1\n  taken from {first['run']}/llm#1, which did the same work" in why
    assert agentvm("show", first["run"], "--why", "nothing").returncode == 2
    why = agentvm("show", first["run"], "--why", "llm#1").stdout
    assert "executed: nothing was recorded under its key" in why
    assert agentvm("memo", "rm", entry["key"]).returncode == 0
    assert agentvm("memo", "show", entry["key"]).returncode == 2
    assert document(agentvm(*run, "--no-memo"))["nodes"]["executed"] == 1
    assert agentvm("memo", "ls").stdout == ""


def test_gc_keeps_what_forks_stand_on_and_shrinks_the_file(agentvm, tmp_path: Path) -> None:
    """The newest is a fork: it and its parent stay, a large older run goes, and its space with it."""
    model = ("--llm", "scripted:flow.py:model")
    long = "".join(f"{number}," for number in range(400_000))
    (tmp_path / "inputs.json").write_text(json.dumps({"topic": long}))
    large = document(agentvm("run", "flow.py:flow", "--input-json", "inputs.json", *model, "--json"))
    first = document(agentvm("run", "flow.py:flow", "-i", "topic=bees", *model, "--json"))
    fork = document(agentvm("fork", first["run"], "--at", "style", "--json"))
    rehearsed = agentvm("gc", "--keep-last", "1", "--dry-run")
    assert rehearsed.stdout.split() == [large["run"]]
    before = (tmp_path / "store.db").stat().st_size
    done = document(agentvm("gc", "--keep-last", "1", "--json"))
    assert (done["runs"], done["kept"]) == ([large["run"]], 2)
    assert (tmp_path / "store.db").stat().st_size < before / 2
    assert document(agentvm("fork", fork["run"], "--set", "draft=MINE", "--json"))["nodes"]["executed"] == 1
    assert agentvm("gc").returncode == 2


def test_an_exported_run_is_imported_elsewhere(agentvm, tmp_path: Path) -> None:
    """One file, into another store, where the run can be shown and forked."""
    model = ("--llm", "scripted:flow.py:model")
    run = document(agentvm("run", "flow.py:flow", "-i", "topic=bees", *model, "--json"))
    file = agentvm("export", run["run"]).stdout.strip()
    elsewhere = ("--store", f"sqlite:///{tmp_path / 'other.db'}")
    assert agentvm("import", file, *elsewhere).stdout.strip() == run["run"]
    assert document(agentvm("show", run["run"], *elsewhere, "--json"))["result"] == run["result"]
    fork = document(agentvm("fork", run["run"], "--at", "style", *elsewhere, "--json"))
    assert fork["nodes"]["executed"] == 1
