"""`jit`: who is let in, who waits outside, and how long steps may be."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from agentvm_compiler.errors import ConfigError
from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.estimate.lengths import Lengths
from agentvm_serving.policy import ABLATIONS, EngineView, RequestView, policy_named
from agentvm_serving.policy.fitting import LEAST, Margins, best_fit
from agentvm_serving.policy.jit import Jit
from agentvm_serving.policy.later import NOTHING, Later
from agentvm_serving.policy.need import need_of
from agentvm_serving.policy.views import WAITS

NOW = 1000.0
LENGTHS = Lengths()
for site, tokens in {"plan": 100, "answer": 100, "chat": 100, "brief": 20}.items():
    for _ in range(50):
        LENGTHS.finished(site, tokens)

ENGINE: dict[str, Any] = {
    "now": NOW,
    "base": 0.010,
    "decode": 0.020,
    "marginal": 0.0002,
    "per_prefill": 0.0001,
    "budget": 512,
    "slots": 256,
    "lengths": LENGTHS,
}
"""10,000 prompt tokens a second at most; a step is 10 to 71 ms long."""


def program(ordinal: int, within: float, **known: Any) -> RequestView:
    """The first call of a program of three stages, of 100 output and 2,000 prompt tokens each."""
    later = Stage(times=2, calls=1, input_tokens=2000, output_tokens=100)
    hints = Hints(slo="deadline", deadline=NOW + within, site="plan", run=f"r{ordinal}", remaining=(later,))
    return RequestView(**{"ordinal": ordinal, "arrival": NOW, "hints": hints, "prompt_tokens": 2000} | known)


def chat(ordinal: int, within: float = 0.0, **known: Any) -> RequestView:
    hints = Hints(slo="latency", ttft=2.0, tbt=0.1, site="chat")
    return RequestView(**{"ordinal": ordinal, "arrival": NOW, "hints": hints, "prompt_tokens": 300} | known)


def running(view: RequestView, tokens: int = 10) -> RequestView:
    """The same, decoding."""
    view.running, view.output_tokens = True, tokens
    view.cached_tokens = view.prompt_tokens + tokens - 1
    return view


def plan(*views: RequestView, **engine: Any) -> int | None:
    return Jit().plan(views, EngineView(**{**ENGINE, **engine}))


def outside(views: list[RequestView]) -> list[int]:
    return [each.ordinal for each in views if each.rank[0] >= WAITS]


def test_as_many_programs_are_let_in_as_there_is_bandwidth_for():
    """The others wait outside, though the engine has slots for all."""
    begun = [running(program(number, 30.0)) for number in range(3)]
    fresh = [program(number, 20.0) for number in range(3, 60)]
    plan(*begun, *fresh)
    assert 0 < len(outside(fresh)) < len(fresh)
    assert outside(begun) == []


def test_where_all_fit_nobody_waits_outside():
    """Two programs with much time."""
    views = [running(program(0, 60.0)), program(1, 60.0)]
    plan(*views)
    assert outside(views) == []


def test_chats_are_let_in_whatever_is_reserved():
    """They need little, and that soon; they go before programs."""
    views = [running(program(0, 30.0)), *(program(number, 20.0) for number in range(1, 60)), chat(60)]
    plan(*views)
    assert min(views, key=lambda each: each.rank).ordinal == 60


def test_prompts_are_cut_for_programs_that_run_with_little_time():
    """290 tokens in a row within 8 s, two prompts to be read among them; with more time steps may be long."""
    tight, easy = running(program(0, 8.0)), running(program(0, 300.0))
    other = running(program(1, 300.0))
    few, many = plan(tight, other), plan(easy, other)
    assert few is not None and many is not None
    assert LEAST <= few < many
    assert 0.020 + few * 0.0001 <= 8.0 / 290 / 0.7


def test_a_program_that_has_begun_is_kept_rather_than_a_fresh_one():
    """Its next call waits like theirs, and what it has had is at stake as well."""
    begun = program(7, 20.0)
    fresh = [program(number, 20.0) for number in range(60) if number != 7]
    plan(running(chat(99)), *fresh, begun, attained={"r7": 200})
    assert outside([begun]) == []
    assert outside(fresh)


def test_who_cannot_be_in_time_waits_until_there_is_room():
    """And starts where there is: nothing is left undone for ever."""
    lost = program(1, 0.5)
    plan(running(program(0, 30.0)), *(program(number, 20.0) for number in range(2, 60)), lost)
    assert outside([lost]) == [1]
    plan(running(program(0, 60.0)), lost)
    assert outside([lost]) == []


def test_without_objectives_it_is_first_come_first_served():
    """And prompts are as long as the engine takes them."""
    views = [RequestView(ordinal=2, arrival=2.0), RequestView(ordinal=1, arrival=1.0)]
    assert plan(*views) is None
    assert [each.ordinal for each in sorted(views, key=lambda each: each.rank)] == [1, 2]


@pytest.mark.parametrize(("view", "waits"), [(program(0, 30.0), True), (chat(0), False)])
def test_a_new_program_waits_for_the_next_plan(view: RequestView, waits: bool):
    """Alone it does not show whether it fits; a single call does not wait."""
    assert plan(view, requests=2) is None
    assert (view.rank[0] >= WAITS) is waits


def test_a_forecast_is_summed_up_where_hints_come():
    """Two siblings share what follows; of three calls side by side the longest is waited for."""
    wide = Stage(calls=3, input_tokens=100, output_tokens=40, output_tokens_upper=80, tool_seconds=1.5)
    chain = Stage(times=4, input_tokens=10, output_tokens=20)
    view = RequestView(ordinal=0, arrival=0.0, hints=Hints(siblings=2, remaining=(wide, chain)))
    assert view.later == Later(
        prompts=(300 + 40) / 2,
        outputs=(120 + 80) / 2,
        prompts_in_a_row=100 + 40,
        outputs_in_a_row=40 + 80,
        longest_in_a_row=(40 + 40 * 2 / 4) + 80,
        tool_seconds=1.5,
    )
    view.change(None)
    assert view.later == NOTHING


def test_a_plan_looks_at_a_part_of_a_long_queue():
    """Those due next; the others wait, and are looked at when they are due next."""
    views = [running(program(0, 30.0)), *(program(number, 20.0 + number) for number in range(1, 1000))]
    plan(*views)
    assert outside(views)[-1] == 999


@pytest.mark.parametrize("seed", range(30))
def test_a_plan_keeps_its_promises(seed: int):
    """Who is let in has the pace; what is fresh fits into slots and room; all are ranked."""
    draws = random.Random(seed)
    views = [
        draws.choice((program, chat))(number, within=draws.uniform(1, 200))
        for number in range(draws.randint(2, 90))
    ]
    for view in views:
        if draws.random() < 0.3:
            running(view, draws.randint(1, 99))
    engine = EngineView(**{**ENGINE, "slots": draws.choice((4, 32, 256)), "requests": len(views)})
    needs = sorted((need_of(view, engine) for view in views), key=lambda need: not need.firm)
    margins = Margins()
    fit = best_fit([need for need in needs if need.goodput], 0, engine, margins)
    fresh = [need for need in fit.taken if not need.firm]
    assert all(need.pace >= margins.fresh * fit.step for need in fresh)
    assert all(need.pace >= margins.going * fit.step for need in fit.taken)
    if fresh:
        assert fit.decoding <= engine.slots
        assert fit.reserved <= margins.filled * fit.room(engine) + 1e-6
    most = Jit().plan(views, engine)
    assert most is None or most >= LEAST
    assert len({view.rank for view in views}) == len(views)
    assert not any(view.rank[0] >= WAITS for view in views if view.running)


def test_the_more_an_objective_is_worth_the_more_short_requests_are_let_in():
    """A program that is short and cheap for a few tokens, beside long ones of many."""

    def let_in(per_request: float) -> tuple[int, int]:
        short = [program(number, 20.0, hints=brief(number)) for number in range(40)]
        long = [program(number, 20.0) for number in range(40, 80)]
        Jit(per_request=per_request).plan([*short, *long], EngineView(**ENGINE))
        return 40 - len(outside(short)), 40 - len(outside(long))

    tokens, requests = let_in(0.0), let_in(10_000.0)
    assert requests[0] > tokens[0]
    assert requests[1] < tokens[1]
    assert sum(requests) > sum(tokens)


def brief(number: int) -> Hints:
    """Of a call that is alone, and makes few tokens of its long prompt."""
    return Hints(slo="deadline", deadline=NOW + 20.0, site="brief", run=f"b{number}")


@pytest.mark.parametrize("name", ["jit?per_request=300", "jit?per_request=0"])
def test_what_an_objective_is_worth_is_an_option_of_the_name(name: str):
    """So that a command or a variable can say it."""
    assert policy_named(name) == Jit(per_request=float(name.partition("=")[2]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jit?per_request=-1", "0 or more"),
        ("jit?per_request=many", "0 or more"),
        ("jit?per_request=nan", "0 or more"),
        ("jit?fast=1", "the only option is per_request"),
        ("edf?per_request=1", "the only option is per_request"),
        ("jot?per_request=1", "no scheduling policy is called 'jot'"),
    ],
)
def test_options_that_are_none_are_told(name: str, said: str):
    with pytest.raises(ConfigError, match=re.escape(said)):
        policy_named(name)


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_ablations_are_found_by_name_and_rank_all(name: str):
    """They are `jit` but for one part."""
    views = [running(program(0, 30.0)), *(program(number, 20.0, limit=400) for number in range(1, 60))]
    policy_named(name).plan(views, EngineView(**{**ENGINE, "requests": 60}))
    assert len({view.rank for view in views}) == 60
    assert bool(outside(views)) is (name != "jit_no_holding")
