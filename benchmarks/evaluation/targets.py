"""Targets, and what was reached of each: one table from all results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agentvm_serving.bench.claims import claims
from agentvm_serving.bench.results import read_json
from agentvm_serving.bench.serving import Interval, Row, interval

from . import capacity
from .studies import OTHERS, RESULTS, STUDIES, SUBJECT
from .tables import head, hinted, line, mean, only, percent, ratios, saved, savings, text, tokens, whole

GAINS = {"sjf": 1.3, "plas": 4.0}
"""Times the tokens in time of a policy."""
BEST, NEAR, THROUGHPUT, SAVED = 1.4, 0.91, 0.96, 0.28
HINTED = {"none": 1.15, "patterns": 1.08}
"""Times the tokens of programs in time with these hints."""
PROGRAMS = {"hints": "research", "hints-plans": "planner"}
"""The compiled program of a study."""
WITHIN = 0.1
"""Error of the simulator."""
REPLAYED = 0.03
ERRORS = {"tpot": "time per token", "latency": "latency", "ttft": "time to first token"}
SPEEDS = {"fcfs": 50_000, SUBJECT: 10_000}
HOUR = 60.0
"""Seconds."""

Ratios = dict[float, Interval]
"""By load."""


def targets(results: Path = RESULTS) -> Iterator[str]:
    """The table."""
    yield from head("target", "measured", "reached")
    for name in ("a100", "h100"):
        if rows := of_study(results, name):
            yield from _compared(rows, name.upper())
    for other, saving in savings(capacity.read(results / "plan.json")).items():
        what = f"A100: {percent(SAVED)} fewer engines at the goodput of `{other}`"
        yield line(what, saved(saving), _yes(saving.mean >= SAVED))
    for name, program in PROGRAMS.items():
        if rows := of_study(results, name):
            for other, wanted in HINTED.items():
                ratio = hinted(rows, "profile", other)
                what = f"`{program}`: tokens in time with compiled hints {wanted} times those with `{other}`"
                yield line(what, f"{text(ratio, 2)} at 1.2", _yes(ratio.mean >= wanted))
    yield from _validated(results)
    yield from _predicted(results)
    yield from _ranked(results)
    yield from _speeds(results)
    yield ""


def of_study(results: Path, name: str) -> list[Row]:
    """The rows of a study that are of this version, as far as loads and seeds are complete."""
    study = STUDIES[name]
    return whole([row for row in read_json(results / f"{name}.json") if row.policy in study.policies])


def _compared(rows: Sequence[Row], gpu: str) -> Iterator[str]:
    over = {
        other: {claim.load: only(claim) for claim in claims(rows, SUBJECT) if claim.over == other}
        for other in dict.fromkeys(row.policy for row in rows)
        if other != SUBJECT
    }
    if not over:
        return
    for other, wanted in GAINS.items():
        if other in over:
            yield _line(f"{gpu}: tokens in time {wanted:g} times `{other}`", over[other], wanted, every=False)
    best = {}
    for load in sorted({row.load for row in rows}):
        at = [row for row in rows if row.load == load]
        others = [each for each in OTHERS if any(row.policy == each for row in at)]
        best[load] = over[max(others, key=lambda each: mean(at, each, tokens))][load]
    yield _line(f"{gpu}: {BEST} times the best of the others, at one load", best, BEST, every=False)
    never = all(each.high >= 1 for each in best.values())
    yield line(f"{gpu}: at no load below the best of the others beyond noise", _loads(best), _yes(never))
    if "oracle" in over:
        yield _line(f"{gpu}: within 9 % of `oracle`, the policy with true lengths", over["oracle"], NEAR)
    through = {
        load: interval(
            ratios(
                [row for row in rows if row.load == load],
                lambda row: row.throughput,
                lambda row: row.policy,
                SUBJECT,
                "fcfs",
            )
        )
        for load in best
    }
    yield _line(f"{gpu}: throughput {percent(THROUGHPUT)} of `fcfs`", through, THROUGHPUT)


def _line(what: str, found: Ratios, wanted: float, *, every: bool = True) -> str:
    """A target, what was measured by load, and whether it is reached (at every load, or where)."""
    where = [f"{load:g}" for load, each in found.items() if each.mean >= wanted]
    if len(where) == len(found):
        reached = "yes"
    elif where:
        reached = f"{'no: only ' if every else ''}at load{'s' * (len(where) > 1)} {', '.join(where)}"
    else:
        reached = "no"
    return line(what, _loads(found), reached)


def _loads(found: Ratios) -> str:
    return "; ".join(f"{text(each, 2)} at {load:g}" for load, each in found.items())


def _validated(results: Path) -> Iterator[str]:
    gpus = _json(results / "validation_gpu.json")
    for name, said in ERRORS.items():
        if gpus:
            worst = max(abs(row["errors"][name]) for row in gpus)
            what = f"simulator against real vLLM on two GPUs: mean {said} off by at most {percent(WITHIN)}"
            yield line(what, f"at most {percent(worst)}", _yes(worst <= WITHIN))
    if replays := [abs(row["error"]) for row in _json(results / "validation_replay.json")]:
        what = "simulator against vLLM's scheduler in virtual time: goodput within 3 %"
        yield line(what, f"at most {100 * max(replays):.1f} %", _yes(max(replays) <= REPLAYED))


def _predicted(results: Path) -> Iterator[str]:
    path = results / "validation_cpu.json"
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    for name, said in ERRORS.items():
        error = found["errors"][name]
        what = (
            f"simulator against real vLLM on a CPU, runs not fitted to: mean {said} within {percent(WITHIN)}"
        )
        yield line(what, f"{100 * error:+.0f} %", _yes(abs(error) <= WITHIN))


def _ranked(results: Path) -> Iterator[str]:
    gaps = [gap for runs in _json(results / "ranking.json") for gap in runs["gaps"]]
    if gaps:
        agree = sum(gap["real"][0] * gap["simulated"] > 0 for gap in gaps)
        what = "simulator ranks policies as real vLLM on a CPU wherever the real gap is significant"
        yield line(what, f"{agree} of {len(gaps)} gaps", _yes(agree == len(gaps)))


def _speeds(results: Path) -> Iterator[str]:
    rows = _json(results / "simulator.json")
    for policy, wanted in SPEEDS.items():
        for row in rows:
            if (row["workload"], row["policy"]) == ("batch64", policy):
                what = f"{wanted:,} simulated iterations a second of a batch of 64 with `{policy}`"
                yield line(what, f"{row['per_second']:,.0f}", _yes(row["per_second"] >= wanted))
    if hours := [row["seconds"] for row in rows if row["workload"] == "hour"]:
        what = f"an hour of 10,000 requests simulated in less than {HOUR:g} s"
        yield line(what, f"at most {max(hours):.1f} s", _yes(max(hours) < HOUR))


def _json(path: Path) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
