"""Hints on the wire, and the deadline they mean."""

from __future__ import annotations

import logging

import pytest

from agentvm_compiler.wire import Hints, Stage
from agentvm_serving.slo import BEST_EFFORT_SECONDS, deadline_of, from_extra_args, to_extra_args

FULL = Hints(
    key="r/llm#1",
    program="p",
    run="r",
    path="map#1[2]/llm#1",
    site="a.llm#1",
    slo="latency",
    deadline=1e9,
    run_deadline=2e9,
    ttft=1.5,
    tbt=0.05,
    remaining=(Stage(calls=2, output_tokens=10),),
    siblings=3,
    prefix_group="g",
)


@pytest.mark.parametrize("hints", [Hints(), FULL])
def test_hints_survive_the_wire(hints):
    """What is sent is what is read, and it is flat: one string."""
    sent = to_extra_args(hints)
    assert [type(value) for value in sent.values()] == [str]
    assert from_extra_args(sent) == hints


def test_unknown_fields_are_ignored():
    """An older engine accepts a newer client."""
    assert from_extra_args({"agentvm": '{"version": 9, "key": "k", "new": 1}'}) == Hints(version=9, key="k")


@pytest.mark.parametrize("extra", [None, {}, {"other": 1}])
def test_plain_clients_have_no_hints(extra):
    """Nothing sent is nothing read, without a warning."""
    assert from_extra_args(extra) is None


@pytest.mark.parametrize(
    "raw",
    [
        "not json",
        "[]",
        '{"deadline": "soon"}',
        7,
        '{"siblings": null}',
        '{"remaining": [{"output_tokens": -256}]}',  # a plan would divide by nothing
        '{"remaining": [{"tool_seconds": -1}]}',
    ],
)
def test_malformed_hints_warn_and_are_dropped(raw, caplog):
    """Broken hints never raise; the warning names the request."""
    with caplog.at_level(logging.WARNING):
        assert from_extra_args({"agentvm": raw}, request="req-7") is None
    assert [record.getMessage()[:14] for record in caplog.records] == ["request req-7:"]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("hints", "due"),
    [
        (None, 100 + BEST_EFFORT_SECONDS),
        (Hints(), 100 + BEST_EFFORT_SECONDS),
        (Hints(run_deadline=105), 100 + BEST_EFFORT_SECONDS),
        (Hints(slo="deadline", deadline=110, run_deadline=105), 110),
        (Hints(slo="deadline", run_deadline=105), 105),
        (Hints(slo="latency", ttft=3), 103),
        (Hints(slo="latency"), 102),
        (Hints(slo="latency", ttft=3, deadline=101), 101),
        (Hints(slo="deadline", deadline=NAN), 100 + BEST_EFFORT_SECONDS),
        (Hints(slo="deadline", deadline=INF), 100 + BEST_EFFORT_SECONDS),
    ],
)
def test_deadline_follows_the_class(hints, due):
    """The own deadline first, then the run's for its class, then the virtual one; always finite."""
    assert deadline_of(hints, 100.0) == due


def test_latency_deadline_moves_with_its_tokens():
    """A latency request is due at its next token."""
    assert deadline_of(Hints(slo="latency", ttft=1, tbt=0.5), 100.0, output_tokens=4) == 103.0
