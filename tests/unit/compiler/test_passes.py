"""What each pass makes of small programs, as text, and that each can be left out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentvm import AgentVM
from agentvm.cli import main
from agentvm.testing import ScriptedLLM
from agentvm_compiler.compile import compile_agent, lowered
from agentvm_compiler.errors import InputError
from agentvm_compiler.ir import Kind, Module
from agentvm_compiler.passes import OPTIONAL, optimise, steps
from tests.unit.compiler.pass_programs import AGENTS, constant, repeated, unread
from tests.unit.compiler.programs import AGENTS as MORE
from tests.unit.compiler.test_lowering import assert_golden

CASES = [(name, agent) for name, agents in AGENTS.items() for agent in agents]


@pytest.mark.parametrize(("name", "agent"), CASES, ids=lambda each: getattr(each, "name", each))
def test_a_pass_does_what_is_recorded(name: str, agent: Any):
    """The text form after the pass alone and the edges is the recorded one."""
    module, constants = lowered(agent)
    alone = optimise(module, frozenset(OPTIONAL) - {name}, constants)
    assert_golden(f"pass_{name}_{agent.name}", alone.to_text(hashes=False))


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("agent", [*MORE, *(agent for _, agent in CASES)], ids=lambda each: each.name)
def test_a_pass_has_nothing_left_to_do(name: str, agent: Any):
    """Done twice, each pass is as if done once."""
    module, constants = lowered(agent)
    others = frozenset(OPTIONAL) - {name}
    once = optimise(module, others, constants)
    assert optimise(once, others, constants) == once


def test_steps_are_named_in_the_order_they_run():
    """Each step comes with its name; a pass left out is not among them."""
    module, _ = lowered(unread)
    names = [name for name, _ in steps(module, frozenset({"dead"}))]
    assert names == ["lowering", "fold", "common", "prefix", "order"]


def test_only_optional_passes_can_be_left_out():
    """The error names the pass and those that can."""
    with pytest.raises(InputError, match=r"'order'.*fold, common, dead, prefix"):
        optimise(Module(()), frozenset({"order"}))


def test_folding_keeps_the_code_hash():
    """The hash covers constants by value, folded or not: a program's results stay valid."""
    module, constants = lowered(constant)
    folded = optimise(module, constants=constants).main
    for node in module.main.body.walk():
        if node.kind is Kind.LLM:
            assert folded.node(node.site).code_hash == node.code_hash
            assert folded.node(node.site).code != node.code


def test_merged_calls_are_made_once_and_share_nothing():
    """Greedy calls and pure tools are asked once; what one name changes the other does not see."""
    llm = ScriptedLLM(lambda call: call.prompt.lower())

    async def run() -> Any:
        async with AgentVM(store="memory", llm=llm) as vm:
            return await vm.run(repeated, "a b", True)

    assert compile_agent(repeated).program.node("llm#2").kind is Kind.PYTHON
    votes = ["vote on a b", "vote on a b"]
    assert asyncio.run(run()) == ["name a b", "name a b", votes, ["a", "b"], ["a", "b", "name a b"]]
    assert sorted(call.prompt for call in llm.calls) == ["Name a b", "Vote on a b", "Vote on a b"]


def test_the_command_prints_each_step(capfd: pytest.CaptureFixture[str]):
    """`compile --passes` names each step, shows what it changed, and leaves out what `--skip` says."""
    target = "tests.unit.compiler.pass_programs:unread"
    with pytest.raises(SystemExit) as ended:
        main(["compile", target, "--passes", "--skip", "prefix"])
    assert ended.value.code == 0
    printed = capfd.readouterr().out
    heads = [line for line in printed.splitlines() if line.startswith("-- ")]
    assert heads == [
        "-- lowering",
        "-- fold: no change",
        "-- common: no change",
        "-- dead",
        "-- order: no change",
    ]
    assert printed.count("llm(f'Rate {draft}')") == 2, "printed where it changed, and a call is never dropped"


def test_the_command_refuses_to_leave_out_the_edges(capfd: pytest.CaptureFixture[str]):
    """That is wrong use, and the message names what can be left out."""
    target = "tests.unit.compiler.pass_programs:unread"
    with pytest.raises(SystemExit) as ended:
        main(["compile", target, "--passes", "--skip", "order"])
    assert ended.value.code == 2
    assert "fold, common, dead, prefix" in capfd.readouterr().err
