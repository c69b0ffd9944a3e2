"""New projects: what is written, and that it works as written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentvm.scaffold import create
from agentvm_compiler.errors import InputError


def test_a_new_projects_tests_pass(tmp_path: Path) -> None:
    """As written, in a process of its own."""
    create(tmp_path / "my-agent")
    plugin = ["-p", "agentvm.pytest_plugin", "-p", "no:cacheprovider", "-q"]
    command = [sys.executable, "-m", "pytest", *plugin]
    # Installed or not: the plugin is named.
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path / "my-agent", env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_its_name_is_the_agents(tmp_path: Path) -> None:
    """Dashes and dots make one module name."""
    names = {path.relative_to(tmp_path).as_posix() for path in create(tmp_path / "My-agent.2")}
    assert {"My-agent.2/my_agent_2.py", "My-agent.2/tests/test_my_agent_2.py"} <= names
    made = (tmp_path / "My-agent.2" / "Makefile").read_text()
    assert "agentvm run my_agent_2.py:answer" in made
    assert '--llm "$(LLM)"' in made


@pytest.mark.parametrize("name", ["1st", "käse", "a+b"])
def test_a_name_that_makes_no_module_is_refused(tmp_path: Path, name: str) -> None:
    """With what is allowed; nothing is written."""
    with pytest.raises(InputError, match="letters, digits and dashes"):
        create(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """Neither a folder with something in it nor a file is written over."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(InputError, match="is not an empty folder"):
            create(tmp_path / name)
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["mine.txt"]
