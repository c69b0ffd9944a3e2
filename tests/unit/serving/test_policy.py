"""The order policies put requests in."""

from __future__ import annotations

import pytest

from agentvm_compiler.errors import ConfigError
from agentvm_compiler.wire import Hints
from agentvm_serving.policy import POLICIES, RequestView, policy_named
from agentvm_serving.slo import BEST_EFFORT_SECONDS
from agentvm_serving.vllm.queue import RankedQueue


def view(ordinal: int, arrival: float = 0.0, deadline: float | None = None) -> RequestView:
    hints = None if deadline is None else Hints(slo="deadline", deadline=deadline)
    return RequestView(ordinal=ordinal, arrival=arrival, hints=hints)


def order(policy: str, *views: RequestView) -> list[int]:
    return [each.ordinal for each in sorted(views, key=POLICIES[policy])]


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


def test_fcfs_ignores_deadlines():
    """The stock order, as a policy."""
    assert order("fcfs", view(1, deadline=1), view(0, deadline=9)) == [0, 1]


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_ranks_are_total(name):
    """Equal requests keep their arrival order: no rank is shared."""
    assert POLICIES[name](view(0)) < POLICIES[name](view(1))


def test_unknown_policy_lists_the_known_ones():
    """The error names what exists."""
    with pytest.raises(ConfigError, match=r"no scheduling policy is called 'x'\. Choose one of: edf, fcfs"):
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
