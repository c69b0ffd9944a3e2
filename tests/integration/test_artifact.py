"""An agent compiled to a file runs, and is resumed, where its source file is absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TOOLS = '''\
"""What the agent uses; stands beside the artifact."""

from dataclasses import dataclass
from enum import Enum

from agentvm import tool
from agentvm.testing import ScriptedLLM


class Tone(Enum):
    DRY = "dry"


@dataclass
class Note:
    text: str
    tone: Tone = Tone.DRY


SEEN = []


@tool(effect="read")
async def search(query: str) -> list[str]:
    return [f"{query}-1", f"{query}-2"]


def shout(text):
    return text.upper()


def answer(call):
    SEEN.append(call.prompt)
    if call.prompt == "fail" and not __import__("pathlib").Path("mended").exists():
        raise RuntimeError("no answer")
    return f"<{call.prompt}>"


model = ScriptedLLM(answer)
'''

AGENT = '''\
import logging
import math
from pathlib import Path as P

import toolbox
from agentvm import agent, llm
from toolbox import Note, Tone, search as look, shout

STYLE = ("short", 2, frozenset({1.5}))
NAMES = list[str]
LOG = logging.getLogger("agents")


class Local:
    pass


@agent
async def digest(text: str, *, tone: Tone = Tone.DRY) -> Note:
    said = await llm(f"digest {text} {STYLE[0]}")
    return Note(said, tone)


@agent
async def main(question: str, note: Note, count: int = 2, *more: int, **named: str) -> dict:
    hits: list[NAMES | Local] = await look(question)
    LOG.info("found")
    notes = [await digest(each) for each in hits]
    last: "Local | str" = ""
    for number in range(count):
        last = await llm(f"{number} {last} {math.floor(2.5)}")
    return {"notes": notes, "last": shout(last), "all": sorted(toolbox.Tone), "note": note.text,
            "more": more, "named": named, "name": __name__}


@agent(deadline="1h")
async def traced(text: str, times: int = 1) -> list:
    """Traced as a whole: it yields to a closure."""
    out = []
    added = 0

    def add(what):
        nonlocal added
        added += 1
        out.append(shout(what))

    for number in range(times):
        add(await llm(f"{text} {number}"))
    note = await digest(text)
    if times > 3:
        return await traced(text, times - 3)
    return [*out, note]


@agent
async def lifting(text: str) -> str:
    """Has a function of its own, which is compiled apart."""

    def louder(what: str, mark="!") -> str:
        return shout(what) + mark + STYLE[0] + text

    return louder(await llm(text)) + louder("end", mark="?")


@agent
async def two(text: str) -> str:
    first = await llm(text)
    return first + await llm("fail")


REGISTRY = {"search": look}


@agent
async def rooted(name: str, kind: Local | None = None) -> str:
    tool = REGISTRY[name]
    made = Local()
    return str(await tool(helper(name)))


def helper(name):
    return name
'''


class Place:
    """A folder with the agent's file, another with its tools, and a command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "toolbox.py").write_text(TOOLS)
        self.source = folder / "agents.py"
        self.source.write_text(AGENT)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
        inherited = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
        return subprocess.run(
            [sys.executable, "-m", "agentvm", *arguments],
            cwd=self.folder,
            env=kept
            | {
                "PYTHONPATH": os.pathsep.join([*inherited, *paths]),
                "AGENTVM_STORE": f"sqlite+aiosqlite:///{self.folder / 'store.db'}",
                "AGENTVM_LLM": "scripted:toolbox.py:model",
                "NO_COLOR": "1",
            },
            capture_output=True,
            text=True,
            timeout=1200,
        )

    def compiled(self, name: str) -> str:
        """Compile an agent to a file and take its source away."""
        done = self("compile", f"agents.py:{name}", "-o", f"{name}.avm.json")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return f"{name}.avm.json"

    def without_source(self) -> None:
        self.source.unlink()

    def json(self, *arguments: str, code: int = 0) -> dict[str, object]:
        done = self(*arguments, "--json")
        assert done.returncode == code, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


MAIN = ("-i", "question=q", "-i", 'note={"text": "n"}', "-i", "extra=e")


def test_an_artifact_gives_what_the_source_gives(place):
    """The answer is the same with the source and, from the artifact, without it."""
    artifact = place.compiled("main")
    expected = place.json("run", "agents.py:main", *MAIN)
    place.without_source()
    assert place.json("run", artifact, *MAIN)["result"] == expected["result"]
    assert expected["result"]["name"] == "agents"


