"""What a model call tells the scheduler of the work still to come, and what earlier runs add to that."""

from __future__ import annotations

import linecache
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentvm import AgentVM, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_compiler.wire import Stage
from agentvm_runtime.profiling import WINDOW, Notes, Observations
from agentvm_serving.slo import EXTRA_KEY, to_extra_args


@tool(effect="read")
async def look(what: str) -> str:
    return what


@agent
async def summary(text: str) -> str:
    draft = await llm(f"sum up {text}", max_tokens=40)
    return await llm(f"shorten {draft}", max_tokens=20)


@agent
async def report(topics: list[str]) -> str:
    plan = await llm("plan", max_tokens=10)
    found = await look(plan)
    parts = [await summary(f"{found} {topic}") for topic in topics]
    draft = await llm(f"join {parts}", max_tokens=100)
    for _ in range(6):
        verdict = await llm(f"judge {draft}", max_tokens=2)
        if verdict == "good":
            break
        draft = await llm(f"mend {draft}", max_tokens=100)
    return draft


async def each_of(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word


@agent
async def opaque(text: str) -> str:
    async for word in each_of(text):
        await llm(word)
    return "done"


@agent
async def outer(text: str) -> str:
    found = await opaque(text)
    return await llm(f"close {found}")


def script(call: Any) -> str:
    if call.prompt.startswith("judge"):
        return "good" if call.path.startswith("for#1[1]") else "bad"
    return "one two three"


def remaining(model: ScriptedLLM, start: str) -> list[tuple[int, int]]:
    """How often each stage comes and of how many calls it is, for the first prompt that begins so."""
    call = next(each for each in model.calls if each.prompt.startswith(start))
    return [(each.times, each.calls) for each in call.hints.remaining]


async def test_a_call_says_what_waits_for_it():
    """Also what waits for the agent that makes it, and of loops what is left of them."""
    model = ScriptedLLM(script)
    async with AgentVM(store="memory", llm=model) as vm:
        await vm.run(report, ["a", "b"])
    review = [(1, 1)] * 6
    assert remaining(model, "plan")[:4] == [(1, 3), (1, 3), (1, 1), (1, 1)]
    assert remaining(model, "sum up")[:3] == [(1, 1), (1, 1), (1, 1)]
    assert remaining(model, "join")[:6] == review
    assert sum(times for times, _ in remaining(model, "join")) == 12
    assert sum(times for times, _ in remaining(model, "judge")) == 11
    assert sum(times for times, _ in remaining(model, "mend")) == 10
    last = [each for each in model.calls if each.prompt.startswith("judge")][-1]
    assert sum(each.times for each in last.hints.remaining) == 9


async def test_completed_runs_make_the_next_forecast():
    """Widths, rounds, lengths and times of tools are those that were seen."""
    model = ScriptedLLM(script)
    async with AgentVM(store="memory", llm=model) as vm:
        await vm.run(report, ["a", "b", "c", "d", "e"])
        model.calls.clear()
        await vm.run(report, ["f"])
    plan = model.calls[0].hints.remaining
    assert [(each.times, each.calls) for each in plan][:3] == [(1, 5), (1, 5), (1, 1)]
    assert sum(each.times for each in plan) == 3 + 2 * 2
    assert plan[0].tool_seconds > 0
    assert {each.output_tokens for each in plan} == {3, 1}
    assert all(each.output_tokens_upper == each.output_tokens for each in plan)


async def test_the_profile_outlives_the_process(tmp_path):
    """It is in the store, and only completed runs are in it."""
    store = f"sqlite+aiosqlite:///{tmp_path}/runs.db"
    async with AgentVM(store=store, llm=ScriptedLLM(script)) as vm:
        await vm.run(report, ["a", "b", "c", "d", "e"])
    model = ScriptedLLM(script)
    async with AgentVM(store=store, llm=model) as vm:
        await vm.run(report, ["f"])
    assert remaining(model, "plan")[0] == (1, 5)


async def test_a_traced_part_tells_what_follows_it():
    """In what called it; how many calls it makes is learnt."""
    model = ScriptedLLM(script)
    async with AgentVM(store="memory", llm=model) as vm:
        await vm.run(outer, "a b c d")
        profile = Observations.from_json(await vm.store.profile(outer.ref))
    assert remaining(model, "a") == [(1, 1)]
    assert profile.places["opaque.traced#1"].times == [4]
    assert profile.places["opaque.traced#1"].output_tokens == [3, 3, 3, 3]


async def test_hints_stay_small():
    """However long the program: what comes late is told as its mean."""
    lines = "\n".join(f"    v{n + 1} = await llm(f'{{v{n}}} {n}', max_tokens={n + 1})" for n in range(100))
    long = _made(f"async def long(v0: str) -> str:\n{lines}\n    return v100\n")
    model = ScriptedLLM("x")
    async with AgentVM(store="memory", llm=model) as vm:
        await vm.run(long, "a", deadline="1h")
    hints = model.calls[0].hints
    assert len(hints.remaining) == 8
    assert sum(each.times for each in hints.remaining) == 64
    assert len(to_extra_args(hints)[EXTRA_KEY]) < 1024


def _made(text: str) -> Any:
    """An agent from source text, which the compiler can find."""
    name = "<long agent>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"llm": llm, "__name__": __name__}
    exec(compile(text, name, "exec"), scope)
    return agent(scope["long"])


@pytest.mark.parametrize("text", [None, "", '{"report.llm#1":{"output_tokens":[3],"colour":["red"]}}'])
def test_a_profile_of_another_version_is_read(text):
    """What is not understood is left out."""
    found = Observations.from_json(text)
    assert found.places == ({"report.llm#1": Notes(output_tokens=[3])} if text else {})


def test_the_newest_notes_are_kept():
    """As many as the window holds; the upper bound is a quantile of them."""
    seen = Observations()
    for value in range(3 * WINDOW):
        newer = Observations()
        newer.at("m:report", "llm#1").output_tokens.append(value)
        seen.add(newer)
    again = Observations.from_json(seen.to_json())
    assert again.places["report.llm#1"].output_tokens == list(range(2 * WINDOW, 3 * WINDOW))
    assert again.profile.sites["report.llm#1"].output_tokens_upper == 2 * WINDOW + 57
    assert again.profile.sites["report.llm#1"].taken is None


def test_a_stage_says_how_often_it_comes():
    """By default once."""
    assert Stage().times == 1
