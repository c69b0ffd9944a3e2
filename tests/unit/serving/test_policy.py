"""The order policies put requests in."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agentvm_compiler.errors import ConfigError
from agentvm_compiler.wire import Hints
from agentvm_serving.estimate.lengths import Lengths
from agentvm_serving.order.queue import RankedQueue
from agentvm_serving.policy import POLICIES, EngineView, Policy, RequestView, policy_named
from agentvm_serving.slo import BEST_EFFORT_SECONDS

NOW = 1000.0


def view(ordinal: int, arrival: float = 0.0, deadline: float | None = None, **known: Any) -> RequestView:
    hints = None if deadline is None else Hints(slo="deadline", deadline=deadline)
    return RequestView(**{"ordinal": ordinal, "arrival": arrival, "hints": hints, "prompt_tokens": 1} | known)


def sited(ordinal: int, site: str, deadline: float = NOW + 60, **known: Any) -> RequestView:
    """A request of a program that arrives now."""
    return view(ordinal, NOW, hints=Hints(slo="deadline", deadline=deadline, site=site), **known)


def chat(ordinal: int, arrival: float) -> RequestView:
    return view(ordinal, arrival, hints=Hints(slo="latency", ttft=1.0, tbt=0.2, site="chat"))


def learnt(**lengths: int) -> Lengths:
    """Lengths of sites that always give so many tokens."""
    found = Lengths()
    for site, length in lengths.items():
        for _ in range(20):
            found.finished(site, length)
    return found


def order(policy: str | Policy, *views: RequestView, **engine: Any) -> list[int]:
    """Ordinals in the order in which the policy serves."""
    chosen = POLICIES[policy] if isinstance(policy, str) else policy
    chosen.plan(views, EngineView(**{"now": NOW, "step": 0.1, "per_prefill": 0.001} | engine))
    return [each.ordinal for each in sorted(views, key=lambda each: each.rank)]


def test_edf_serves_the_earliest_deadline_first():
    """Whatever came first."""
    assert order("edf", view(0, deadline=30), view(1, deadline=10), view(2, deadline=20)) == [1, 2, 0]


def test_edf_serves_plain_clients_in_arrival_order():
    """Requests without hints see first come, first served."""
    assert order("edf", view(2, arrival=2), view(0, arrival=0), view(1, arrival=1)) == [0, 1, 2]


def test_edf_does_not_starve_plain_clients():
    """A request without a deadline goes before every deadline later than its virtual one."""
    late = BEST_EFFORT_SECONDS + 1
    assert order("edf", view(1, deadline=late), view(0), view(2, deadline=1)) == [2, 0, 1]


def test_edf_drop_serves_last_what_is_late_already():
    """Those in the order of arrival."""
    views = view(0, deadline=NOW - 1), view(1, deadline=NOW + 0.05), view(2, deadline=NOW + 9)
    assert order("edf_drop", *views) == [2, 0, 1]


def test_fcfs_ignores_deadlines():
    """The stock order, as a policy."""
    assert order("fcfs", view(1, deadline=1), view(0, deadline=9)) == [0, 1]


def test_llf_serves_what_has_least_time_to_spare():
    """A long request before a short one of the same deadline."""
    assert order("llf", sited(0, "short"), sited(1, "long"), lengths=learnt(short=10, long=300)) == [1, 0]


def test_sjf_and_srtf_serve_the_shortest():
    """By what is expected in all, or of what is left."""
    lengths = learnt(short=10, long=300)
    views = sited(0, "long", output_tokens=295, cached_tokens=295), sited(1, "short")
    assert order("sjf", *views, lengths=lengths) == [1, 0]
    assert order("srtf", *views, lengths=lengths) == [0, 1]


def test_plas_serves_programs_that_had_little_service():
    """In levels: small differences do not count, the order of arrival does."""
    of = {run: Hints(run=run) for run in ("much", "little", "none")}
    views = [view(number, number, hints=hints) for number, hints in enumerate(of.values())]
    assert order("plas", *views, attained={"much": 2000, "little": 90}) == [1, 2, 0]


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_ranks_are_total(name):
    """Equal requests keep their arrival order: no rank is shared."""
    assert order(name, view(1), view(0)) == [0, 1]


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_odd_requests_are_ranked(name):
    """Whatever a client sends: no objective, no time, a deadline in the past, or no number at all."""
    odd = [
        view(0),
        view(1, hints=Hints()),
        view(2, hints=Hints(slo="deadline")),
        view(3, deadline=-1.0),
        view(4, deadline=float("nan")),
        view(5, hints=Hints(slo="latency", ttft=float("inf"), tbt=float("nan"))),
        view(6, hints=Hints(slo="latency", tbt=0.0)),
    ]
    assert sorted(order(name, *odd)) == list(range(7))
    assert all(math.isfinite(each.rank[1]) for each in odd)


def test_unknown_policy_lists_the_known_ones():
    """The error names what exists."""
    with pytest.raises(ConfigError, match=r"no scheduling policy is called 'x'\. Choose one of: edf"):
        policy_named("x")


class Item:
    """What the queue sees of a request."""

    def __init__(self, rank: float) -> None:
        self.request_id = f"r{rank}"
        self.rank = (rank, 0)


@pytest.fixture
def queue() -> RankedQueue:
    return RankedQueue(lambda item: item.rank)


def test_queue_keeps_rank_order_through_every_operation(queue):
    """However requests come and go, the smallest rank is next."""
    a, b, c, d = items = [Item(rank) for rank in (1, 2, 3, 4)]
    queue.add_request(c)
    queue.prepend_request(d)
    queue.prepend_requests([b, a])
    assert (list(queue), len(queue), bool(queue), queue.peek_request()) == (items, 4, True, a)
    queue.remove_request(b)
    queue.remove_requests({c, Item(9)})
    assert [queue.pop_request(), queue.pop_request(), bool(queue)] == [a, d, False]


def test_empty_queue_raises_as_vllm_expects(queue):
    """The errors are those of vLLM's own queues."""
    for operation in (queue.pop_request, queue.peek_request):
        with pytest.raises(IndexError):
            operation()
    with pytest.raises(ValueError, match="r1 is not in the queue"):
        queue.remove_request(Item(1))
