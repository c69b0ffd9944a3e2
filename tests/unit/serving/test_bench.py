"""The comparison of policies, on an engine that is made up."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from agentvm.cli import app
from agentvm.cli.bench import table, verdicts
from agentvm.cli.plan import capacity_table
from agentvm_compiler.errors import ConfigError, InputError
from agentvm_serving.bench import jobs
from agentvm_serving.bench.charts import nice
from agentvm_serving.bench.claims import claims, variants
from agentvm_serving.bench.comparing import (
    Comparison,
    capacities,
    engines_needed,
    labelled,
    saturated,
    sensitive,
)
from agentvm_serving.bench.engines import Served, engine_named
from agentvm_serving.bench.jobs import Workers
from agentvm_serving.bench.live import lines_of
from agentvm_serving.bench.planning import Capacity, fewest, highest, with_replicas
from agentvm_serving.bench.plot import picture
from agentvm_serving.bench.results import read_json, write_csv, write_json
from agentvm_serving.bench.serving import Interval, Row, interval, summarised
from agentvm_serving.bench.sources import Source
from agentvm_serving.goodput import ServedCall, ServedRequest
from agentvm_serving.workload import LARGE, SMALL, Call, Item, read, write

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


@pytest.fixture
def source(tmp_path):
    """The items, as a file."""
    write(ITEMS, tmp_path / "w.jsonl")
    return Source(100, workload=str(tmp_path / "w.jsonl"))


@pytest.fixture
def made(monkeypatch):
    """Engines by spec, made up; those that were opened."""
    opened: dict[str, Made] = {}
    monkeypatch.setattr(jobs, "engine_named", lambda spec, *rest: opened.setdefault(spec, Made()))
    return opened


def compared(comparison: Comparison, rows: Sequence[Row] = (), **how: bool) -> list[Row]:
    with Workers(1) as workers:
        return list(workers.rows(saturated(workers, comparison, rows).jobs(rows, **how)))


def test_saturation_is_the_rate_of_an_engine_that_never_idles(source, made):
    """All requests there at once; where rows tell it is not measured again."""
    comparison = Comparison(["made:x"], source, ["fast"], [2.0], [1, 2])
    with Workers(1) as workers:
        assert saturated(workers, comparison).saturated == {"made:x": 1.0}
    served = len(made["made:x"].served)
    rows = [replace(row, rate=3.0) for row in compared(replace(comparison, saturated={"made:x": 1.0}))]
    with Workers(1) as workers:
        assert saturated(workers, comparison, rows).saturated == {"made:x": 1.5}
    assert len(made["made:x"].served) == served + 2


def test_objectives_stretch_all_alike():
    """What has no objective of a kind gets none."""
    drawn = Source(40, stretch=1.5).draw(1.0, 1)
    for one, other in zip(drawn, Source(40).draw(1.0, 1), strict=True):
        for name in ("within", "ttft", "tbt"):
            before, after = getattr(other, name), getattr(one, name)
            assert after == (None if before is None else pytest.approx(1.5 * before))


def test_every_policy_serves_the_same_workloads(source, made):
    """At each load, with rates per second of the arrivals' span."""
    comparison = Comparison(["made:x"], source, ["fast", "late"], [0.5, 1.0], [1])
    rows = compared(comparison)
    assert [(row.policy, row.load) for row in rows] == [
        ("fast", 0.5),
        ("late", 0.5),
        ("fast", 1.0),
        ("late", 1.0),
    ]
    arrivals = [arrival for policy, arrival in made["made:x"].served if policy != "stock"]
    assert arrivals[0] == arrivals[1] == 2 * arrivals[2] == 2 * arrivals[3]
    span = 4 * arrivals[0]
    assert rows[0].token_goodput == pytest.approx(20 / span) == rows[0].goodput["deadline"]
    assert rows[0].request_goodput == pytest.approx(5 / span)
    assert (rows[0].token_share, rows[0].attainment) == (1.0, {"all": 1.0, "deadline": 1.0})
    assert (rows[1].token_goodput, rows[1].attainment["all"]) == (0.0, 0.0)
    assert (rows[0].scheduling_us, rows[0].rate, rows[0].engine) == (1000.0, 0.5, "made:x")
    assert rows[0].slack == [0.667] * 21 and rows[1].slack[0] < -19


