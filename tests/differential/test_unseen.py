"""Code of the user's that runs where nothing shows it, and what calls and classes share unseen."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from agentvm import AgentVM
from agentvm_runtime import slots
from agentvm_runtime.records import EventKind
from agentvm_runtime.store.memory import MemoryStore

from . import unseen
from .crash import assert_resumes, events_of_a_whole_run
from .harness import Case, model, observe_compiled, observe_plain, outcome_of

CASES = [Case(unseen, number) for number in range(len(unseen.CASES))]
LOCAL = CASES[: len(unseen.AGENTS)]


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is folded is folded in place."""
    monkeypatch.setattr(slots, "LARGE", 0)
    monkeypatch.setattr(slots, "LONG", 0)


def names(case: Case) -> str:
    return str(case.agent.fn.__name__)


@pytest.mark.parametrize("case", CASES, ids=names)
async def test_it_does_what_python_does(case: Case):
    """At once, in whatever order answers come."""
    plain = await observe_plain(case, model(case))
    for seed in (None, 1, 2):
        assert (await observe_compiled(case, model(case, seed))).visible == plain.visible


@pytest.mark.parametrize("case", LOCAL, ids=names)
async def test_it_does_so_wherever_it_is_stopped(case: Case):
    """Of what a module holds this cannot be said: a new process has that as it was."""
    plain = await observe_plain(case, model(case))
    with redirect_stdout(io.StringIO()):
        for point in range(await events_of_a_whole_run(case) + 1):
            await assert_resumes(case, point, plain.outcome, plain.log)


@pytest.mark.parametrize("case", LOCAL, ids=names)
async def test_a_fork_does_so(case: Case):
    """Forked with nothing changed, and with its last model call made again."""
    plain = await observe_plain(case, model(case))
    case.reset()
    store = MemoryStore()
    async with AgentVM(store=store, llm=model(case)) as vm:
        with redirect_stdout(io.StringIO()):
            run = await vm.start(case.agent)
            assert await outcome_of(run.result) == plain.outcome
            calls = [
                each.path
                for each in await store.events(run.id)
                if each.node == "llm" and each.kind is EventKind.DONE
            ]
            for at in (None, calls[-1]):
                fork = await vm.fork(run.id, agent=case.agent, at=at)
                assert await outcome_of(fork.result) == plain.outcome
