"""The comparison of policies, on an engine that is made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from agentvm.cli import app
from agentvm.cli.bench import table
from agentvm_compiler.errors import ConfigError
from agentvm_serving.bench.engines import Served, engine_named
from agentvm_serving.bench.plot import _nice, svg
from agentvm_serving.bench.serving import (
    Interval,
    as_json,
    compare,
    drawn,
    from_items,
    interval,
    saturation,
    summarised,
    with_time,
)
from agentvm_serving.goodput import ServedCall, ServedRequest
from agentvm_serving.workload import Call, Item

ITEMS = [Item(f"r{n}", "deadline", 2.0 * n, ((Call(10, 4),),), within=3.0) for n in range(5)]


class Made:
    """Ends a request a second, one after the other; under `late` everything is a minute late."""

    def __init__(self) -> None:
        self.served: list[tuple[str, float]] = []

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        self.served.append((policy, items[1].arrival))
        at = 0.0
        requests = []
        for item in items:
            at = max(at, item.arrival) + 1.0 + 60.0 * (policy == "late")
            calls = [ServedCall(item.arrival, 10, [at] * 4)]
            requests.append(ServedRequest("deadline", calls, item.arrival + 3.0))
        return Served(requests, at - items[0].arrival, scheduling=0.001)

    def close(self) -> None: ...


def test_saturation_is_the_rate_of_an_engine_that_never_idles():
    """All requests there at once."""
    assert saturation(Made(), from_items(ITEMS), [1, 2]) == 1.0


def test_objectives_stretch_all_alike():
    """What has no objective of a kind gets none."""
    items = [Item("a", "deadline", 1.0, (), within=3.0), Item("b", "latency", 2.0, (), ttft=2.0, tbt=0.5)]
    found = with_time(lambda rate, seed: items, 1.5)(1.0, 1)
    assert [(each.arrival, each.within, each.ttft, each.tbt) for each in found] == [
        (1.0, 4.5, None, None),
        (2.0, None, 3.0, 0.75),
    ]


def test_every_policy_serves_the_same_workloads():
    """At each load, with rates per second of the arrivals' span."""
    engine = Made()
    rows = list(compare(engine, from_items(ITEMS), ["fast", "late"], [0.5, 1.0], [1], saturated=1.0))
    assert [(row.policy, row.load) for row in rows] == [
        ("fast", 0.5),
        ("late", 0.5),
        ("fast", 1.0),
        ("late", 1.0),
    ]
    arrivals = [arrival for _, arrival in engine.served]
    assert arrivals[0] == arrivals[1] == 2 * arrivals[2] == 2 * arrivals[3]
    span = 4 * arrivals[0]
    assert rows[0].token_goodput == pytest.approx(20 / span)
    assert rows[0].request_goodput == pytest.approx(5 / span)
    assert (rows[0].token_share, rows[0].attainment) == (1.0, {"all": 1.0, "deadline": 1.0})
    assert (rows[1].token_goodput, rows[1].attainment["all"]) == (0.0, 0.0)
    assert rows[0].scheduling_us == 1000.0
    assert json.loads(json.dumps(as_json(rows)))[0]["policy"] == "fast"


def test_intervals_are_by_students_t():
    """Over seeds; a single value has none."""
    assert interval([4.0]) == Interval(4.0, 0.0)
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.half) == (2.0, pytest.approx(4.30 / 3**0.5))


def test_the_table_has_a_line_for_each_policy_and_load():
    """With its mean, its interval and a bar as long as its goodput."""
    rows = list(compare(Made(), drawn(9), ["fast", "late"], [1.0], [1, 2], saturated=1.0))
    assert list(summarised(rows)) == [(1.0, "fast"), (1.0, "late")]
    head, fast, late = table(rows).splitlines()
    assert head.split()[:2] == ["load", "policy"]
    assert fast.count("█") == 24 and "█" not in late


def test_the_picture_has_a_line_for_each_policy():
    """In both panels, with a mark and an interval for each load; it is well-formed."""
    rows = list(compare(Made(), drawn(9), ["fast", "<late>"], [1.0, 2.0], [1, 2], saturated=1.0))
    root = ElementTree.fromstring(svg(rows))
    kinds = [each.tag.partition("}")[2] for each in root]
    assert (kinds.count("polyline"), kinds.count("circle")) == (4, 8)
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"fast", "<late>", "tokens in time, 1/s", "requests in time, 1/s"} <= set(texts)
    ElementTree.fromstring(svg(rows[:1]))


@pytest.mark.parametrize(
    ("value", "top"), [(0.9, 1.0), (1.0, 1.0), (11.0, 20.0), (23.0, 25.0), (260.0, 500.0), (0.06, 0.1)]
)
def test_an_axis_ends_at_a_round_number(value, top):
    """At or above the largest value."""
    assert _nice(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "edf,best"], "no scheduling policy is called 'best'"),
        (["--loads", "1,much"], "--loads '1,much'"),
        (["--engine", "replay:moon"], "Choose one of: replay:cpu135m"),
        (["--forecast", "weather"], "Choose one of: none, patterns, profile, true"),
        (["--plot", "out.png"], "ends in .svg"),
        (["--trace", "a", "--workload", "b"], "give one of them"),
    ],
)
def test_mistakes_are_told_before_anything_is_served(arguments, message):
    """What was asked for, and what there is."""
    result = CliRunner().invoke(app, ["bench", "serving", *arguments])
    assert message in str(result.exception)


def test_an_engine_has_a_name():
    """A kind and a profile."""
    with pytest.raises(ConfigError, match="no engine is called 'x'"):
        engine_named("x")
