"""The pytest plugin: doubles, stores and recorded answers for tests of agents.

pytest finds it by itself where AgentVM is installed. Nothing of AgentVM is
imported before a fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .cassettes import Cassette
    from .testing import Script, ScriptedLLM

FOLDER = "cassettes"
"""Beside the test's file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentvm", "AgentVM: tests of agents")
    group.addoption(
        "--agentvm-record",
        choices=("none", "new", "all"),
        default="none",
        help="What agentvm_cassette asks the real model: nothing (the default), what is not recorded yet, "
        "or everything anew.",
    )
    group.addoption(
        "--agentvm-llm",
        metavar="SPEC",
        default=None,
        help="The model to record from, e.g. vllm:smollm2-135m or openai:URL#MODEL; "
        "by default AGENTVM_LLM, else AgentVM's own default.",
    )


@pytest.fixture
def agentvm_store(tmp_path: Path) -> str:
    """The URL of a new SQLite store, for `AgentVM(store=...)`; durable within the test."""
    return f"sqlite+aiosqlite:///{tmp_path / 'agentvm.db'}"


@pytest.fixture
def agentvm_scripted() -> Callable[[Script], ScriptedLLM]:
    """Makes a `ScriptedLLM` of a function, a text, a list or a mapping of answers."""
    from .testing import ScriptedLLM

    return ScriptedLLM


@pytest.fixture
def agentvm_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """A model that answers from `cassettes/MODULE/TEST.json` beside the test's file.

    `pytest --agentvm-record=new` asks the real model for what the file lacks.
    """
    from .cassettes import Cassette

    mode = request.config.getoption("--agentvm-record")
    cassette = Cassette(
        cassette_path(request.node),
        record=mode,
        open_backend=None if mode == "none" else lambda: _backend(request.config),
    )
    yield cassette


def cassette_path(node: Any) -> Path:
    """Where a test's cassette lies: a class's name and a case's id are part of the file's."""
    name = re.sub(r"[^\w.=-]+", "_", node.nodeid.split("::", 1)[-1]).strip("_")
    file: Path = node.path
    return file.parent / FOLDER / file.stem / f"{name}.json"


def _backend(config: pytest.Config) -> Any:
    from .backends import open_llm
    from .config import default_llm

    return open_llm(config.getoption("--agentvm-llm") or default_llm())
