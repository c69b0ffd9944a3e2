"""Workloads: drawn, written and read."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest

from agentvm_compiler.errors import InputError
from agentvm_serving.workload import Lengths, faster, mixed, read, write


def test_a_workload_is_the_same_for_a_seed():
    """And another for another."""
    assert mixed(50, 2.0, seed=1) == mixed(50, 2.0, seed=1)
    assert mixed(50, 2.0, seed=1) != mixed(50, 2.0, seed=2)


def test_arrivals_are_a_poisson_process():
    """Gaps are exponential: their mean is the rate's inverse, and as large as their deviation."""
    items = mixed(4000, 5.0, seed=3)
    gaps = [b.arrival - a.arrival for a, b in itertools.pairwise(items)]
    assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.2, rel=0.08)
    shares = [sum(each.slo == kind for each in items) / 4000 for kind in ("latency", "deadline", "compound")]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)


def test_a_workload_is_read_as_it_was_written(tmp_path):
    """To the last digit."""
    items = mixed(40, 2.0, seed=1)
    write(items, tmp_path / "w.jsonl")
    assert read(tmp_path / "w.jsonl") == items


def test_faster_is_the_same_in_less_time():
    """Only the arrivals change."""
    items = mixed(10, 1.0, seed=1)
    assert [each.arrival for each in faster(items, 2.0)] == [each.arrival / 2 for each in items]


def test_lengths_stay_in_their_range():
    """However wide they are spread."""
    draws = random.Random(1)
    drawn = [Lengths(50, 2.0, most=200, least=5).draw(draws) for _ in range(500)]
    assert (min(drawn), max(drawn)) == (5, 200)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no workload file"),
        ("[]", "no workload file"),
        ('{"agentvm_workload": 99}', "version 99"),
        ('{"agentvm_workload": 1}\n{"id": "a"}', "line 2: not an item"),
        ('{"agentvm_workload": 1}\nnonsense', "line 2: not an item"),
    ],
)
def test_what_is_no_workload_is_refused(tmp_path, text, message):
    """With the line."""
    path = tmp_path / "w.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read(path)
