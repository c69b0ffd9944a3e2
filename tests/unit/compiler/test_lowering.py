"""What the compiler makes of small programs, as text.

After an intended change: `AGENTVM_GOLDEN=write pytest tests/unit/compiler`, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind
from agentvm_compiler.verify import verify
from tests.unit.compiler.programs import AGENTS

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """The text is that of the file; or the file is made so, if the environment asks for it."""
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("AGENTVM_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize("agent", AGENTS, ids=lambda each: each.name)
def test_ir_is_as_recorded(agent):
    """The text form of the optimised module, code hashes left out, is the recorded one."""
    assert_golden(agent.name, compile_agent(agent).module.to_text(hashes=False))


@pytest.mark.parametrize("agent", AGENTS, ids=lambda each: each.name)
def test_compiled_modules_are_well_formed(agent):
    """The verifier accepts what the pipeline gives, called agents included."""
    assert verify(compile_agent(agent).module) is compile_agent(agent).module


def test_every_kind_that_is_compiled_has_a_golden_program():
    """The programs cover all kinds of node that lowering makes today."""
    kinds = {node.kind for agent in AGENTS for node in compile_agent(agent).program.body.walk()}
    assert kinds >= {
        Kind.LLM, Kind.TOOL, Kind.AGENT, Kind.PYTHON, Kind.BRANCH, Kind.LOOP, Kind.MAP, Kind.TRACED,
    }  # fmt: skip


def test_a_module_holds_the_programs_of_all_called_agents():
    """The main program comes first, each called one once."""
    agent = next(each for each in AGENTS if each.name == "calls_agents")
    names = [each.name.rpartition(":")[2] for each in compile_agent(agent).module.programs]
    assert names == ["calls_agents", "chain", "tools"]


def test_what_was_traced_is_explained():
    """The explanation names file, line and reason, quotes the line with a caret, and gives advice."""
    agent = next(each for each in AGENTS if each.name == "kept_method")
    folder = str(Path(__file__).parent)
    assert_golden("explain_kept_method", compile_agent(agent).explain().replace(folder, "FOLDER"))


def test_what_waits_is_explained():
    """Calls that wait for others for the order of their effects are listed."""
    agent = next(each for each in AGENTS if each.name == "tools")
    folder = str(Path(__file__).parent)
    assert_golden("explain_tools", compile_agent(agent).explain().replace(folder, "FOLDER"))
