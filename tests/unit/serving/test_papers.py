"""Policies that follow a paper."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.estimate.lengths import Lengths
from agentvm_serving.policy import POLICIES, EngineView, Policy, RequestView
from agentvm_serving.policy.demand import demand
from agentvm_serving.policy.gmax import Gmax
from agentvm_serving.policy.past_future import PastFuture, future_peak
from agentvm_serving.policy.slos_serve import ADMITTED
from agentvm_serving.policy.views import WAITS

NOW = 1000.0


def learnt(**lengths: int) -> Lengths:
    """Lengths of sites that always give so many tokens."""
    found = Lengths()
    for site, length in lengths.items():
        for _ in range(20):
            found.finished(site, length)
    return found


LENGTHS = learnt(short=10, long=100, report=50)


def view(ordinal: int, site: str, due: float = 60.0, **known: Any) -> RequestView:
    """A request of a program, due so many seconds from now."""
    hints = Hints(slo="deadline", deadline=NOW + due, site=site)
    return RequestView(**{"ordinal": ordinal, "arrival": NOW, "hints": hints, "prompt_tokens": 1} | known)


def chat(ordinal: int, arrival: float = NOW, site: str = "short") -> RequestView:
    hints = Hints(slo="latency", ttft=1.0, tbt=0.2, site=site)
    return RequestView(ordinal=ordinal, arrival=arrival, hints=hints, prompt_tokens=1)


def engine(**known: Any) -> EngineView:
    return EngineView(**{"now": NOW, "step": 0.1, "per_prefill": 0.001, "lengths": LENGTHS} | known)


def order(policy: str | Policy, views: Sequence[RequestView], **known: Any) -> list[int]:
    """Ordinals in the order in which the policy serves."""
    chosen = POLICIES[policy] if isinstance(policy, str) else policy
    chosen.plan(views, engine(**known))
    return [each.ordinal for each in sorted(views, key=lambda each: each.rank)]


class TestDemand:
    """What a request asks."""

    def test_the_rest_takes_its_upper_bound(self):
        """Prompt and tokens; the minimum bandwidth is the share of a slot."""
        asks = demand(view(0, "report", 10.0, prompt_tokens=1000), engine())
        assert asks is not None
        assert (asks.seconds, asks.due, asks.tokens) == (pytest.approx(6.0), NOW + 10, 50)
        assert asks.bandwidth(NOW) == pytest.approx(0.6)
        assert asks.bandwidth(NOW + 10) == float("inf")

    def test_a_stage_has_its_share_of_the_programs_time(self):
        """5 s now and 15 s later share 40 s; the tokens of all stages are at stake."""
        later = (Stage(calls=4, output_tokens=100, tool_seconds=5.0),)
        hints = Hints(slo="deadline", deadline=NOW + 40, site="report", remaining=later, siblings=2, run="r")
        asks = demand(view(0, "report", hints=hints), engine(attained={"r": 30}))
        assert asks is not None
        assert asks.due == pytest.approx(NOW + 10)
        assert asks.tokens == 50 + 200 + 15

    def test_a_chat_is_due_token_by_token(self):
        """And only what is still to come counts."""
        asks = demand(chat(0), engine())
        assert asks is not None
        assert (asks.due, asks.needed, asks.tokens) == (NOW + 1, pytest.approx(0.1), 10)

    def test_who_was_promised_nothing_asks_nothing(self):
        """Plain clients, and best effort."""
        assert demand(RequestView(0, NOW), engine()) is None
        assert demand(RequestView(0, NOW, Hints()), engine()) is None


class TestTempo:
    """`tempo`: service gain for the time it takes."""

    def test_a_gain_that_takes_less_time_goes_first(self):
        """The same answer after a shorter prompt."""
        views = [view(0, "report", prompt_tokens=2000), view(1, "report")]
        assert order("tempo", views) == [1, 0]

    def test_what_is_late_has_lost_some_of_its_gain(self):
        """The later the more; it is not forgotten."""
        views = [view(0, "report", 1.0), view(1, "report", 2.5), view(2, "report"), RequestView(3, NOW)]
        assert order("tempo", views) == [2, 1, 0, 3]


class TestGmax:
    """`gmax`: JITServe's own order."""

    def test_of_like_priorities_a_window_of_like_prompts_runs(self):
        """The pair with the largest sum, not the two largest."""
        prompts = (10, 200, 14, 210)
        views = [view(n, "long", prompt_tokens=tokens) for n, tokens in enumerate(prompts)]
        assert order(Gmax(cut=0.5), views, slots=2)[:2] == [0, 2]

    def test_what_falls_under_the_cut_is_no_candidate(self):
        """However well its prompt fits."""
        views = [view(0, "long", prompt_tokens=10), view(1, "long", prompt_tokens=5000)]
        views += [view(2, "long", prompt_tokens=5001), view(3, "long", prompt_tokens=11)]
        assert order("gmax", views, slots=2) == [0, 3, 1, 2]

    def test_a_bandwidth_above_one_cannot_be_had(self):
        """10 s of work in 9."""
        assert order("gmax", [view(0, "long", 9.0), view(1, "long", 11.0)], slots=1) == [1, 0]

    def test_who_comes_within_a_frame_waits_for_the_next(self):
        """Planned alone, a request does not push itself into the window."""
        views = [view(n, "short") for n in range(3)]
        new = view(3, "short")
        policy = Gmax()
        policy.plan(views, engine(slots=3))
        policy.plan([new], engine(slots=3))
        assert max(each.rank for each in views) < new.rank


