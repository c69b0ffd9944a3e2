"""Workloads: drawn, written and read."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest

from agentvm_compiler.errors import ConfigError, InputError
from agentvm_serving.workload import (
    FORECASTS,
    LARGE,
    SMALL,
    Call,
    Item,
    Lengths,
    Mix,
    faster,
    hints_of,
    mixed,
    profile_of,
    read,
    write,
)
from agentvm_serving.workload.arrivals import arrivals_named, gamma, traced
from agentvm_serving.workload.kinds import KINDS, fitted
from agentvm_serving.workload.lengths import Pair, Quantiles
from agentvm_serving.workload.mixes import weights
from agentvm_serving.workload.prefixes import block_keys, text_of

PAPER = Mix({"chat": 1, "deadline": 1, "research": 1})


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


@pytest.mark.parametrize("name", ["w.jsonl", "w.jsonl.gz"])
def test_a_workload_is_read_as_it_was_written(tmp_path, name):
    """To the last digit, with all that it says; the same workload gives the same file."""
    told = Item("a", "compound", 1.0, ((Call(9, 2, (("p", 4),), {"site": "x", "remaining": [{}]}),),))
    items = [*mixed(40, 2.0, seed=1), *Mix(dict.fromkeys(KINDS, 1)).draw(30, 1.0, seed=1), told]
    write(items, tmp_path / name)
    assert read(tmp_path / name) == items
    before = (tmp_path / name).read_bytes()
    write(items, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_to_its_scale(kind):
    """Lengths, stages and contexts are cut; objectives are the scale's."""
    for scale in (SMALL, LARGE):
        for item in Mix({kind: 1}, scale=scale).draw(50, 1.0, seed=3):
            calls = [call for stage in item.stages for call in stage]
            most = scale.most_context if kind == "agent" else scale.most_input + 1
            assert 1 <= len(item.stages) <= scale.most_stages
            assert all(0 < call.input_tokens <= most for call in calls)
            assert all(0 < call.output_tokens <= item.limit == scale.most_output for call in calls)
            assert all(sum(n for _, n in call.prefix) <= call.input_tokens for call in calls)
            assert len(item.gaps) in (0, len(item.stages) - 1)
            assert (item.ttft == scale.ttft) if item.slo == "latency" else (item.within >= scale.within)


def test_programs_have_their_shapes():
    """Of research 4 or 6 stages with 1 to 3 searches; of a tree 3, 1, 3, 1; of agents tens of turns."""
    items = Mix(dict.fromkeys(KINDS, 1)).draw(600, 1.0, seed=1)
    widths = {
        kind: {tuple(map(len, each.stages)) for each in items if each.site == kind}
        for kind in ("research", "tree", "consistency")
    }
    assert {len(each) for each in widths["research"]} == {4, 6}
    assert {n for each in widths["research"] for n in each[1:-1:2]} == {1, 2, 3}
    assert {n for each in widths["research"] for n in each[::2]} == {1}
    assert widths["tree"] == {(3, 1, 3, 1)}
    assert widths["consistency"] == {(5,), (8,), (10,)}
    turns = [len(each.stages) for each in items if each.site == "agent"]
    assert statistics.median(turns) > 10 and max(turns) > 30


def test_fits_give_back_what_they_were_made_from():
    """The medians of Azure's conversations, and programs' mean number of calls."""
    items = Mix({"chat": 1, "research": 1}).draw(3000, 1.0, seed=1)
    chats = [each.stages[0][0] for each in items if each.site == "chat"]
    assert statistics.median(call.input_tokens for call in chats) == pytest.approx(1020, rel=0.08)
    assert statistics.median(call.output_tokens for call in chats) == pytest.approx(129, rel=0.15)
    calls = [sum(map(len, each.stages)) for each in items if each.site == "research"]
    assert statistics.mean(calls) == pytest.approx(5.9, rel=0.1)
    assert all("source" in fit for name, fit in fitted().items() if name != "at")


def test_prompt_and_answer_are_correlated():
    """As much as the fit says."""
    line = Quantiles((0, 1), (1, 10_000))
    draws = random.Random(1)
    pairs = [Pair(line, line, 0.8).draw(draws) for _ in range(2000)]
    assert statistics.correlation(*zip(*pairs, strict=True)) == pytest.approx(0.8, abs=0.04)


def test_a_mix_draws_the_same_items_at_any_rate():
    """Only their arrivals differ; tiers stretch their objectives."""
    one, fast = PAPER.draw(60, 1.0, seed=1), PAPER.draw(60, 4.0, seed=1)
    assert [each.stages for each in one] == [each.stages for each in fast]
    assert [each.arrival / 4 for each in one] == pytest.approx([each.arrival for each in fast])
    tiered = Mix({"deadline": 1}, tiers={0.5: 1, 2.0: 3}).draw(400, 1.0, seed=1)
    found = [each.within / LARGE.within for each in tiered]
    assert set(found) == {0.5, 2.0} and statistics.mean(found) == pytest.approx(1.625, abs=0.1)


