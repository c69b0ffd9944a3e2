"""How long answers will be, and how long steps take."""

from __future__ import annotations

import math
import random

import pytest

from agentvm_serving.estimate.lengths import ENOUGH, SITES, WINDOW, Length, Lengths, Sample
from agentvm_serving.estimate.steps import CPU_135M, Batch, StepModel, StepTimes


def learnt(*lengths: int, site: str = "a.llm#1") -> Lengths:
    found = Lengths()
    for length in lengths:
        found.finished(site, length)
    return found


def test_a_site_speaks_for_itself():
    """Median and upper quantile of the answers its calls got."""
    found = learnt(*range(1, 101))
    assert found.of("a.llm#1") == Length(50, 90)


def test_tokens_so_far_refine_the_estimate():
    """Of a hundred answers those that were longer; at the end, at least one token more."""
    found = learnt(*range(1, 101))
    assert found.of("a.llm#1", 80) == Length(90, 98)
    assert found.of("a.llm#1", 50, limit=60) == Length(60, 60)


def test_others_speak_for_a_new_site_and_the_prior_for_a_new_engine():
    """An estimate there always is, and it is longer than what is there."""
    assert learnt(*[40] * ENOUGH).of("new") == Length(40, 40)
    prior = Lengths(prior=100)
    assert prior.of("new") == Length(100, 332)
    assert prior.of("new", 500) == Length(1000, 500 + 1661)
    assert prior.of("new", limit=8) == Length(8, 8)


def test_chance_is_the_share_that_fits():
    """None for what it has already; certain within the client's limit."""
    found = learnt(*range(1, 101))
    assert [found.chance("a.llm#1", 0, within) for within in (-5, 0, 25, 100, 500)] == [0, 0, 0.25, 1, 1]
    assert found.chance("a.llm#1", 50, 75) == 0.5
    assert found.chance("a.llm#1", 0, 10, limit=10) == 1
    assert Lengths(prior=100).chance("", 0, 100) == 0.5


def test_old_lengths_are_forgotten():
    """What a site does now counts."""
    found = learnt(*[500] * WINDOW, *[10] * WINDOW)
    assert found.of("a.llm#1") == Length(10, 10)
    for number in range(SITES + 5):
        found.finished(f"s{number}", 3)
    assert len(found._sites) == SITES


def test_a_sample_is_the_sorted_window():
    """Whatever comes in whatever order."""
    draws = random.Random(1)
    sample, seen = Sample(), []
    for _ in range(3 * WINDOW):
        seen.append(draws.randrange(50))
        sample.add(seen[-1])
        window = sorted(seen[-WINDOW:])
        tokens = draws.randrange(-1, 50)
        assert sample.beyond(tokens) == sum(each > tokens for each in window)
        if sample.beyond(-1):
            assert sample.quantile(0.5, len(window)) == window[-(-len(window) // 2) - 1]


@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_step_times_are_learnt(slower):
    """From the steps an engine makes, whatever the prior said."""
    draws = random.Random(2)
    steps = StepTimes()
    for _ in range(600):
        prefill = draws.choice((0, 0, 0, draws.randrange(400)))
        decodes = draws.randrange(1, 33)
        batch = Batch(prefill, 0.0, decodes, decodes * draws.randrange(50, 400))
        steps.measured(batch, slower * CPU_135M.seconds(batch) * draws.uniform(0.95, 1.05))
    for batch in (Batch(decodes=16, context=3000), Batch(200, 0.0, 16, 3000)):
        assert steps.seconds(batch) == pytest.approx(slower * CPU_135M.seconds(batch), rel=0.12)
    assert steps.per_prefill == pytest.approx(slower * 0.446e-3, rel=0.15)


@pytest.mark.parametrize("per_decode", [0.0, 7.0])
def test_what_a_request_adds_to_a_step_is_told_from_what_its_context_adds(per_decode):
    """Although more requests bring more context; a term that is not there does not spoil the others."""
    draws = random.Random(5)
    model = StepModel(33.0, 0.5, 0.0, per_decode, 0.001)
    steps = StepTimes()
    for _ in range(600):
        decodes = draws.randrange(1, 33)
        batch = Batch(0, 0.0, decodes, decodes * draws.randrange(90, 110))
        steps.measured(batch, model.seconds(batch) * draws.uniform(0.95, 1.05))
    for decodes in (1, 8, 32):
        batch = Batch(0, 0.0, decodes, 100 * decodes)
        assert steps.seconds(batch) == pytest.approx(model.seconds(batch), rel=0.05)


def test_a_crowd_is_as_many_as_still_make_the_engine_quicker():
    """Up to where the constant is a fifth of the step; without an end where requests cost nothing."""
    assert StepTimes(per_decode=0.0, per_context=0.0).crowd == math.inf
    draws = random.Random(5)
    for per_decode, per_context, crowd in ((6.0, 0.0, 22.0), (2.0, 0.04, 22.0)):
        steps, model = (
            StepTimes(per_decode=0.0, per_context=0.0),
            StepModel(33.0, 0.5, 0.0, per_decode, per_context),
        )
        for _ in range(600):
            decodes = draws.randrange(1, 33)
            batch = Batch(draws.randrange(99), 0.0, decodes, decodes * draws.randrange(90, 111))
            steps.measured(batch, model.seconds(batch))
        assert steps.crowd == pytest.approx(crowd, rel=0.03)


def test_unmeasured_step_times_are_the_prior():
    """And never zero."""
    assert StepTimes(base=20.0).seconds(Batch()) == pytest.approx(0.02)
    assert StepTimes(base=0.0).seconds(Batch()) == 1e-4
    steps = StepTimes()
    for _ in range(5000):
        steps.measured(Batch(decodes=1), 0.01)
    assert steps.seconds(Batch(decodes=1)) == pytest.approx(0.01, rel=0.01)
    assert steps.per_prefill >= 0
