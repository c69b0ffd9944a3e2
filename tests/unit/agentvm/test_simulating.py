"""Compiled programs as workloads."""

from __future__ import annotations

import asyncio
import random
import time
from enum import Enum
from itertools import islice
from typing import Literal

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from agentvm import agent, llm
from agentvm.cli import app
from agentvm.simulating import Program, program_kind, program_named, record, recording
from agentvm.simulating.clock import EPOCH, run_virtually
from agentvm.simulating.programs import PROGRAMS, look_up
from agentvm.simulating.prompts import Prompts
from agentvm_compiler.errors import ConfigError, InputError
from agentvm_serving.workload import LARGE, hints_of, read
from agentvm_serving.workload.answers import made_up, mark, tokens_of
from agentvm_serving.workload.prefixes import block_keys


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Recording few runs is enough here."""
    monkeypatch.setattr(recording, "FEW", 3)
    monkeypatch.setattr(recording, "BATCH", 3)
    monkeypatch.setattr(recording, "WARM", 2)


@agent
async def pair(name: str) -> str:
    """Two chains of different lengths side by side, then one call for both."""

    async def long() -> str:
        first = await llm(f"{name} one <100>")
        return await llm(f"{name} two {await look_up(first, 3.0)} <200>")

    async def short() -> str:
        return await llm(f"{name} other <300>")

    one, other = await asyncio.gather(long(), short())
    return await llm(f"{name} both {one} {other}")


PAIR = Program(pair, lambda draws, number: {"name": f"n{number}"}, tick=20.0)


def test_virtual_time_does_not_wait():
    """Sleeps end in the order of their moments; all clocks tell the same time, until it is over."""
    before, seen = time.time, []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((seconds, time.time() - EPOCH, time.monotonic()))

    async def main() -> None:
        await asyncio.gather(*map(sleeper, (5000.0, 10.0, 7200.0)))

    started = time.perf_counter()
    run_virtually(main())
    assert [[round(each, 3) for each in times] for times in seen] == [[n] * 3 for n in (10.0, 5000.0, 7200.0)]
    assert time.perf_counter() - started < 1000 and time.time is before


def test_stages_are_what_calls_wait_for():
    """Calls side by side are one stage; tools are the time between."""
    (run,) = islice(record(PAIR, 1, warm=1), 1)
    prompts = [[call.input_tokens for call in run.stages[stage]] for stage in sorted(run.stages)]
    assert [len(each) for each in prompts] == [2, 1, 1]
    assert prompts[0] == [103, 303]
    assert run.gaps == (3.0, 0.0)


def test_hints_are_those_of_compiler_and_runtime():
    """Structure from the program, lengths and tool times from the profile of earlier runs."""
    (run,) = islice(record(PAIR, 1, warm=30), 1)
    first, other = (call.hints for call in run.stages[0])
    assert first["site"].startswith("pair.") and first["program"] != other["program"]  # each function's
    # The chain is on the critical path: what it waits for is told, the tool's time among it.
    assert sum(stage.get("tool_seconds", 0.0) for stage in first["remaining"]) == pytest.approx(3.0)
    assert all(stage["output_tokens"] > 20 for stage in other["remaining"])
    assert "remaining" not in run.stages[2][0].hints


def test_recording_is_deterministic():
    """By seed."""
    one, again, other = (list(islice(record(PROGRAMS["research"], seed, warm=2), 4)) for seed in (1, 1, 2))
    assert one == again and one != other


def test_a_plan_is_known_when_it_is_made():
    """Before, a planner's hints tell how many steps there are on average; then how many are left."""
    (run,) = islice(record(PROGRAMS["planner"], 1, warm=2), 1)
    told = [
        sum(stage.get("times", 1) for stage in calls[0].hints.get("remaining", ()))
        for calls in run.stages.values()
    ]
    assert told[1:] == list(reversed(range(len(told) - 1)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_shipped_programs_have_their_shapes(name):
    """And are told about by their hints."""
    for run in islice(record(PROGRAMS[name], 1, warm=2), 3):
        widths = [len(run.stages[stage]) for stage in sorted(run.stages)]
        if name == "tree":
            assert widths == [3, 1, 3, 1]
        elif name == "consistency":
            assert widths == [5]
        elif name == "planner":
            assert set(widths) == {1} and 4 <= len(widths) <= 11
        elif name == "coder":
            assert set(widths) == {1} and 1 <= len(widths) <= 32
        else:
            assert len(widths) in (4, 6) and widths[0] == widths[-1] == 1
        assert all(call.hints["program"] for stage in run.stages.values() for call in stage)


def test_a_compiled_program_is_a_kind_of_requests():
    """Its items serve as any other; what it told goes with its calls."""
    kind = program_kind(PROGRAMS["tree"], "tree", seed=1)
    item = kind("tree-7", 2.0, random.Random(1), LARGE)
    assert (item.slo, item.arrival, item.within, item.limit) == ("compound", 2.0, 80.0, 1024)
    hints = hints_of(item, 0, {}, 100.0, "profile", 1)
    assert (hints.siblings, [stage.calls for stage in hints.remaining]) == (3, [1, 3, 1])
    assert hints_of(item, 0, {}, 100.0, "opaque", 1).remaining == ()


def test_a_program_that_asks_nothing_is_no_workload():
    """It says so."""

    @agent
    async def silent() -> int:
        return 1

    with pytest.raises(InputError, match="asked the model nothing"):
        program_kind(Program(silent), "silent", seed=1)("a", 0.0, random.Random(1), LARGE)


def test_prompts_share_what_they_begin_with():
    """A session goes on with its answers; siblings share the question, and equal prompts all but a token."""
    prompts = Prompts()
    first = prompts.parts("Act <100>", 101)
    assert first == (("p0", 101),)
    assert prompts.parts("Act <100> <20>", 121) == (("p0", 121),)
    branch = prompts.parts("Act <100> elsewhere", 102)
    assert branch == (("p0", 101), ("p2", 1))
    assert prompts.parts("Act <100> <20>", 121) == (("p0", 120), ("p3", 1))
    assert prompts.parts("Other <100>", 101)[-1][0] == "p4"


def test_an_agents_turns_find_their_context_in_the_cache():
    """All of the last turn's prompt and answer."""
    kind = program_kind(PROGRAMS["coder"], "coder", seed=1)
    item = next(
        each for n in range(3) if len((each := kind(f"c{n}", 0.0, random.Random(n), LARGE)).stages) > 1
    )
    (one,), (two,) = item.stages[:2]
    had = block_keys(one, 16, one.input_tokens + one.output_tokens)
    assert len(had) > 100 and block_keys(two, 16)[: len(had)] == had


def test_marks_stand_for_tokens():
    """Other words count as English does."""
    assert tokens_of(f"Assess {mark(100)} and {mark(23)}") == 123 + round(1.3 * 2)


def test_answers_fit_their_schema():
    """Of any type that can be asked for."""

    class Colour(Enum):
        RED = "red"

    class Inner(BaseModel):
        tags: list[str]
        size: int | None
        colour: Colour
        kind: Literal["a", "b"]
        place: tuple[int, bool]
        weight: float

    draws = random.Random(1)
    for _ in range(20):
        Inner.model_validate(made_up(Inner.model_json_schema(), draws))


def test_programs_have_names():
    """Shipped ones, or an agent's place."""
    assert program_named("tree") is PROGRAMS["tree"]
    with pytest.raises(ConfigError, match="Choose from research"):
        program_named("x")


def test_programs_are_drawn_into_files(tmp_path):
    """Among other kinds of requests, an agent of one's own as well."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from agentvm import agent, llm\n@agent\nasync def mine() -> str:\n"
        "    return await llm(f\"{await llm('a')} b\")\n"
    )
    mix = f"chat=1,program:tree=1,program:{file}:mine=1"
    arguments = ["bench", "workload", str(tmp_path / "w.jsonl.gz"), "--items", "9", "--mix", mix]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    items = read(tmp_path / "w.jsonl.gz")
    assert {len(each.stages) for each in items} == {1, 2, 4}
    assert {each.slo for each in items} == {"latency", "compound"}
