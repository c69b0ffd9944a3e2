"""The first ten minutes of somebody who has cloned the repository: what the README says, word for word.

Its blocks are run in a copy of the examples, one after the other in one shell, with a scripted model
that can be made to wait.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
SOURCES = [str(ROOT), *(str(ROOT / part) for part in ("compiler", "runtime", "serving"))]

MODEL = """
import asyncio
from pathlib import Path

HERE = Path(__file__).parent


async def answer(call):
    with (HERE / "asked").open("a") as log:
        log.write(call.prompt.splitlines()[0] + "\\n")
    if call.prompt.startswith("Name"):
        return ["Rivers", "Rocks", "Rain"]
    if call.prompt.startswith("Is this"):
        return "good"
    if call.prompt.startswith("Use these") and (HERE / "hold").exists():
        (HERE / "holding").touch()
        await asyncio.Event().wait()
    return f"<{call.prompt[:44]}>"
"""

COMMANDS = {"agentvm": "-m agentvm", "python3": ""}
"""Of an environment's `bin`, with what they give to Python."""


def blocks() -> list[str]:
    """The README's blocks for a shell, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


class Clone:
    """A folder that has what `make demo` left, but for the model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "examples", folder / "examples")
        place = folder / ".venv" / "bin"
        place.mkdir(parents=True)
        (place / "activate").write_text(f"export PATH={place}:$PATH\n")
        for name, options in COMMANDS.items():
            (place / name).write_text(f'#!/bin/sh\nexec {sys.executable} {options} "$@"\n')
            (place / name).chmod(0o755)
        (folder / "model.py").write_text(MODEL)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join(SOURCES),
            "AGENTVM_STORE": f"sqlite+aiosqlite:///{folder / 'runs.db'}",
            "AGENTVM_LLM": f"scripted:{folder / 'model.py'}:answer",
            "NO_COLOR": "1",
        }

    def shell(self, script: str) -> str:
        """Run it; what it prints."""
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def json(self, *arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "agentvm", *arguments, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        return json.loads(done.stdout)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()

    @contextmanager
    def page(self, command: str) -> Iterator[str]:
        """What `agentvm ui` serves; its address."""
        arguments = [*command.split()[1:], "--port", "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "agentvm", *arguments],
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            said = ""
            while not said.startswith("The page:"):
                said = process.stderr.readline()
                assert said
            yield said.split()[-1]
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


DEMO = next(line.strip() for line in (ROOT / "Makefile").read_text().splitlines() if "agentvm run" in line)


def test_the_readme_can_be_followed(clone: Clone) -> None:
    """Demo, edit, page, kill -9, resume, fork: each as the README says, with what it says one sees."""
    demo = DEMO.replace("$(BIN)/", "")
    activate, edit, start, kill, resume, fork = blocks()
    first = clone.shell(f"set -e\n. .venv/bin/activate\n{demo}\n{activate}")
    assert "research:research  completed" in first

    *changes, page = edit.splitlines()
    clone.shell("\n".join(changes))
    with clone.page(page) as url:
        assert httpx.get(f"{url}ui/").status_code == 200
        shown = httpx.get(f"{url}v1/runs").json()["runs"]
        assert [each["status"] for each in shown] == ["completed"]
        inputs = {"question": "Why is the sky blue?"}
        httpx.post(f"{url}v1/runs", json={"agent": "research", "inputs": inputs}).raise_for_status()
        run = httpx.get(f"{url}v1/runs").json()["runs"][0]["id"]
        assert "event: end" in httpx.get(f"{url}v1/runs/{run}/events", timeout=600).text
        result = httpx.get(f"{url}v1/runs/{run}").json()["result"]
        assert result["body"] == "<Use these notes to answer in one sentence: W>"

    (clone.folder / "hold").touch()
    wait = "while [ ! -e holding ]; do sleep 0.1; done\n"
    killed = clone.shell(f"{activate}\n{start}\n{wait}{kill}")
    assert re.search(r"research:research +interrupted", killed)
    (clone.folder / "hold").unlink()
    before = len(clone.asked)
    resumed = clone.shell(f"set -e\n{activate}\n{resume}")
    assert "reused at resume" in resumed
    again = [each for each in clone.asked[before:] if not each.startswith("Is this")]
    assert again == ["Use these notes to answer in one sentence: Why is the sea salty?"]

    before = len(clone.asked)
    newest = clone.json("runs")[0]["run"]
    clone.shell(f"set -e\n{activate}\nRUN={newest}\n{fork}")
    forked = clone.json("runs")[0]
    assert (forked["parent"], forked["status"]) == (newest, "completed")
    told = [each[:30] for each in clone.asked[before:]]
    assert told[:2] == ["Explain in one sentence what '", "Use these notes to answer in o"], (
        "only what depends on it"
    )
    assert "Volcanoes" in clone.asked[before]


def test_the_page_shows_the_run_that_is_started_in_it(clone: Clone, open_page: Callable[..., Page]) -> None:
    """As the README says: Start a run, choose `research`, Start; then a node, for its prompt and output."""
    command = next(line for block in blocks() for line in block.splitlines() if "agentvm ui" in line)
    with clone.page(command) as url:
        page = open_page(url)
        page.get_by_role("button", name="Start a run").first.click()
        page.get_by_role("dialog").get_by_label("Agent").select_option(label="research")
        page.get_by_label("question").fill("Why is the sea salty?")
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator('.graph [data-path="llm#2"][data-state="done"]').wait_for()
        page.locator('.graph [data-path="llm#1"][data-state="done"]').click()
        page.get_by_text("Name 3 different things").first.wait_for()
        page.get_by_text("Rocks").first.wait_for()
