"""Repeating a comparison in pieces on a machine whose speed changes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentvm.cli import app
from agentvm.cli.bench import pairs, table
from agentvm_serving.bench import jobs
from agentvm_serving.bench.comparing import Comparison, known_stretch
from agentvm_serving.bench.drift import drifted, speed
from agentvm_serving.bench.engines import Served
from agentvm_serving.bench.results import read_json, write_json
from agentvm_serving.bench.serving import Row
from agentvm_serving.bench.sources import Source
from agentvm_serving.goodput import ServedCall, ServedRequest

ENGINE = "vllm:made-up"


class Slow:
    """A real engine that is made up: it ends an item a second; the machine gets slower in its fourth run."""

    def __init__(self) -> None:
        self.served: list[str] = []

    def serve(self, items: Any, policy: str) -> Served:
        self.served.append(policy)
        requests = [
            ServedRequest(
                "deadline", [ServedCall(each.arrival, 10, [each.arrival + 1.0])], each.arrival + 3.0
            )
            for each in items
        ]
        return Served(requests, float(len(items)), speeds=(10.0, 10.2 if len(self.served) != 4 else 7.0))

    def close(self) -> None: ...


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    monkeypatch.setattr(jobs, "engine_named", lambda spec, *rest: made)
    monkeypatch.setattr("agentvm_serving.bench.engines.engine_named", lambda spec, *rest, **more: made)
    monkeypatch.setattr("agentvm.models.resolve", lambda name: Path())
    return made


def bench(file: Path, *more: str) -> str:
    options = ["--engine", ENGINE, "--policies", "fcfs,jit", "--loads", "1.5", "--seeds", "1,2,3"]
    done = CliRunner().invoke(
        app, ["bench", "serving", *options, "--items", "6", "--slo-scale", "auto", "--json", str(file), *more]
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_a_comparison_is_made_in_pieces(engine, tmp_path, monkeypatch):
    """Saturation is measured once, by one run, and objectives stay as they were stretched then."""
    file = tmp_path / "r.json"
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    assert "4 runs are left: the same command goes on" in bench(file, "--within", "4m")
    assert engine.served == ["stock", "fcfs", "jit"]
    assert {row.stretch for row in read_json(file)} == {2.4}
    done = bench(file)
    assert engine.served == ["stock", "fcfs", "jit", "jit", "fcfs", "fcfs", "jit"]
    assert "jit over another, seed by seed: tokens in time, requests in time" in done
    bench(file)
    assert len(engine.served) == 7  # all are there: the table comes from the file


def test_runs_on_a_machine_of_another_speed_are_named_and_repeated(engine, tmp_path):
    """By what it was mostly."""
    file = tmp_path / "r.json"
    done = bench(file)
    [odd] = drifted(read_json(file))
    assert (odd.policy, odd.seed, odd.speeds) == ("jit", 2, [10.0, 7.0])
    assert [line.split()[1] for line in done.splitlines() if " ~ " in line] == ["jit"]
    assert "repeat them with --again" in done
    assert "~" not in bench(file, "--again")
    assert engine.served[-1] == "jit" and len(engine.served) == 8


def test_policies_take_turns_at_being_first():
    """What a machine does at the beginning of a seed meets none of them always."""
    comparison = Comparison([ENGINE], Source(3), ["a", "b", "c"], [1.0], [1, 2], saturated={ENGINE: 1.0})
    assert [job.policy for job in comparison.jobs()] == ["a", "b", "c", "b", "c", "a"]


def test_the_stretch_of_earlier_rows_is_found(tmp_path):
    """Of the same workload on the same engine, to the last digit."""
    source = Source(6)
    row = Row("jit", 1.0, 1, 1, 1, 1, 1, 1, {"all": 1.0}, 0, engine=ENGINE, stretch=1 / 3)
    row = replace(row, workload=str(replace(source, stretch=row.stretch)))
    write_json([row], tmp_path / "r.json")
    rows = read_json(tmp_path / "r.json")
    assert known_stretch(rows, ENGINE, source) == 1 / 3
    assert known_stretch(rows, "vllm:other", source) is None
    assert known_stretch(rows, ENGINE, Source(7)) is None


def test_policies_are_compared_on_the_same_workloads():
    """The interval of their ratio is smaller than those of the two: what moves both moves it not at all."""
    rows = [
        Row(policy, 1.0, seed, gain * seed, 0, gain * seed, 0, 0, {"all": 1.0}, 0, engine=ENGINE)
        for policy, gain in (("edf", 1.0), ("jit", 1.5))
        for seed in (1, 2, 3)
    ]
    assert pairs(rows, "jit").splitlines()[-1].split() == [
        "1",
        "edf",
        "1.50",
        "±",
        "0.00",
        "1.50",
        "±",
        "0.00",
    ]
    assert pairs(rows, "none") == ""
    assert "~" not in table(rows)


def test_a_machine_has_a_speed():
    """Multiplications a second."""
    pytest.importorskip("numpy")
    assert speed() > 0
