"""Where runs are kept: what `AgentVM(store=...)` and `agentvm.run(store=...)` take."""

from __future__ import annotations

from pathlib import Path

import pytest

import agentvm
from agentvm import AgentVM, ConfigError, agent
from agentvm.testing import ScriptedLLM
from agentvm_runtime.store import open_store


@agent
async def greet(name: str) -> str:
    return f"Hello {name}"


class Somewhere:
    """A path of another library's."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __fspath__(self) -> str:
        return str(self.place)


@pytest.mark.parametrize("kind", [str, Path, Somewhere, lambda path: f"sqlite:///{path}", open_store])
async def test_a_store_is_a_path_a_url_or_an_object(kind, tmp_path: Path):
    """All of them name the same runs."""
    place = tmp_path / "runs.db"
    async with AgentVM(store=kind(place), llm=ScriptedLLM([])) as vm:
        run = await vm.start(greet, "Ann")
        assert await run.result() == "Hello Ann"
    async with AgentVM(store=place, llm=ScriptedLLM([])) as vm:
        assert [each.id for each in await vm.list()] == [run.id]


def test_the_one_liner_takes_a_path(tmp_path: Path):
    """It makes the file."""
    assert agentvm.run(greet, "Ann", llm=ScriptedLLM([]), store=tmp_path / "runs.db") == "Hello Ann"
    assert (tmp_path / "runs.db").is_file()


def test_what_is_no_store_is_refused_at_once(tmp_path: Path):
    """With what would be one."""
    with (
        (tmp_path / "runs.db").open("w") as file,
        pytest.raises(ConfigError, match="a TextIOWrapper is no store"),
    ):
        AgentVM(store=file)
