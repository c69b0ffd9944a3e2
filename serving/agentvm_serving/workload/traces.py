"""Traces of real services: when requests came, and how long they were.

Three forms are read, each also compressed (`.gz`), told by their first line:

- CSV with `input_tokens`, `output_tokens` and perhaps `arrival_s` (Azure's LLM inference traces);
- JSON lines with `in`, `out` and perhaps `t_ms` and `hash_runs`, the ids of 512-token blocks (Mooncake);
- JSON lines with `stages`, a list of lists of `[input, output]` (programs), or with `turns`,
  each `[context, new, output, gap, ...]` (sessions of an agent, one call a turn).

A trace has no objectives: a call becomes a `latency` or a `deadline` request by a coin,
a program a compound one. Its arrivals are kept but for the rate; without any they are
a Poisson process.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agentvm_compiler.errors import InputError

from .arrivals import poisson
from .items import Call, Item, Part
from .kinds import Kind
from .scales import SMALL, Scale

MOST_GAP: Final = 60.0
"""Seconds at which what is between two turns is cut."""
BLOCK: Final = 512
"""Tokens of one of Mooncake's blocks."""


@dataclass(frozen=True, slots=True)
class Traced:
    """One record of a trace."""

    stages: tuple[tuple[Call, ...], ...]
    at: float | None = None
    """Seconds after the trace's start."""
    gaps: tuple[float, ...] = ()
    """Seconds before each stage but the first."""
    session: bool = False
    """Whether each stage's prompt continues the one before."""


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
    lines = list(io.StringIO(text))
    json_lines = bool(lines) and lines[0].startswith("{")
    rows = map(json.loads, lines) if json_lines else csv.DictReader(lines)
    found: list[Traced] = []
    try:
        for row in rows:
            found.append(_traced(row, f"s{len(found)}"))
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
        scale: whose objectives they get, and to whose limits they are cut.
    """
    draws = random.Random(seed)
    count = min(count, len(trace))
    start = draws.randrange(len(trace) - count + 1)
    chosen = trace[start : start + count]
    arrivals = _arrivals(chosen, rate, draws)
    return [
        _item(f"t{start + n}", _cut(each, scale), at, draws.random() < 0.5, scale)
        for n, (each, at) in enumerate(zip(chosen, arrivals, strict=True))
    ]


def from_records(kind: str, trace: Sequence[Traced]) -> Kind:
    """Draws requests of a kind from a trace's records: `chat` has a TTFT and TBT, all else deadlines."""

    def drawn(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
        item = _item(name, _cut(draws.choice(trace), scale), at, kind != "chat", scale)
        return replace(item, site=kind)

    return drawn


def _arrivals(trace: Sequence[Traced], rate: float, draws: random.Random) -> list[float]:
    times = [each.at for each in trace if each.at is not None]
    span = times[-1] - times[0] if len(times) == len(trace) else 0.0
    if span > 0:
        stretch = len(trace) / rate / span
        return [(at - times[0]) * stretch for at in times]
    return poisson(len(trace), rate, draws)


def _cut(traced: Traced, scale: Scale) -> Traced:
    stages = traced.stages[: scale.most_stages]
    cut = _session(stages, scale) if traced.session else [tuple(_short(c, scale) for c in s) for s in stages]
    return replace(traced, stages=tuple(cut), gaps=traced.gaps[: max(0, len(cut) - 1)])


def _session(stages: Sequence[tuple[Call, ...]], scale: Scale) -> list[tuple[Call, ...]]:
    """A session as far as the context holds it: a long opening is cut, what is said after is kept."""
    less = max(0, stages[0][0].input_tokens - scale.most_context // 2)
    found: list[tuple[Call, ...]] = []
    for ((call),) in stages:
        context = max(1, call.input_tokens - less)
        if context + call.output_tokens > scale.most_context and found:
            break
        short = _short(replace(call, input_tokens=context), replace(scale, most_input=scale.most_context))
        found.append((short,))
    return found


def _short(call: Call, scale: Scale) -> Call:
    prompt = min(scale.most_input, call.input_tokens)
    return replace(
        call,
        input_tokens=prompt,
        output_tokens=min(scale.most_output, call.output_tokens),
        prefix=_within(call.prefix, prompt),
    )


def _within(parts: Sequence[Part], tokens: int) -> tuple[Part, ...]:
    """The parts of a prompt that is so long."""
    found: list[Part] = []
    for name, length in parts:
        if tokens <= 0:
            break
        found.append((name, min(length, tokens)))
        tokens -= length
    return tuple(found)


def _item(name: str, traced: Traced, at: float, due: bool, scale: Scale) -> Item:
    stages, limit = traced.stages, scale.most_output
    if len(stages) > 1 or len(stages[0]) > 1:
        site = "session" if traced.session else f"program{len(stages)}"
        within = scale.within * len(stages) + sum(traced.gaps)
        if traced.session:  # the trace's name for it, and not this item's: two items may be of one session
            stages = tuple(tuple(replace(c, prefix=((name, c.input_tokens),)) for c in s) for s in stages)
        return Item(name, "compound", at, stages, site, within=within, gaps=traced.gaps, limit=limit)
    if due:
        return Item(name, "deadline", at, stages, "report", within=scale.within, limit=limit)
    return Item(name, "latency", at, stages, "chat", ttft=scale.ttft, tbt=scale.tbt, limit=limit)


def _traced(row: Mapping[str, Any], name: str) -> Traced:
    if "stages" in row:
        stages = [tuple(_call(*call) for call in stage) for stage in row["stages"]]
        if not stages or not all(stages):
            raise ValueError("a stage without calls")
        return Traced(tuple(stages))
    if "turns" in row:
        turns = row["turns"]
        # Unknown ones are null; what is longer than any tool takes is a person's time, and not the program's.
        gaps = tuple(min(MOST_GAP, float(turn[3] or 0.0)) for turn in turns[1:])
        calls = (_call(turn[0], turn[2]) for turn in turns)
        named = tuple((replace(call, prefix=((name, call.input_tokens),)),) for call in calls)
        return Traced(named, gaps=gaps, session=True)
    if "in" in row:
        at = row.get("t_ms")
        call = _call(row["in"], row["out"])
        runs = [(f"b{first}", count * BLOCK) for first, count in row.get("hash_runs", ())]
        # The last block is whole in the trace's ids, though the prompt ends within it.
        call = replace(call, prefix=_within(runs, call.input_tokens // BLOCK * BLOCK))
        return Traced(((call,),), None if at is None else at / 1000)
    at = row.get("arrival_s")
    return Traced(((_call(row["input_tokens"], row["output_tokens"]),),), None if at is None else float(at))


def _call(prompt: Any, answer: Any) -> Call:
    return Call(max(1, int(prompt)), max(1, int(answer)))
