"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import pytest

TEST = """
import agentvm
from agentvm import AgentVM, agent, llm

@agent
async def greet(name: str) -> str:
    return await llm(f"Greet {name}.", temperature=0)

def test_scripted(agentvm_scripted, agentvm_store):
    model = agentvm_scripted({"Greet Ada.": "Hello Ada"})
    assert agentvm.run(greet, "Ada", llm=model, store=agentvm_store) == "Hello Ada"
    assert agentvm.run(greet, "Ada", llm=model, store=agentvm_store) == "Hello Ada"
    assert model.prompts == ["Greet Ada."]

def test_recorded(agentvm_cassette):
    assert agentvm.run(greet, "Bob", llm=agentvm_cassette, store="memory") == "Hello from the model"
"""
MODEL = "answers = {'Greet Bob.': 'Hello from the model'}\n"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # installed or not, the plugin is named
    pytester.makepyfile(test_greet=TEST, model=MODEL)
    return pytester


# In processes of their own: a pytest within a pytest forgets the modules that it imported.
def outcomes(project: pytest.Pytester, *arguments: str) -> dict[str, int]:
    return project.runpytest_subprocess("-p", "agentvm.pytest_plugin", *arguments).parseoutcomes()


def test_fixtures_run_agents_without_a_model(project: pytest.Pytester) -> None:
    """A scripted model and a store of the test's own; results are shared between its runs."""
    assert outcomes(project, "-k", "scripted") == {"passed": 1, "deselected": 1}


def test_a_test_is_recorded_once_and_replayed_ever_after(project: pytest.Pytester) -> None:
    """Without a cassette it fails and says how to record; the file lies beside the test."""
    result = project.runpytest_subprocess("-p", "agentvm.pytest_plugin", "-k", "recorded")
    result.stdout.fnmatch_lines(["*There is no cassette *--agentvm-record=new*"])
    model = f"scripted:{project.path / 'model.py'}:answers"
    record = ("-k", "recorded", "--agentvm-record=new", f"--agentvm-llm={model}")
    assert outcomes(project, *record)["passed"] == 1
    assert (project.path / "cassettes" / "test_greet" / "test_recorded.json").is_file()
    (project.path / "model.py").unlink()
    assert outcomes(project, "-k", "recorded")["passed"] == 1