def test_a_benchmark_goes_on_where_it_was_interrupted(source, made, tmp_path):
    """From the rows of its file, whatever order they are in; other engines' and sources' do not count."""
    comparison = Comparison(["made:x"], source, ["fast", "late"], [0.5, 1.0], [1, 2])
    rows = compared(comparison)
    write_json([rows[5], rows[0]], tmp_path / "r.json")
    kept = read_json(tmp_path / "r.json")
    assert [each.token_goodput for each in kept] == [rows[5].token_goodput, rows[0].token_goodput]
    exact = [replace(rows[0], load=0.1 + 0.2, rate=1 / 3, throughput=1 / 3)]
    write_json(exact, tmp_path / "exact.json")
    (found,) = read_json(tmp_path / "exact.json")
    assert (found.load, found.rate, found.throughput) == (0.1 + 0.2, 1 / 3, 0.33333)
    missing = compared(comparison, kept)
    assert len(missing) == 6 and {*map(jobs.key_of, missing), *map(jobs.key_of, kept)} == set(
        map(jobs.key_of, rows)
    )
    assert len(compared(replace(comparison, engines=["made:y"]), kept)) == 8
    assert len(compared(replace(comparison, source=replace(source, stretch=2.0)), kept)) == 8
    assert read_json(tmp_path / "none.json") == []
    (tmp_path / "r.json").write_text("{}{")
    with pytest.raises(InputError, match="Give another --json"):
        read_json(tmp_path / "r.json")


def test_rows_become_a_table(source, made, tmp_path):
    """One column for each class; curves are left out."""
    write_csv(compared(Comparison(["made:x"], source, ["fast"], [0.5], [1])), tmp_path / "r.csv")
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text().splitlines())
    assert (row["policy"], row["attainment_deadline"], row["goodput_deadline"]) == ("fast", "1.0", "2.0")
    assert "slack" not in row


def test_jobs_run_in_processes_of_their_own():
    """And give what they give here."""
    engine = "sim:cpu135m"
    comparison = Comparison([engine], Source(9), ["edf", "fcfs"], [1.0], [1], saturated={engine: 2.0})
    found = []
    for count in (1, 2):
        with Workers(count) as workers:
            found.append(sorted(workers.rows(comparison.jobs()), key=lambda row: row.policy))
            if count == 2:
                rates = workers.saturations([jobs.Saturation(engine, Source(9), (seed,)) for seed in (1, 2)])
    assert [replace(row, scheduling_us=None) for row in found[0]] == [
        replace(row, scheduling_us=None) for row in found[1]
    ]
    assert all(rate > 0 for rate in rates)


def test_hints_are_compared_too(source, made):
    """Where several are asked for, the names in table and picture tell which."""
    rows = compared(Comparison(["made:x"], source, ["fast"], [1.0], [1], ["none", "true"]))
    assert [row.policy for row in labelled(rows)] == ["fast/none", "fast/true"]
    assert [row.policy for row in labelled(rows[:1])] == ["fast"]
    assert "fast/none" in table(rows)


def test_variants_go_to_the_ends_of_the_ranges():
    """The engine itself, one term after the other, and all at once."""
    found = variants("sim:a100?seqs=9")
    assert found[0] == "sim:a100?seqs=9" and found[-1] == "sim:a100?seqs=9&mix=0.6&prefill=1.3&overhead=1"
    assert len(found) == len(set(found)) == 7
    comparison = sensitive(Comparison(["a", "b"], Source(9), ["fast"], [1.0], [1]))
    assert comparison.engines == [*variants("a"), *variants("b")]


def _row(engine: str, policy: str, seed: int, tokens: float) -> Row:
    return Row(policy, 1.0, seed, tokens, 0, 0, 0, 0, {"all": 1.0}, 0, engine=engine)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({"x": (1.2, 1.3, 1.25), "y": (1.1, 1.12, 1.11)}, "holds"),
        ({"x": (0.8, 0.85, 0.82), "y": (0.9, 0.91, 0.9)}, "fails"),
        ({"x": (1.2, 1.3, 1.25), "y": (0.9, 0.91, 0.9)}, "flips"),
        ({"x": (1.2, 1.3, 1.25), "y": (0.8, 1.2, 1.1)}, "open"),
        ({"x": (0.9, 1.1, 1.0), "y": (0.8, 1.2, 1.1)}, "even"),
    ],
)
def test_a_claim_is_what_holds_on_all_variants(gains, verdict):
    """By pairs of runs of one workload."""
    rows = [
        row
        for engine, values in gains.items()
        for seed, gain in enumerate(values)
        for row in (
            _row(engine, "edf", seed, 10.0 * (seed + 1)),
            _row(engine, "jit", seed, 10.0 * (seed + 1) * gain),
        )
    ]
    (claim,) = claims(rows, "jit")
    assert (claim.over, claim.verdict) == ("edf", verdict)
    assert claim.ratios["x"].mean == pytest.approx(sum(gains["x"]) / 3)
    assert verdict in verdicts([claim], "jit")


