"""Cassettes: what is recorded, what is replayed, and what is said of what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agentvm
from agentvm import BackendError, ConfigError, InputError, agent, llm
from agentvm.cassettes import Cassette
from agentvm.testing import ScriptedLLM

Opener = Callable[[], Any]


@agent
async def pair(topic: str) -> list[str]:
    """Two samples of the same question, and a greedy one."""
    first = await llm(f"Say something about {topic}.", temperature=1.0)
    second = await llm(f"Say something about {topic}.", temperature=1.0)
    return [first, second, await llm(f"Name {topic}.", temperature=0)]


@agent
async def count(text: str) -> int:
    return await llm(f"How many words? {text}", returns=int, temperature=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "pair.json"


def opener(*answers: Any) -> Opener:
    return lambda: ScriptedLLM(list(answers), identity="real-model")


def run(cassette: Cassette, topic: str = "rain") -> list[str]:
    return agentvm.run(pair, topic, llm=cassette, store="memory", memo=False)


def test_a_recorded_run_is_replayed_without_the_model(path: Path) -> None:
    """Equal sampled calls get the recorded answers in turn, and nobody is asked."""
    recorded = run(Cassette(path, record="all", open_backend=opener("wet", "cold", "Rain")))
    assert recorded == ["wet", "cold", "Rain"]
    assert run(Cassette(path)) == recorded


def test_an_answer_with_a_type_is_kept_as_json_text(path: Path) -> None:
    """What is replayed is parsed and validated like a real answer."""
    asked = Cassette(path, record="all", open_backend=opener(2))
    assert agentvm.run(count, "two words", llm=asked, store="memory") == 2
    assert agentvm.run(count, "two words", llm=Cassette(path), store="memory") == 2
    assert json.loads(path.read_text())["exchanges"][0]["guided"] is not None


def test_the_identity_of_the_recorded_model_is_kept(path: Path) -> None:
    """Execution keys see the model that answered, though it is not there."""
    run(Cassette(path, record="all", open_backend=opener("a", "b", "c")))
    assert Cassette(path).identity(None) == "real-model"


def test_new_asks_only_for_what_is_missing(path: Path) -> None:
    """What the file has stays as it was."""
    run(Cassette(path, record="all", open_backend=opener("a", "b", "c")))
    added = Cassette(path, record="new", open_backend=opener("d", "e", "f"))
    assert run(added) == ["a", "b", "c"]
    assert run(added, "snow") == ["d", "e", "f"]
    assert run(Cassette(path), "snow") == ["d", "e", "f"]


def test_a_changed_prompt_is_named_with_the_nearest_recorded_one(path: Path) -> None:
    """The error says what was asked, what the file has, and how to record it."""
    run(Cassette(path, record="all", open_backend=opener("a", "b", "c")))
    with pytest.raises(agentvm.RunFailed) as failed:
        run(Cassette(path), "rains")
    assert isinstance(failed.value.error, BackendError)
    text = str(failed.value.error)
    assert "no answer to 'Say something about rains.'" in text
    assert "The nearest that it has is 'Say something about rain.'" in text
    assert "--agentvm-record=new" in text


def test_a_call_too_many_is_told_apart_from_an_unknown_one(path: Path) -> None:
    """A third sample where two were recorded is an error, never a made-up answer."""
    run(Cassette(path, record="all", open_backend=opener("a", "b", "c")))
    cassette = Cassette(path)
    run(cassette)
    with pytest.raises(agentvm.RunFailed, match="has 2 answers"):
        run(cassette)


def test_without_a_file_there_is_nothing_to_replay(path: Path) -> None:
    """Said when the cassette is opened, with the remedy."""
    with pytest.raises(InputError, match=r"There is no cassette .*--agentvm-record=new"):
        Cassette(path)


@pytest.mark.parametrize("text", ["", "{", '{"version": 2}', '{"version": 1, "exchanges": [{}]}'])
def test_a_damaged_file_is_refused(path: Path, text: str) -> None:
    """The error names the file and the place."""
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError, match=r"pair\.json is not a cassette: "):
        Cassette(path)


def test_recording_needs_a_model(path: Path) -> None:
    """A mistake of the caller's, told before anything runs."""
    with pytest.raises(ConfigError, match="open_backend"):
        Cassette(path, record="new")
    with pytest.raises(ConfigError, match="none, new, all"):
        Cassette(path, record="some")  # type: ignore[arg-type]
