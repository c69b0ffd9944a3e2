"""Which tokens count."""

from __future__ import annotations

import pytest

from agentvm_serving.goodput import Goodput, ServedCall, ServedRequest, goodput, goodput_of


def call(*times: float, arrival: float = 10.0, prompt: int = 100, finished: bool = True) -> ServedCall:
    return ServedCall(arrival, prompt, times, finished)


def chat(*calls: ServedCall) -> ServedRequest:
    return ServedRequest("latency", calls, ttft=1.0, tbt=0.5)


def due(slo: str, *calls: ServedCall, deadline: float = 20.0, complete: bool = True) -> ServedRequest:
    return ServedRequest(slo, calls, deadline=deadline, complete=complete)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "tokens", "weighted", "met"),
    [
        pytest.param(chat(call(11.0, 11.5, 12.0)), 3, 100 + 24, 1, id="chat on time, to the moment"),
        pytest.param(chat(call(11.1, 11.2, 11.3)), 2, 16, 0, id="a late first token, then caught up"),
        pytest.param(chat(call(11.0, 12.0, 12.1)), 1, 108, 0, id="a gap makes the rest late"),
        pytest.param(chat(call(10.5, finished=False)), 1, 108, 0, id="given up in the middle"),
        pytest.param(chat(call()), 0, 0, 0, id="rejected"),
        pytest.param(due("deadline", call(12.0, 20.0)), 2, 116, 1, id="done by the deadline"),
        pytest.param(due("deadline", call(12.0, 20.1)), 0, 0, 0, id="late by its last token"),
        pytest.param(due("deadline", call(12.0, finished=False)), 0, 0, 0, id="in time but cut off"),
        pytest.param(due("compound", call(12.0), call(13.0, 14.0)), 3, 224, 1, id="all calls in time"),
        pytest.param(due("compound", call(12.0), call(13.0, 21.0)), 0, 0, 0, id="the last call late"),
        pytest.param(due("compound", call(12.0), complete=False), 0, 0, 0, id="a program given up"),
        pytest.param(due("compound"), 0, 0, 0, id="nothing was served"),
    ],
)
def test_what_counts(request_, tokens, weighted, met):
    """By class: token by token, all or none, or the whole program."""
    served = sum(len(each.token_times) for each in request_.calls)
    assert goodput_of(request_) == Goodput(tokens, weighted, met, served, 1)


def test_nothing_promised_nothing_counts():
    """Best effort is served, and is in no attainment."""
    assert goodput_of(ServedRequest("best_effort", [call(11.0)])) == Goodput(served_tokens=1)


def test_requests_add_up():
    """Attainment is the share of those with an objective."""
    total = goodput(
        [chat(call(11.0)), due("deadline", call(30.0)), ServedRequest("best_effort", [call(1.0)])]
    )
    assert total == Goodput(tokens=1, weighted=108, requests=1, served_tokens=3, of_requests=2)
    assert (total.attainment, Goodput().attainment) == (0.5, 1.0)


def test_an_objective_must_be_there():
    """A class without its numbers is a mistake of whoever measures."""
    with pytest.raises(ValueError, match="TTFT and a TBT"):
        goodput_of(ServedRequest("latency", [call(11.0)]))
    with pytest.raises(ValueError, match="compound request needs a deadline"):
        goodput_of(ServedRequest("compound", [call(11.0)]))