@pytest.mark.parametrize(("breaks", "start"), [(3.0, 4.0), (3.0, 1.0), (3.0, 20.0), (0.4, 4.0)])
def test_the_highest_rate_is_found_by_bisection(breaks, start):
    """Wherever it begins."""
    rate, attained = highest(lambda rate: 1.0 if rate <= breaks else 0.5, 0.95, start)
    assert rate == pytest.approx(breaks, rel=0.04) and rate <= breaks and attained == 1.0


def test_what_cannot_be_attained_has_no_rate():
    """Nor does it take any number of engines."""
    assert highest(lambda rate: 0.5, 0.95, 1.0) == (0.0, 0.0)
    assert Capacity("e", "p", 0.0, 0.0, 0.0).replicas(5.0) == 0
    assert highest(lambda rate: 1.0, 0.95, 1.0)[0] == 16.0


@pytest.mark.parametrize(("needed", "guess"), [(3, 3), (3, 5), (3, 2), (1, 1)])
def test_the_fewest_engines_are_found_from_a_guess(needed, guess):
    """Up or down."""
    assert fewest(lambda count: 1.0 if count >= needed else 0.5, 0.95, guess) == needed


def test_engines_that_never_suffice_are_given_up():
    """Rather than tried without end."""
    assert fewest(lambda count: 0.5, 0.95, 2) == 0


def test_several_engines_are_one_spec():
    """Whatever options it has."""
    assert with_replicas("sim:a100", 3) == "sim:a100?replicas=3&router=least"
    assert with_replicas("sim:a100?seqs=8", 3, "slo") == "sim:a100?seqs=8&replicas=3&router=slo"


def test_a_demand_is_simulated_on_several_engines_together():
    """Each carries as much as alone, or nearly."""
    comparison = Comparison(["sim:cpu135m"], Source(20), ["edf"], [], [1], saturated={"sim:cpu135m": 2.0})
    alone = Capacity("sim:cpu135m", "edf", 1.5, 1.0, 0.75)
    with Workers(1) as workers:
        assert 1 <= engines_needed(workers, comparison, alone, 3.0, 0.9) <= 3
        assert engines_needed(workers, comparison, replace(alone, rate=0.0), 3.0, 0.9) == 0


def test_a_plan_says_what_each_policy_carries(source, made):
    """And how many engines a demand takes; savings are against the first policy."""
    comparison = Comparison(["made:x"], source, ["fast", "late"], [], [1])
    with Workers(1) as workers:
        found = list(capacities(workers, saturated(workers, comparison), 0.95))
    fast, late = found
    # A request a second with three seconds each: five in a row may be a little faster than that.
    assert fast.rate > 1.0 and fast.load == pytest.approx(fast.rate) and fast.replicas(3 * fast.rate) == 3
    assert late.rate == 0.0
    found.append(Capacity("made:x", "better", 2 * fast.rate, 1.0, 2 * fast.load))
    counts = [each.replicas(4 * fast.rate) for each in found]
    lines = capacity_table(found, 4 * fast.rate, 0.95, counts).splitlines()
    assert lines[2].split()[-2:] == ["4", "0%"]
    assert lines[3].endswith("none can        ") and lines[4].split()[-2:] == ["2", "50%"]


def test_intervals_are_by_students_t():
    """Over seeds; a single value has none."""
    assert interval([4.0]) == Interval(4.0, 0.0)
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.half) == (2.0, pytest.approx(4.30 / 3**0.5))


def test_the_table_has_a_line_for_each_policy_and_load(made):
    """With its mean, its interval and a bar as long as its goodput."""
    rows = compared(Comparison(["made:x"], Source(9), ["fast", "late"], [1.0], [1, 2]))
    assert list(summarised(rows)) == [(1.0, "fast"), (1.0, "late")]
    head, fast, late = table(rows).splitlines()
    assert head.split()[:2] == ["load", "policy"]
    assert fast.count("█") == 24 and "█" not in late


