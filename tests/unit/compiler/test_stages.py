"""The forecast: which stages of model calls wait for a call, as the profile has it."""

from __future__ import annotations

import asyncio

import pytest

from agentvm import agent, llm, tool
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Program
from agentvm_compiler.passes.stages import LONGEST, Profile, SiteProfile, critical_path, forecast
from agentvm_compiler.wire import Stage


@tool(effect="read")
async def look(where: str) -> str:
    return where


@tool
async def put(what: str) -> None: ...


@agent
async def report(question: str, topics: list[str]) -> str:
    plan = await llm(f"Plan {question}", max_tokens=50)
    notes = [await llm(f"{plan} {topic}") for topic in topics]
    found = await look(plan)
    draft = await llm(f"Draft {notes} {found}")
    alone = await llm(f"Title {question}")
    for _ in range(2):
        review = await llm(f"Review {draft}")
        if review == "ok":
            break
        draft = await llm(f"Revise {draft} {review}")
    return draft + alone


@agent
async def folded(words: list[str]) -> list[str]:
    notes: list[str] = []
    for word in words:
        note = await llm(word)
        notes.append(await llm(note))
    return notes


@agent
async def swapped(left: str, right: str) -> str:
    for _ in range(4):
        left, right = right, await llm(left)
    return left


@agent
async def nested(question: str) -> str:
    plan = await llm(question)
    both = await asyncio.gather(report(plan, []), llm(plan))
    await put(plan)
    return await llm(str(both))


@agent
async def guarded(question: str) -> str:
    try:
        draft = await llm(question)
        draft = await llm(draft)
    except ValueError:
        draft = ""
    if draft == "":
        draft = await llm("again")
        draft = await llm(draft)
    return await llm(draft)


def program(of: object) -> Program:
    return compile_agent(of).program  # type: ignore[arg-type]


def calls(stages: tuple[Stage, ...]) -> list[int]:
    """Calls side by side, stage by stage."""
    return [each.calls for each in stages]


def times(**sites: float) -> Profile:
    return Profile(
        {name.replace("__", ".", 1).replace("_", "#"): SiteProfile(times=n) for name, n in sites.items()}
    )


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("llm#1", [3, 1, 1, 1, 1, 1]),  # the notes, the draft, two rounds
        ("llm#2", [1, 1, 1, 1, 1]),
        ("look#1", [1, 1, 1, 1, 1]),
        ("llm#3", [1, 1, 1, 1]),
        ("llm#4", []),  # the title: nothing waits for it
        ("llm#5", [1, 1, 1]),
        ("llm#6", [1, 1]),
    ],
)
def test_what_waits_for_a_call_remains(site: str, expected: list[int]):
    """Only what depends on the call counts; elements of a map stand side by side, rounds in a row."""
    assert calls(forecast(program(report), site)) == expected


def test_a_site_that_is_not_there_is_refused():
    """The error is a KeyError with the site."""
    with pytest.raises(KeyError, match="llm#9"):
        forecast(program(report), "llm#9")


def test_the_profile_decides_counts():
    """Map widths and loop counts are those of earlier runs; iterations done are taken off."""
    profile = times(report__map_1=7, report__for_1=1)
    assert calls(forecast(program(report), "llm#1", profile)) == [7, 1, 1, 1]
    assert calls(forecast(program(report), "llm#5", done={"for#1": 1})) == [1]


def test_the_profile_decides_sides():
    """A branch that is not taken counts for nothing; of two likely sides the longer does."""
    either = program(guarded)
    assert calls(forecast(either, "llm#2")) == [1, 1, 1]
    rare = Profile({"guarded.if#1": SiteProfile(taken=0.1)})
    assert calls(forecast(either, "llm#2", rare)) == [1]


def test_lengths_come_from_the_profile_then_the_program_then_the_defaults():
    """`max_tokens` bounds what is not measured."""
    first = critical_path(program(report))[0]
    assert (first.output_tokens, first.output_tokens_upper, first.input_tokens) == (128, 512, 256)
    known = SiteProfile(input_tokens=9, output_tokens=20, output_tokens_upper=30)
    profile = Profile({"report.llm#1": known, "report.llm#4": known})
    first = critical_path(program(report), profile)[0]
    assert (first.calls, first.input_tokens, first.output_tokens, first.output_tokens_upper) == (2, 9, 20, 30)


def test_time_in_tools_goes_to_the_stage_that_waits():
    """The draft waits for the look-up as well."""
    profile = Profile({"report.look#1": SiteProfile(tool_seconds=2.5)})
    assert [each.tool_seconds for each in forecast(program(report), "llm#1", profile)][:2] == [2.5, 0.0]


def test_iterations_that_do_not_wait_for_each_other_are_one_width():
    """A loop that only folds makes its calls side by side; one that passes answers on does not."""
    assert calls(critical_path(program(folded), times(folded__for_1=5))) == [5, 5]
    assert calls(critical_path(program(swapped))) == [1, 1, 1, 1]


def test_called_agents_count_with_their_stages():
    """Where the callee's program is known; otherwise it counts as one call."""
    known = {"report": program(report)}
    inner = critical_path(program(nested), programs=lambda ref: known.get(ref.rpartition(":")[2]))
    assert calls(inner) == [1, 2 + 1, 3, 1, 1, 1, 1, 1, 1]
    assert calls(critical_path(program(nested))) == [1, 2, 1]


def test_a_forecast_is_bounded():
    """However long the loop."""
    assert len(critical_path(program(swapped), times(swapped__for_1=10_000))) == LONGEST
