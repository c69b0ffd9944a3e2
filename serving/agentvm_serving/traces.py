"""Traces of real services: when requests came, and how long they were.

Three forms are read, each also compressed (`.gz`), told by their first line:

- CSV with `input_tokens`, `output_tokens` and perhaps `arrival_s` (Azure's LLM inference traces);
- JSON lines with `in`, `out` and perhaps `t_ms` (Mooncake);
- JSON lines with `stages`, a list of lists of `[input, output]` (programs), or with `turns`,
  each `[context, new, output, gap, ...]` (sessions of an agent, one call a turn).

A trace has no objectives: a call becomes a `latency` or a `deadline` request by a coin,
a program a compound one. Its arrivals are kept but for the rate; without any they are
a Poisson process.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from agentvm_compiler.errors import InputError

from .workload import SMALL, Call, Item, Scale

MOST_INPUT: Final = 3000
MOST_OUTPUT: Final = 1000
"""Tokens at which a workload's calls are cut, so that small models can serve them."""
MOST_STAGES: Final = 8
"""Stages at which programs are cut."""


@dataclass(frozen=True, slots=True)
class Traced:
    """One record of a trace."""

    stages: tuple[tuple[Call, ...], ...]
    at: float | None = None
    """Seconds after the trace's start."""
    gap: float = 0.0
    """Seconds between two stages, on average."""


def read_trace(path: Path) -> list[Traced]:
    """Read a trace.

    Raises:
        InputError: the file has none of the known forms; says the line.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read ({error})") from None
    lines = text.splitlines()
    json_lines = bool(lines) and lines[0].startswith("{")
    rows = map(json.loads, lines) if json_lines else csv.DictReader(lines)
    found: list[Traced] = []
    try:
        found.extend(map(_traced, rows))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        where = len(found) + (1 if json_lines else 2)
        raise InputError(f"{path}, line {where}: no record of a trace ({error!r})") from None
    if not found:
        raise InputError(f"{path}: the trace is empty")
    return found


def items_of(trace: Sequence[Traced], count: int, rate: float, seed: int, scale: Scale = SMALL) -> list[Item]:
    """So many requests in a row, from where the seed says; of a shorter trace, all.

    Args:
        rate: items a second, on average.
        scale: whose objectives they get.
    """
    draws = random.Random(seed)
    count = min(count, len(trace))
    start = draws.randrange(len(trace) - count + 1)
    chosen = [_cut(each) for each in trace[start : start + count]]
    arrivals = _arrivals(chosen, rate, draws)
    return [
        _item(f"t{start + n}", each, at, draws, scale)
        for n, (each, at) in enumerate(zip(chosen, arrivals, strict=True))
    ]


def _cut(traced: Traced) -> Traced:
    stages = tuple(
        tuple(
            Call(min(MOST_INPUT, call.input_tokens), min(MOST_OUTPUT, call.output_tokens)) for call in stage
        )
        for stage in traced.stages[:MOST_STAGES]
    )
    return replace(traced, stages=stages)


def _arrivals(trace: Sequence[Traced], rate: float, draws: random.Random) -> list[float]:
    times = [each.at for each in trace if each.at is not None]
    span = times[-1] - times[0] if len(times) == len(trace) else 0.0
    if span > 0:
        stretch = len(trace) / rate / span
        return [(at - times[0]) * stretch for at in times]
    arrivals, at = [], 0.0
    for _ in trace:
        at += draws.expovariate(rate)
        arrivals.append(at)
    return arrivals


def _item(name: str, traced: Traced, at: float, draws: random.Random, scale: Scale) -> Item:
    if len(traced.stages) > 1 or len(traced.stages[0]) > 1:
        site = f"program{len(traced.stages)}"
        within = scale.within * len(traced.stages) + traced.gap * (len(traced.stages) - 1)
        return Item(name, "compound", at, traced.stages, site, within=within, gap=traced.gap)
    item = Item(name, "deadline", at, traced.stages, "report", within=scale.within)
    if draws.random() < 0.5:
        return item
    return replace(item, slo="latency", site="chat", within=None, ttft=scale.ttft, tbt=scale.tbt)


def _traced(row: Mapping[str, Any]) -> Traced:
    if "stages" in row:
        stages = [tuple(_call(*call) for call in stage) for stage in row["stages"]]
        if not stages or not all(stages):
            raise ValueError("a stage without calls")
        return Traced(tuple(stages))
    if "turns" in row:
        # Of a turn's context only what is new has to be worked on: a prefix cache holds the rest.
        turns = row["turns"]
        gaps = [float(turn[3] or 0.0) for turn in turns[1:]] or [0.0]  # unknown ones are null
        return Traced(tuple((_call(turn[1], turn[2]),) for turn in turns), gap=fmean(gaps))
    if "in" in row:
        at = row.get("t_ms")
        return Traced(((_call(row["in"], row["out"]),),), None if at is None else at / 1000)
    at = row.get("arrival_s")
    return Traced(((_call(row["input_tokens"], row["output_tokens"]),),), None if at is None else float(at))


def _call(prompt: Any, answer: Any) -> Call:
    return Call(max(1, int(prompt)), max(1, int(answer)))
