"""Programs run from artifacts give what plain asyncio gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentvm.artifact import load_artifact
from agentvm.export import Home
from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import canonical

from .harness import Case, cases, model, observe_compiled, observe_plain


@dataclass(frozen=True)
class FromArtifact(Case):
    """The case with its agent loaded from an artifact."""

    loaded: Any = None

    @property
    def agent(self) -> Any:
        return self.loaded


def loaded(case: Case, folder: Path) -> Any:
    """The agent by way of an artifact whose other names are all imported: only its own code is carried."""
    home = Home(case.agent)
    home.name = "a module of its own"
    home.imported |= {
        name: f"{case.module.__name__}:{name}"
        for name, value in vars(case.module).items()
        if not isinstance(value, ModuleType | Agent)
    }
    path = folder / "agent.avm.json"
    path.write_text(canonical(home.document()))
    return load_artifact(path)


@pytest.mark.parametrize("case", cases())
async def test_artifact_is_plain(case: Case, tmp_path: Path):
    """Result or exception, writes and output are Python's, and the program's hash is that of the source."""
    agent = loaded(case, tmp_path)
    assert compile_agent(agent).hash == compile_agent(case.agent).hash
    plain = await observe_plain(case, model(case))
    compiled = await observe_compiled(FromArtifact(case.module, case.number, agent), model(case))
    assert compiled.visible == plain.visible
