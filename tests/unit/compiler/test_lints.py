"""What `--explain` warns of and what it says of parallelism, on the smallest agents that show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentvm import agent, llm, tool
from agentvm_compiler.compile import SKIP_VARIABLE, compile_agent, lowered
from agentvm_compiler.frontend.scope import Scope
from agentvm_compiler.lints import lints
from agentvm_compiler.passes import OPTIONAL
from tests.unit.compiler.test_lowering import assert_golden


@tool(effect="read")
async def look(where: str) -> str:
    return where


@tool
async def put(what: str) -> str:
    return what


@tool
def log(what: str) -> None: ...


@agent
async def forgets(topic: str) -> str:
    look(topic)
    llm(topic)
    log(topic)
    await put(topic)
    return topic


@agent
async def endless(topic: str) -> str:
    while True:
        topic = await llm(topic)
        if topic == "done":
            return topic


@agent
async def counts(topic: str) -> str:
    rounds = 0
    while True:
        topic = await llm(topic)
        rounds += 1
        if topic == "done" or rounds == 3:
            return topic


@agent
async def compares(topic: str) -> str:
    while True:
        topic = await llm(topic)
        if len(topic) > 100:
            break
    return topic


@agent
async def waits(topic: str) -> str:
    while True:
        topic = await look(topic)
        if topic == "done":
            return topic


@agent
async def saves(topics: list[str]) -> list[str]:
    return [await put(await look(each)) for each in topics]


@agent
async def blocked(topics: list[str]) -> str:
    notes = [await look(each) for each in topics]
    await put(notes[0])
    again = await look(topics[0])
    kept = await saves(topics)
    draft = again
    for _ in range(3):
        draft = await llm(f"Revise {draft} {kept}")
    return draft


WARNED = {
    forgets: ["`look(...)` is not awaited, so it never runs", "`llm(...)` is not awaited, so it never runs"],
    endless: ["nothing bounds how often this loop asks the model"],
    counts: [],
    compares: [],
    waits: [],
    saves: ["`put` is a write tool, so these calls are made one after the other"],
    blocked: [],
}


@pytest.mark.parametrize("of", WARNED, ids=lambda each: each.name)
def test_what_is_probably_a_mistake_is_warned_of(of: Any):
    """Calls that never run, loops that may never end, writes that look as if side by side; nothing else."""
    source = compile_agent(of).source
    assert source is not None
    assert [each.what for each in lints(Scope(source))] == WARNED[of]


@pytest.mark.parametrize("of", [forgets, endless, saves, blocked], ids=lambda each: each.name)
def test_the_account_is_as_recorded(of: Any):
    """Each line has its place, warnings have a caret and a remedy, and what waits says for what and why."""
    folder = str(Path(__file__).parent)
    assert_golden(f"explain_{of.name}", compile_agent(of).explain().replace(folder, "FOLDER"))


def test_passes_are_left_out_by_environment(monkeypatch: pytest.MonkeyPatch):
    """Without its optional passes a program is as lowered, but for the edges."""
    fresh = type(counts)(counts.fn, counts.name)
    monkeypatch.setenv(SKIP_VARIABLE, ", ".join(OPTIONAL))
    assert compile_agent(fresh).program.body == lowered(counts)[0].main.body