def test_a_traced_program_is_built_from_its_code(place):
    """A function traced as a whole runs from the artifact, calls of itself and of others included."""
    artifact = place.compiled("traced")
    expected = place.json("run", "agents.py:traced", "-i", "text=t", "-i", "times=5")
    place.without_source()
    found = place.json("run", artifact, "-i", "text=t", "-i", "times=5")
    assert found["result"] == expected["result"]


def test_functions_of_an_agents_own_are_carried(place):
    """With what they read of their module."""
    artifact = place.compiled("lifting")
    expected = place.json("run", "agents.py:lifting", "-i", "text=t")
    place.without_source()
    found = place.json("run", artifact, "-i", "text=t")
    assert found["result"] == expected["result"] == "<T>!shorttEND?shortt"


def test_an_artifact_is_drawn_and_printed(place):
    """Its graph and its text are those of the source, and the text has the artifact's programs."""
    artifact = place.compiled("traced")
    commands = (["compile"], ["graph", "--format", "mermaid"], ["graph", "--format", "svg"])
    expected = [place(*each, "agents.py:traced").stdout for each in commands]
    place.without_source()
    assert [place(*each, artifact).stdout for each in commands] == expected
    assert expected[2].startswith("<svg")


def test_inputs_are_checked(place):
    """Names and types of the inputs are those of the source's signature."""
    artifact = place.compiled("main")
    place.without_source()
    done = place("run", artifact, "-i", "count=many")
    assert done.returncode == 2
    assert "count: 'many' is not a valid int" in done.stderr
    assert "missing: question (str), note (Note)" in done.stderr
    assert "main(question: str, note: Note, count: int = 2, *more: int, **named: str)" in done.stderr


def test_a_run_of_an_artifact_is_resumed_from_it(place):
    """After a failure the run goes on from the artifact, and what was recorded is not asked again."""
    artifact = place.compiled("two")
    place.without_source()
    failed = place.json("run", artifact, "-i", "text=t", code=1)
    (place.folder / "mended").touch()
    done = place.json("resume", str(failed["run"]), "--retry")
    assert done["result"] == "<t><fail>"
    assert done["nodes"]["reused"] == 1


def test_a_run_whose_artifact_is_gone_says_so(place):
    """The error names the artifact and the way out."""
    artifact = place.compiled("two")
    place.without_source()
    failed = place.json("run", artifact, "-i", "text=t", code=1)
    (place.folder / artifact).unlink()
    done = place("resume", str(failed["run"]), "--retry")
    assert done.returncode == 2
    assert f"{place.folder / artifact}, and that file is gone" in done.stderr
    assert "--agent FILE.avm.json" in done.stderr


def test_what_cannot_be_carried_is_named(place):
    """Classes, helpers and registries of the agent's own file are refused at once, with the remedy."""
    done = place("compile", "agents.py:rooted", "-o", "rooted.avm.json")
    assert done.returncode == 2
    for each in ("the class Local", "`helper`, the function helper", "`REGISTRY`, an object of type dict"):
        assert each in done.stderr
    assert "Move it to a module of its own" in done.stderr
    assert not (place.folder / "rooted.avm.json").exists()


def test_changed_tools_are_refused(place):
    """Results are found by the code's hash, so an artifact does not run with other tools than its own."""
    artifact = place.compiled("main")
    toolbox = place.folder / "toolbox.py"
    toolbox.write_text(TOOLS.replace("-1", "-9"))
    done = place("run", artifact, *MAIN)
    assert done.returncode == 2
    assert "toolbox:search has changed since" in done.stderr
    toolbox.write_text(TOOLS.replace("search", "find"))
    done = place("run", artifact, *MAIN)
    assert done.returncode == 2
    assert "imports search from toolbox" in done.stderr
    toolbox.unlink()
    done = place("run", artifact, *MAIN, "--llm", "scripted:agents.py:model")
    assert done.returncode == 2
    assert "imports toolbox, which cannot be had here" in done.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "This is not JSON"),
        ("[]", "$: an object is needed, not an array"),
        ('{"format": 2}', "made by a newer AgentVM"),
        ('{"format": 1}', "$: the key 'python' is missing"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_artifact_is_refused(place, text, problem):
    """The error names the file and what is wrong with it."""
    (place.folder / "bad.avm.json").write_text(text)
    done = place("run", "bad.avm.json")
    assert done.returncode == 2
    assert f"{place.folder / 'bad.avm.json'}: " in done.stderr and problem in done.stderr
    assert "Traceback" not in done.stderr