def test_the_picture_has_a_line_for_each_policy(made):
    """In each panel, with a mark and an interval for each load; it is well-formed."""
    comparison = Comparison(["made:x"], Source(9), ["fast", "<late>", "oracle"], [1.0, 2.0], [1, 2])
    rows = compared(comparison, timelines=True)
    root = ElementTree.fromstring(picture(rows))
    name = "{http://www.w3.org/2000/svg}"
    texts = [each.text for each in root.iter(f"{name}text")]
    wanted = {"tokens in time, 1/s", "requests in time, 1/s", "share of deadline requests in time"}
    wanted |= {"tokens in time as a share of the oracle's", "share of requests with less, load 2"}
    assert wanted | {"fast", "<late>", "running", "waiting", "calls, fast, load 2, seed 1"} <= set(texts)
    groups = {group[0].text: group for group in root.iter(f"{name}g")}
    assert len(groups["tokens in time, 1/s"].findall(f"{name}polyline")) == 3
    assert len(groups["tokens in time, 1/s"].findall(f"{name}circle")) == 6
    assert len(groups["tokens in time as a share of the oracle's"].findall(f"{name}polyline")) == 2
    ElementTree.fromstring(picture(rows[:1]))


def test_a_timeline_tells_how_many_ran_and_waited(made):
    """Of the first seed at the highest load."""
    comparison = Comparison(["made:x"], Source(9), ["fast"], [1.0, 2.0], [1, 2])
    (row,) = (row for row in compared(comparison, timelines=True) if row.timeline)
    assert (row.load, row.seed, len(row.timeline)) == (2.0, 1, 121)
    assert row.timeline[0][2] == 1 and row.timeline[-1][2] == 0


def test_workloads_are_drawn_into_files(tmp_path):
    """As a benchmark would draw them."""
    out = tmp_path / "w.jsonl.gz"
    arguments = [
        "bench",
        "workload",
        str(out),
        "--items",
        "30",
        "--mix",
        "tree=1",
        "--rate",
        "2",
        "--seed",
        "7",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "30 requests" in result.output
    assert read(out) == Source(30, mix="tree=1", scale="large").draw(2.0, 7)


def test_a_source_says_what_it_is():
    """So that rows of another are not taken for its own."""
    said = str(Source(9, mix="chat=1", arrivals="trace:/a/b.csv", tiers="2=1", stretch=1.5))
    assert said == "chat=1, 9 items, trace b.csv, tiers 2=1, objectives x1.5"
    assert str(Source(9)) == "mixed, 9 items"
    tiered = Source(50, mix="deadline=1", tiers="0.5=1,2=1", scale="large").draw(1.0, 1)
    assert {each.within for each in tiered} == {0.5 * LARGE.within, 2 * LARGE.within}
    assert Source(1, mix="deadline=1").draw(1.0, 1)[0].within == SMALL.within


@pytest.mark.parametrize(
    ("value", "top"), [(0.9, 1.0), (1.0, 1.0), (11.0, 12.5), (23.0, 25.0), (260.0, 300.0), (0.09, 0.1)]
)
def test_an_axis_ends_at_a_round_number(value, top):
    """At or above the largest value."""
    assert nice(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "edf,best"], "no scheduling policy is called 'best'"),
        (["--loads", "1,much"], "--loads '1,much'"),
        (["--engine", "replay:moon"], "no profile is called 'moon'. Choose one of: cpu135m"),
        (["--forecast", "weather"], "Choose one of: none, patterns, profile, true"),
        (["--plot", "out.png"], "ends in .svg"),
        (["--trace", "a", "--workload", "b"], "give one of them"),
        (["--mix", "cat=1"], "no kind of request is called 'cat'"),
        (["--mix", "chat"], "--mix 'chat'"),
        (["--mix", "chat=1", "--tiers", "x=1"], "--tiers 'x'"),
        (["--mix", "chat=1", "--arrivals", "now"], "Choose poisson"),
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


async def test_what_a_model_says_ends_no_line():
    """Unicode has line separators that JSON texts may contain; chunks may end anywhere."""
    stream = 'data: {"text": "a\u2028b\x85c\u2029"}\n\ndata: [DONE]\n'.encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(stream), 7):
            yield stream[start : start + 7]

    lines = [each async for each in lines_of(chunks())]
    assert b"\n".join(lines) + b"\n" == stream
    assert json.loads(lines[0].removeprefix(b"data: ")) == {"text": "a\u2028b\x85c\u2029"}