class TestSlosServe:
    """`slos_serve`: the largest set whose prompts and rates fit."""

    def test_all_are_admitted_while_there_is_room(self):
        """In the order in which their prompts must be done."""
        assert order("slos_serve", [view(0, "short", 30), view(1, "short", 20)], slots=2) == [1, 0]

    def test_rates_reserve_the_engine(self):
        """Of three that must produce at the engine's own pace two have a slot."""
        views = [view(n, "long", 12.0 + n) for n in range(3)]
        order("slos_serve", views, slots=2)
        assert sum(each.rank[0] == ADMITTED for each in views) == 2

    def test_slow_readers_share_a_slot(self):
        """A pace of 200 ms takes half of what the engine can give."""
        views = [chat(n) for n in range(5)]
        order("slos_serve", views, slots=2)
        assert sum(each.rank[0] == ADMITTED for each in views) == 4

    def test_one_long_prompt_is_declined_for_two_short_ones(self):
        """Though it is the most urgent: the most requests, not the first."""
        views = [view(0, "long", 11.9, prompt_tokens=1900)]
        views += [view(n, "long", 12.0, prompt_tokens=900) for n in (1, 2)]
        assert order("slos_serve", views, slots=8) == [1, 2, 0]

    def test_running_requests_keep_their_rate_to_their_end(self):
        """Who must start before there is room is declined."""
        running = view(0, "long", 60.0, running=True, output_tokens=50, cached_tokens=51)
        views = [running, view(1, "short", 3.0), view(2, "short", 30.0)]
        assert order("slos_serve", views, slots=1) == [0, 2, 1]
        assert [each.rank[0] == ADMITTED for each in views] == [True, False, True]

    def test_nothing_is_admitted_that_does_not_fit_together(self):
        """Whatever is asked: prompts in order of urgency are all done in time."""
        draws = random.Random(4)
        for _ in range(50):
            views = [
                view(n, "short", draws.uniform(1, 20), prompt_tokens=draws.randrange(1, 3000))
                for n in range(20)
            ]
            order("slos_serve", views, slots=8)
            admitted = sorted(
                (each for each in views if each.rank[0] == ADMITTED), key=lambda each: each.deadline
            )
            assert 0 < len(admitted) <= 8
            spent = 0.0
            for each in admitted:
                spent += each.prompt_tokens / 1000
                assert NOW + spent <= each.deadline - 1.0 + 1e-6  # its ten tokens


class TestPastFuture:
    """`past_future`: what the KV cache will hold."""

    def test_the_peak_is_found_at_an_end(self):
        """As if each step were played."""
        draws = random.Random(3)
        for _ in range(200):
            loads = [(draws.randrange(1, 40), draws.randrange(1, 60)) for _ in range(draws.randrange(1, 9))]
            played = max(sum(held + at for to_come, held in loads if to_come >= at) for at in range(1, 41))
            assert future_peak(sorted(loads, reverse=True)) == played

    def test_requests_start_while_the_peak_fits(self):
        """First come, first served; who does not fit waits, and so do those behind it."""
        views = [view(n, "long", prompt_tokens=50) for n in range(3)]
        views.append(view(3, "short", prompt_tokens=1))
        PastFuture(reserve=0.0).plan(views, engine(kv_tokens=310))
        assert [each.rank[0] == WAITS for each in views] == [False, False, True, True]

    def test_the_first_may_always_start(self):
        """One that is larger than the cache is the engine's affair, not a reason to stand still."""
        views = [view(0, "long", prompt_tokens=5000), view(1, "short")]
        PastFuture().plan(views, engine(kv_tokens=300))
        assert [each.rank[0] == WAITS for each in views] == [False, True]

    def test_who_comes_between_plans_waits_for_the_next(self):
        """Alone it does not see what runs."""
        new = view(0, "short")
        PastFuture().plan([new], engine(kv_tokens=300))
        assert new.rank[0] == WAITS

    def test_without_a_known_cache_all_may_start(self):
        """In the order of arrival."""
        assert order("past_future", [view(1, "long"), view(0, "long")]) == [0, 1]


class TestOracle:
    """`oracle`: `jit` with true lengths."""

    def test_it_knows_what_estimates_do_not(self):
        """Of two that look alike the one that will be too long goes last."""
        views = [view(0, "report", 6.0, true_length=90), view(1, "report", 6.5, true_length=20)]
        assert order("jit", views, slots=8) == [0, 1]
        assert order("oracle", views, slots=8) == [1, 0]

    def test_where_nobody_tells_it_is_jit(self):
        """The same ranks."""
        views = [view(n, "report", 5.5 + n / 10) for n in range(6)]
        assert order("oracle", views) == order("jit", views)
