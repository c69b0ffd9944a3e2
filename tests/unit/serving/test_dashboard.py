"""The dashboard: it asks for metrics that there are, by their names, and for all of the scheduler's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from agentvm_serving.vllm.metrics import metrics

BOARD = Path(__file__).parents[3] / "examples" / "grafana.json"
NAME = re.compile(r"\b(?:agentvm|vllm):\w+")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def asked() -> set[str]:
    """The metrics that the dashboard's queries name."""
    panels = json.loads(BOARD.read_text())["panels"]
    return {name for panel in panels for target in panel["targets"] for name in NAME.findall(target["expr"])}


def told() -> dict[str, set[str]]:
    """By metric of the scheduler, the names of its series."""
    found = [each for metric in vars(metrics()).values() for each in metric.collect()]
    return {each.name: {each.name + suffix for suffix in SUFFIXES[each.type]} for each in found}


def test_every_query_asks_for_a_metric_there_is():
    """With the suffix that its kind has; vLLM's own are looked for on a real engine."""
    ours = {name for name in asked() if name.startswith("agentvm:")}
    assert ours <= set().union(*told().values())


def test_every_metric_of_the_scheduler_is_shown():
    """None is forgotten that is added later."""
    assert [name for name, series in told().items() if not series & asked()] == []


def test_panels_do_not_lie_on_each_other():
    """Each has its own place and number, and each target a letter."""
    panels = json.loads(BOARD.read_text())["panels"]
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels]
    assert len(set(places)) == len({each["id"] for each in panels}) == len(panels)
    for each in panels:
        letters = [target["refId"] for target in each["targets"]]
        assert len(set(letters)) == len(letters)
