"""The evaluation: its page says what its results say, and it goes on where it was interrupted."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agentvm_serving.bench.jobs import key_of
from agentvm_serving.bench.results import read_json, write_json
from agentvm_serving.bench.serving import Row
from benchmarks.evaluation import capacity, page, running, tables, targets
from benchmarks.evaluation.studies import A100, FIVE, STUDIES, Study

SMALL = {"small": Study([A100], ["fcfs", "edf"], [1.0], FIVE[:2], items=12)}


@dataclass
class Here(running.Slice):
    """Runs in this process."""

    def _pool(self) -> Executor:
        return ThreadPoolExecutor(1)


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_tables_are_those_of_the_results(path):
    """Written anew from the rows, a page stays as it is."""
    said = path.read_text(encoding="utf-8")
    assert page.with_tables(said) == said
    assert said.count("<!-- table ") == said.count("<!-- end -->") > 4


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if not study.capacity])
def test_rows_are_of_their_study(name):
    """Each is a run that the study names, and none is there twice."""
    keys = [key_of(row) for row in read_json(page.RESULTS / f"{name}.json")]
    assert len(keys) == len(set(keys))
    assert set(keys) <= STUDIES[name].keys()


def test_a_study_goes_on_where_it_was(tmp_path: Path):
    """What is on disk is not run again, what is missing is; a dropped policy is missing."""
    said: list[str] = []
    made = Here(results=tmp_path, studies=SMALL, say=said.append)
    made.drop(["small"], ["edf"])  # nothing is there yet
    assert not (tmp_path / "small.json").exists()
    replace(made, seeds=(11,)).run(["small"])
    first = read_json(tmp_path / "small.json")
    assert [(row.seed, row.policy) for row in first] == [(11, "fcfs"), (11, "edf")]
    made.run(["small"])
    rows = read_json(tmp_path / "small.json")
    assert rows[:2] == first and {row.seed for row in rows} == {11, 12}
    assert sum("small [" in line for line in said) == 4
    made.drop(["small"], ["edf"])
    assert {row.policy for row in read_json(tmp_path / "small.json")} == {"fcfs"}
    made.run(["small"])
    assert sorted(read_json(tmp_path / "small.json"), key=str) == sorted(rows, key=str)


def test_rows_of_other_studies_are_dropped(tmp_path: Path):
    """A file with rows of another version of the study keeps only what belongs."""
    made = Here(results=tmp_path, studies=SMALL, say=lambda _: None, seeds=(11,))
    made.run(["small"])
    rows = read_json(tmp_path / "small.json")
    write_json([*rows, replace(rows[0], workload="another")], tmp_path / "small.json")
    made.run(["small"])
    assert read_json(tmp_path / "small.json") == rows


def row(policy: str, seed: int, tokens: float, load: float = 1.0, throughput: float = 1.0) -> Row:
    met = {"all": 1.0, "latency": 1.0, "deadline": 1.0, "compound": 1.0}
    return Row(policy, load, seed, tokens, tokens, 1.0, throughput, 0.5, met, 0, goodput={"compound": tokens})


def test_only_whole_loads_are_compared():
    """A seed that one policy has not run says nothing of the others."""
    rows = [row("jit", 1, 2.0), row("edf", 1, 1.0), row("jit", 2, 9.0)]
    assert tables.whole(rows) == rows[:2]


def test_targets_are_reckoned_from_rows(tmp_path: Path):
    """Ratios of runs of one workload, and where they are large enough."""
    rows = [
        row(policy, seed, tokens * seed, load)
        for seed in (11, 12)
        for load, tokens_of in ((1.0, {"jit": 2.0, "sjf": 1.0}), (1.2, {"jit": 1.0, "sjf": 1.0}))
        for policy, tokens in tokens_of.items()
    ]
    write_json(rows, tmp_path / "a100.json")
    said = list(targets.targets(tmp_path))
    assert "| A100: tokens in time 1.3 times `sjf` | 2.00 at 1; 1.00 at 1.2 | at load 1 |" in said
    assert (
        "| A100: at no load below the best of the others beyond noise | 2.00 at 1; 1.00 at 1.2 | yes |"
        in said
    )


@pytest.mark.parametrize("limit", [0, 1, 37, 50, 51, 74, 75, 76, 199])
def test_the_highest_place_is_found(limit):
    """Wherever it is, also if there is none."""
    assert capacity.highest(lambda place: place <= limit) == limit


def test_a_search_tells_what_is_carried_and_saved():
    """The load with enough requests in time, and that with another policy's share of tokens."""
    study = Study([A100], ["jit", "fcfs"], [], (11,), items=20, capacity=True)
    (job,) = Study([A100], ["jit"], [1.0], (11,), items=20).jobs(study.source(), {A100: 2.0})
    found = capacity.searched(capacity.Search(job, ("jit", "fcfs")))
    assert [each.measure for each in found] == ["requests", "fcfs"]
    assert all(each.load >= 0 and each.rate == pytest.approx(2 * each.load) for each in found)
