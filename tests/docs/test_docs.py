"""The documentation: it builds strictly, its quickstart works as pasted, its Python is Python."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = [str(ROOT), *(str(ROOT / part) for part in ("compiler", "runtime", "serving"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]


def blocks(path: Path, kind: str) -> list[str]:
    """Fenced blocks of a kind, in order."""
    found = FENCE.finditer(path.read_text())
    return [textwrap.dedent(each["body"]) for each in found if each["kind"] == kind]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every link, anchor and reference leads somewhere, and every page is in the navigation."""
    pytest.importorskip("material", reason="MkDocs is not installed: make setup")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "agentvm resume" in (tmp_path / "reference" / "cli.html").read_text()
    assert "best_effort" in (tmp_path / "reference" / "python.html").read_text()
    pages = [path.read_text() for path in tmp_path.rglob("*.html")]
    hosts = {host for page in pages for host in re.findall(r'(?:src|href)="https?://([^/"]+)', page)}
    loaded = {
        host for page in pages for host in re.findall(r'<(?:script|img|link)[^>]+="https?://([^/"]+)', page)
    }
    assert loaded == set(), f"pages load from other hosts: {loaded} of {hosts}"


MODEL = """
def answer(call):
    return "Oslo" if "Name one" in call.prompt else "A sentence."
"""


def test_the_quickstart_works_as_pasted(tmp_path: Path) -> None:
    """All its blocks in one shell, one after the other, with a scripted model."""
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "agentvm").write_text(f'#!/bin/sh\nexec {sys.executable} -m agentvm "$@"\n')
    (tmp_path / "agentvm").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(SOURCES),
        "AGENTVM_LLM": f"scripted:{tmp_path / 'model.py'}:answer",
    }
    script = "set -e\n" + "\n".join(blocks(DOCS / "quickstart.md", "sh"))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "killed" in done.stdout
    assert "uncertain" in done.stdout
    assert "A sentence. (booked Oslo)" in done.stdout
    assert "Stay at home. (booked Oslo)" in done.stdout
    assert (tmp_path / "quickstart" / "plan.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_in_the_documentation_is_python(page: Path) -> None:
    """Each block parses."""
    for block in blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_the_documentation_exist(page: Path) -> None:
    """Whoever types what a page says meets a command of that name."""
    from agentvm.cli import app

    names = {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    names |= {each.name for each in app.registered_groups if each.name}
    for line in page.read_text().splitlines():
        for command in re.findall(r"^    agentvm ([a-z]+)\b|`agentvm ([a-z]+)[ `]", line):
            assert next(filter(None, command)) in names, line
