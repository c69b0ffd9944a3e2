"""A result that runs share is made again when anything changes that its code reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentvm import AgentVM
from agentvm.loading import load_file
from agentvm.testing import ScriptedLLM
from agentvm_runtime import dependence
from agentvm_runtime.dependence import shared_key
from agentvm_runtime.store.memory import MemoryStore

HEAD = """\
import functools
from dataclasses import dataclass

from pydantic import BaseModel, field_validator

from agentvm import agent, llm, tool

MADE = []

"""
RATE = """
@tool(effect="pure")
async def rate(name: str) -> int:
    MADE.append(name)
    return {}

@agent
async def flow(name: str) -> int:
    return await rate(name)
"""
ANSWER = """
class Part(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def longer(cls, text: str) -> str:
        return longer(text)

@agent
async def flow(name: str) -> str:
    parts = await llm(name, returns=list[Part], temperature=0)
    MADE.append(parts[0].text)
    return MADE[-1]
"""
HELPED = "class Helper:\n    def rate(self):\n        return {}\n" + "HELPER = Helper()\n"
CASES = {
    "a table": ("RATES = {'x': %d}\n" + RATE.format("RATES[name]")),
    "a table of functions": "RATES = {'x': lambda: %d}\n" + RATE.format("RATES[name]()"),
    "an instance": "@dataclass\nclass Kept:\n    rate: int\nKEPT = Kept(%d)\n" + RATE.format("KEPT.rate"),
    "a method": HELPED.format("%d") + RATE.format("HELPER.rate()"),
    "a function behind a method": "def two():\n    return %d\n"
    + HELPED.format("two()")
    + RATE.format("HELPER.rate()"),
    "a partial": "two = functools.partial(int, '%d')\n" + RATE.format("two()"),
    "a function behind a validator": "def longer(text):\n    return text + '%d'\n" + ANSWER,
}


def load(folder: Path, number: int, program: str):
    """The module of an edited file; the file's name stays."""
    path = folder / str(number) / "edited.py"
    path.parent.mkdir()
    path.write_text(HEAD + program)
    return load_file(path)


@pytest.mark.parametrize("program", CASES.values(), ids=CASES.keys())
async def test_what_the_code_reaches_counts(tmp_path: Path, program: str):
    """An edit far from the tool or the type makes the result anew; without one it is shared."""
    model = ScriptedLLM('[{"text": "x"}]')
    async with AgentVM(store=MemoryStore(), llm=model) as vm:
        results = [
            await vm.run(load(tmp_path, number, program % value).flow, "x")
            for number, value in enumerate((1, 2, 1))
        ]
        stored = len(await vm.store.memos())
    assert results[0] == results[2]
    assert results[0] != results[1]
    assert stored == 2


def deep(depth: int):
    return [deep(depth - 1)] if depth else []


TABLE = deep(5)
OTHER_RATE = 3


def looks_up(name: str):
    return TABLE, name


def adds(number: int) -> int:
    return number + OTHER_RATE


def test_what_the_key_covers_leaves_it_as_it_is():
    """Functions and constants, and types that are not the user's."""
    assert shared_key("key", adds) == "key"
    assert shared_key("key", list[str]) == "key"
    assert shared_key("key", looks_up) not in ("key", "")


def test_what_reaches_too_far_is_not_shared(monkeypatch):
    """Rather than looking at everything there is."""
    monkeypatch.setattr(dependence, "MOST", 3)

    def also_looks_up(name: str):
        return TABLE, name

    assert shared_key("key", also_looks_up) == ""