def test_bursts_have_their_deviation():
    """Of gaps, as a multiple of their mean, at the rate asked for."""
    times = gamma(3.0)(20_000, 5.0, random.Random(1))
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.06)
    assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(3.0, rel=0.06)


def test_traced_arrivals_go_round():
    """A trace that is too short begins again; its gaps keep their shape."""
    times = traced([5.0, 6.0, 9.0])(7, 2.0, random.Random(1))
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert times[-1] == pytest.approx(3.0)
    assert sorted({round(each / min(gaps), 6) for each in gaps}) == [1.0, 3.0]


@pytest.mark.parametrize("spec", ["posson", "gamma", "gamma:x", "gamma:-1", "trace:", "poisson:2"])
def test_arrivals_have_names(spec):
    """What is none says what there is."""
    with pytest.raises(ConfigError, match="Choose poisson"):
        arrivals_named(spec)


def test_mixes_have_weights():
    """By name; what is none is refused."""
    assert weights("chat=1, a@b=c.csv=0.5", "--mix") == {"chat": 1.0, "a@b=c.csv": 0.5}
    for text in ("chat", "chat=x", "=1", "chat=-1", "chat=0"):
        with pytest.raises(ConfigError, match="--mix"):
            weights(text, "--mix")
    with pytest.raises(ConfigError, match="no kind of request is called 'cat'"):
        Mix({"cat": 1}).draw(1, 1.0, 1)


@pytest.mark.parametrize("block", [1, 3, 16])
def test_keys_are_equal_where_tokens_are(block):
    """Of any two calls: their shared blocks by key are those by token."""
    calls = [
        Call(40, 8, (("a", 20),)),
        Call(50, 8, (("a", 25),)),
        Call(50, 8, (("a", 25), ("b", 25))),
        Call(60, 8, (("a", 25), ("b", 35))),
        Call(60, 8, (("a", 20), ("b", 40))),
        Call(30, 8, (("b", 30),)),
        Call(30, 8),
    ]
    keys = [block_keys(call, block, call.input_tokens + 8) for call in calls]
    texts = [text_of(call, f"c{n}", 1000, call.input_tokens + 8) for n, call in enumerate(calls)]
    for n, m in itertools.combinations(range(len(calls)), 2):
        by_key = _common(keys[n], keys[m])
        shared = _common(texts[n], texts[m])
        assert by_key == shared // block, (n, m)
    assert len(texts[0]) == 48 and texts[0] != text_of(calls[0], "c0", 1000, 48, salt="x")


def _common(one, other):
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def test_a_session_finds_its_last_turn():
    """Prompt and answer, where its prompt is all of the session."""
    first, second = Call(32, 16, (("s", 32),)), Call(80, 4, (("s", 80),))
    assert block_keys(second, 16)[:3] == block_keys(first, 16, 48)


def test_forecasts_tell_what_they_say():
    """From nothing to the truth; recorded hints of a program take the place of drawn ones."""
    stages = ((Call(5, 10), Call(5, 20)), (Call(5, 40),))
    item = Item("i", "compound", 2.0, stages, "app", within=9.0, gap=1.5)
    profile = profile_of([item])

    def told(forecast, of=item):
        hints = hints_of(of, 0, profile, 100.0, forecast, 1)
        assert (hints.slo, hints.deadline, hints.run_deadline) == ("deadline", 111.0, 111.0)
        later = [(each.calls, each.output_tokens, each.tool_seconds) for each in hints.remaining]
        return hints.run, hints.program, hints.site, hints.siblings, later

    after = [(1, 40, 1.5)]
    assert {forecast: told(forecast) for forecast in FORECASTS} == {
        "none": ("i", "app", "app.0", 1, []),
        "patterns": ("i", "app", "", 1, []),
        "profile": ("i", "app", "app.0", 2, after),
        "true": ("i", "app", "app.0", 2, after),
        "opaque": ("", "", "", 1, []),
        "profile-site": ("i", "app", "", 2, after),
        "profile-siblings": ("i", "app", "app.0", 1, after),
        "profile-stages": ("i", "app", "app.0", 2, []),
        "profile-lengths": ("i", "app", "app.0", 2, [(1, 0, 1.5)]),
    }
    known = {
        "program": "h",
        "site": "f.llm#1",
        "siblings": 3,
        "remaining": [{"calls": 2, "output_tokens": 7}],
    }
    compiled = Item("i", "compound", 2.0, ((Call(5, 10), Call(5, 20, hints=known)), stages[1]), within=9.0)
    assert told("profile", compiled) == ("i", "h", "f.llm#1", 3, [(2, 7, 0.0)])
    assert told("true", compiled)[2:] == ("f.llm#1", 2, [(1, 40, 0.0)])
