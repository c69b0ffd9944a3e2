"""How much of the programs is compiled: the share of agents without a traced part, and what the others trace.

`AGENTVM_TRACED=write pytest tests/differential/test_coverage.py` writes the list anew, to docs/traced.md.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tests.programs
from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import Compiled, compile_agent
from agentvm_compiler.ir import Kind

LEAST = 0.82
"""Share of the agents that are compiled throughout. To be raised as the compiler learns; the aim is 0.85."""

PAGE = Path(__file__).parents[2] / "docs" / "traced.md"

HEAD = """\
# What is traced in the test programs

Of the {total} agents in [tests/programs](../tests/programs), {compiled} ({share:.0%}) are compiled
throughout. The others have a part that runs as ordinary Python with its effects recorded
([language.md](language.md), *What is traced*); each is listed here with the statement and the reason. A test
fails if this list is out of date; `AGENTVM_TRACED=write .venv/bin/python -m pytest
tests/differential/test_coverage.py` writes it anew.
"""


@dataclass(frozen=True)
class Part:
    """A traced part of an agent."""

    agent: str
    code: str
    """First line of the statement in question."""
    why: str
    whole: bool
    """Whether all of the agent is traced."""


def agents() -> list[Agent]:
    """Every agent that a program defines, in order of module and source."""
    found = []
    for each in pkgutil.iter_modules(tests.programs.__path__, "tests.programs."):
        module = importlib.import_module(each.name)
        defined = [value for value in vars(module).values() if isinstance(value, Agent)]
        found += [agent for agent in dict.fromkeys(defined) if agent.fn.__module__ == each.name]
    return found


def traced(agent: Agent) -> list[Part]:
    """The traced parts of an agent; none if it is compiled throughout."""
    compiled = compile_agent(agent)
    nodes = [node for node in compiled.program.body.walk() if node.kind is Kind.TRACED]
    if not nodes:
        return []
    whole = any(node.attrs.get("whole") for node in nodes)
    name = agent.ref.removeprefix("tests.programs.")
    return [Part(name, code, why, whole) for code, why in dict.fromkeys(_reasons(compiled))]


def _reasons(compiled: Compiled) -> Iterator[tuple[str, str]]:
    if compiled.source is None:
        for node in compiled.program.body.walk():
            yield "", str(node.attrs.get("reason", "its source is not to be had"))
        return
    lines = Path(compiled.source.file).read_text().splitlines()
    for decision in compiled.decisions:
        if decision.reason is not None:
            line = getattr(decision.reason.node, "lineno", decision.line)
            yield lines[line - 1].strip(), decision.reason.what


def page() -> str:
    """The text of docs/traced.md."""
    found = {agent.ref: traced(agent) for agent in agents()}
    compiled = sum(not parts for parts in found.values())
    text = HEAD.format(total=len(found), compiled=compiled, share=compiled / len(found))
    for whole, title in ((False, "A statement is traced"), (True, "The whole agent is traced")):
        parts = [part for parts in found.values() for part in parts if part.whole is whole]
        if parts:
            text += f"\n## {title}\n\n| agent | at | why |\n| --- | --- | --- |\n"
            text += "".join(map(_row, parts))
    return text


def _row(part: Part) -> str:
    code = f"`{part.code}`" if part.code else ""
    return f"| {part.agent} | {_cell(code)} | {_cell(part.why)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def test_most_agents_are_compiled_throughout():
    """The share of agents with no traced part is at least what it was."""
    found = {agent.ref: traced(agent) for agent in agents()}
    compiled = sum(not parts for parts in found.values())
    listed = "\n".join(
        f"  {part.agent}: {part.why}\n      {part.code}" for parts in found.values() for part in parts
    )
    assert compiled / len(found) >= LEAST, (
        f"{compiled} of {len(found)} agents are compiled throughout: {compiled / len(found):.1%}, "
        f"not {LEAST:.0%}. Traced are:\n{listed}"
    )


def test_the_list_of_what_is_traced_is_up_to_date():
    """docs/traced.md says what is traced now."""
    text = page()
    if os.environ.get("AGENTVM_TRACED") == "write":
        PAGE.write_text(text)
    assert PAGE.is_file() and PAGE.read_text() == text, (
        "docs/traced.md is out of date. Write it anew: "
        "AGENTVM_TRACED=write .venv/bin/python -m pytest tests/differential/test_coverage.py"
    )
