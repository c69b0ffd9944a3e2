"""The simulator against recorded runs, and fitting it to runs of one's own."""

from __future__ import annotations

import csv
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from agentvm_serving.bench import serving
from agentvm_serving.bench.sources import Source
from agentvm_serving.sim.engine import Engine
from agentvm_serving.sim.profiles import Options, profiles
from benchmarks import ranking, validation_cpu
from benchmarks.validation import gpu
from benchmarks.validation_runs import Run, Served, compared, fitted, off, read_run, scaled, served_again

TRACES = Path(os.environ.get("AGENTVM_TRACES") or "traces")
"""A folder with recorded runs of real engines; see `benchmarks/validation.py`."""
ENGINE = replace(profiles()["cpu135m"].engine(Options()), max_num_seqs=8)
TRUE = (1.3, 0.8, 1.6)
"""Factors of an engine that is made up."""


@pytest.mark.skipif(
    not (TRACES / "step_time_models.json").exists(), reason="AGENTVM_TRACES names no folder of recorded runs"
)
def test_recorded_runs_of_gpus_are_predicted():
    """Mean time per token and latency to 10 %."""
    for row in gpu(TRACES):
        assert abs(row["errors"]["tpot"]) <= 0.1, row
        assert abs(row["errors"]["latency"]) <= 0.1, row


def run(seed: int, policy: str = "edf", engine: Engine = ENGINE) -> Run:
    """A run of the engine that is made up."""
    requests = [
        Served(0.4 * n, 30 + (37 * n * seed) % 300, 5 + (23 * n * seed) % 60, 0.0, within=4.0 + n % 5)
        for n in range(30)
    ]
    made = Run(f"{policy}-{seed}", policy, requests)
    return replace(made, requests=served_again(made, scaled(engine, TRUE)))


def test_an_engine_that_was_fitted_to_runs_predicts_others():
    """Also under another policy. (Which factor stands for what, two runs alone do not tell.)"""
    runs = [run(1), run(2)]
    engine = scaled(ENGINE, fitted(runs, ENGINE))
    assert off(runs, engine) < 0.02 * off(runs, ENGINE)
    for other in (run(3), run(5, "fcfs")):
        found = compared(other, engine)
        for name in ("latency", "ttft", "tpot"):
            assert abs(found[name]) < 0.05
        assert found["in time, predicted"] == pytest.approx(found["in time, real"], abs=0.1)


def test_runs_are_read_from_tables_and_from_event_logs(tmp_path):
    """Both give the same requests, in order of arrival."""
    table, log = tmp_path / "a.csv", tmp_path / "a.jsonl"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arrival_s", "input_tokens", "output_tokens", "last_token_s", "within_s"])
        writer.writerows([[2.0, 7, 3, 5.0, 9.0], [0.0, 8, 2, 4.0, 6.0]])
    events = [
        {"event": "finished", "at": 105.0, "arrival": 102.0, "deadline": 111.0, "prompt_tokens": 7},
        {"event": "added", "at": 100.0, "arrival": 100.0},
        {"event": "finished", "at": 104.0, "arrival": 100.0, "deadline": 106.0, "prompt_tokens": 8},
    ]
    lengths = iter([3, 2])
    for each in events:
        if each["event"] == "finished":
            each |= {"slo": "deadline", "output_tokens": next(lengths)}
    log.write_text("\n".join(map(json.dumps, events)))
    one, other = read_run(f"edf={table}"), read_run(f"jit={log}")
    assert list(one.requests) == list(other.requests)
    assert (one.policy, other.policy, one.requests[0].within) == ("edf", "jit", 6.0)


def test_runs_of_one_seed_predict_those_of_another(tmp_path):
    """Fitted to an engine that is made up."""
    engine = scaled(replace(ENGINE, max_num_seqs=validation_cpu.SLOTS), TRUE)
    runs = []
    for seed in validation_cpu.SEEDS[:2]:
        for policy in ("fcfs", "edf"):
            made = validation_cpu.Run(policy, 1.6, seed, 4.0, 10, 0.0, [], [])
            made.calls = validation_cpu.plain(validation_cpu.simulated(made, engine))
            runs.append(made)
    found = validation_cpu.predicted(runs)
    assert all(abs(error) < 0.05 for error in found["errors"].values())
    assert len(found["predicted"]) == 2
    validation_cpu.write(path := tmp_path / "found.json", {"machine": {}, **found, "runs": []})
    assert [each["policy"] for each in json.loads(path.read_text())["predicted"]] == ["fcfs", "edf"]


def test_policies_are_ranked_as_by_an_engine_that_is_slower():
    """Its saturation says how much slower; only gaps that every seed shows count, with their sign."""
    source, slower = Source(60, stretch=1.5), 1.6
    engine = ranking.slowed(slower)
    rate = serving.saturation(engine, Source(60), [1, 2, 3])
    rows = []
    for seed, policy in itertools.product((1, 2, 3), ("edf", "stock")):
        items = source.draw(2 * rate, seed)
        made = serving.row(policy, 2.0, seed, items, engine.serve(items, policy))
        rows.append(replace(made, rate=2 * rate, stretch=1.5))
    found = ranking.compared("made up", rows, 60)
    assert found["slower"] == pytest.approx(slower, rel=0.01)
    assert [each["policy"] for each in found["means"]] == ["edf", "stock"]
    better = {
        (each.policy, 2.0, each.seed): replace(each, token_goodput=each.seed, request_goodput=1.0)
        for each in rows
    }
    worse = {
        key: replace(each, token_goodput=(2 if each.policy == "edf" else 1) * each.seed)
        for key, each in better.items()
    }
    assert list(ranking.gaps(better, better)) == []
    (gap,) = ranking.gaps(worse, better)
    assert gap == {
        "load": 2.0,
        "policies": ["edf", "stock"],
        "measure": "tokens",
        "real": [1.0, 0.0],
        "simulated": 0.0,
    }
