"""Workloads: what clients ask of an engine, and when.

An *item* is one request of a client: a call with an objective, or a program
whose stages follow one another. A workload is a list of items in one file; it
is replayed identically on a real engine and in virtual time.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from agentvm_compiler.errors import InputError
from agentvm_compiler.wire import Hints, Stage

from .goodput import SloClass

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Call:
    """One model call."""

    input_tokens: int
    output_tokens: int
    """How many the model produces: forced."""


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a client."""

    id: str
    slo: SloClass
    arrival: float
    """Seconds after the workload's start."""
    stages: tuple[tuple[Call, ...], ...]
    """The calls of a stage are made together, when those of the stage before are done."""
    site: str = ""
    """The application; with the stage's number it names the place that makes a call."""
    within: float | None = None
    """Seconds from arrival to the deadline (`deadline` and `compound`)."""
    ttft: float | None = None
    """Seconds (`latency`)."""
    tbt: float | None = None
    """Seconds (`latency`)."""
    gap: float = 0.0
    """Seconds of tools between two stages."""
    limit: int | None = None
    """Most output tokens that its client allows a call; `None` for as many as the engine does."""

    @property
    def tokens(self) -> int:
        """Output tokens of all its calls."""
        return sum(call.output_tokens for stage in self.stages for call in stage)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token counts: lognormal by median and spread, cut to a range."""

    median: float
    sigma: float
    """Standard deviation of the logarithm."""
    most: int
    least: int = 4

    def draw(self, random: random.Random) -> int:
        drawn = random.lognormvariate(math.log(self.median), self.sigma)
        return max(self.least, min(self.most, round(drawn)))


@dataclass(frozen=True, slots=True)
class Scale:
    """Lengths and objectives of the mixed workload, for an engine of some size."""

    latency: tuple[Lengths, Lengths]
    """Input and output tokens of a chat turn."""
    deadline: tuple[Lengths, Lengths]
    compound: tuple[Lengths, Lengths]
    ttft: float
    tbt: float
    within: float
    """Seconds for a `deadline` request, and for each stage of a `compound` one."""
    saturated: float
    """Items a second that saturate the engine for which the objectives were chosen."""


SMALL: Final = Scale(
    latency=(Lengths(60, 0.6, 400), Lengths(40, 0.7, 200)),
    deadline=(Lengths(80, 0.6, 400), Lengths(70, 0.7, 300)),
    compound=(Lengths(80, 0.6, 400), Lengths(40, 0.6, 150)),
    ttft=2.0,
    tbt=0.15,
    within=12.0,
    saturated=2.4,
)
"""For a model of 135M on a CPU, as `replay:cpu135m` has it."""


def mixed(count: int, rate: float, seed: int, scale: Scale = SMALL) -> list[Item]:
    """Latency, deadline and compound items 1:1:1, in a Poisson process.

    Args:
        count: items in all.
        rate: items a second, on average.
    """
    draws = random.Random(seed)
    items: list[Item] = []
    at = 0.0
    for number in range(count):
        at += draws.expovariate(rate)
        kind: SloClass = draws.choice(("latency", "deadline", "compound"))
        items.append(_item(f"{kind}-{number}", kind, at, draws, scale))
    return items


def _item(name: str, kind: SloClass, at: float, draws: random.Random, scale: Scale) -> Item:
    def call(lengths: tuple[Lengths, Lengths]) -> Call:
        return Call(lengths[0].draw(draws), lengths[1].draw(draws))

    if kind == "latency":
        stages: tuple[tuple[Call, ...], ...] = ((call(scale.latency),),)
        most = scale.latency[1].most
        return Item(name, kind, at, stages, "chat", ttft=scale.ttft, tbt=scale.tbt, limit=most)
    if kind == "deadline":
        stages = ((call(scale.deadline),),)
        return Item(name, kind, at, stages, "report", within=scale.within, limit=scale.deadline[1].most)
    stages = tuple(
        tuple(call(scale.compound) for _ in range(draws.choice((1, 1, 2, 3))))
        for _ in range(draws.choice((2, 3, 4)))
    )
    return Item(
        name,
        kind,
        at,
        stages,
        f"research{len(stages)}",
        within=scale.within * len(stages),
        gap=draws.uniform(0, 1),
        limit=scale.compound[1].most,
    )


Forecast: TypeAlias = Literal["none", "patterns", "profile", "true"]
"""What hints tell of the stages to come: nothing; only the program's name, so that the engine must match
patterns; what a compiled program knows, its structure and a profile; or the truth."""
FORECASTS: Final[tuple[Forecast, ...]] = get_args(Forecast)

Profile: TypeAlias = Mapping[str, tuple[int, int]]
"""What is known beforehand of the answers at a site: expected and upper output tokens."""


def profile_of(items: Iterable[Item]) -> Profile:
    """What all the items together tell: mean, and 0.9-quantile."""
    seen: dict[str, list[int]] = {}
    for item in items:
        for number, stage in enumerate(item.stages):
            seen.setdefault(site_of(item, number), []).extend(call.output_tokens for call in stage)
    return {
        site: (round(sum(found) / len(found)), sorted(found)[int(0.9 * (len(found) - 1))])
        for site, found in seen.items()
    }


def site_of(item: Item, stage: int) -> str:
    """The place in a program that makes the calls of a stage."""
    return f"{item.site}.{stage}"


def hints_of(item: Item, stage: int, profile: Profile, began: float, forecast: Forecast = "profile") -> Hints:
    """The hints of a stage's calls.

    Args:
        began: Unix seconds of the workload's start.
        forecast: what they tell of the stages to come.
    """
    deadline = None if item.within is None else began + item.arrival + item.within
    told = forecast in ("profile", "true")
    later = range(stage + 1, len(item.stages)) if told else ()
    return Hints(
        key=f"{item.id}/{stage}",
        run=item.id,
        program=item.site,
        site="" if forecast == "patterns" else site_of(item, stage),
        slo="deadline" if item.slo == "compound" else item.slo,
        deadline=deadline,
        run_deadline=deadline,
        ttft=item.ttft,
        tbt=item.tbt,
        remaining=tuple(_stage(item, number, profile, forecast) for number in later),
        siblings=len(item.stages[stage]) if told else 1,
    )


def _stage(item: Item, number: int, profile: Profile, forecast: Forecast) -> Stage:
    calls = item.stages[number]
    expected, upper = profile[site_of(item, number)]
    if forecast == "true":
        expected = upper = max(call.output_tokens for call in calls)
    return Stage(calls=len(calls), output_tokens=expected, output_tokens_upper=upper, tool_seconds=item.gap)


def faster(items: Iterable[Item], factor: float) -> list[Item]:
    """The same items arriving so much faster."""
    return [replace(each, arrival=each.arrival / factor) for each in items]


def relaxed(items: Iterable[Item], factor: float) -> list[Item]:
    """The same items with so much more time for their objectives."""

    def longer(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * factor

    return [
        replace(each, within=longer(each.within), ttft=longer(each.ttft), tbt=longer(each.tbt))
        for each in items
    ]


def write(items: Sequence[Item], path: Path) -> None:
    """Write a workload, one item a line after a header."""
    lines = [json.dumps({"agentvm_workload": VERSION, "items": len(items)})]
    lines += [json.dumps(asdict(each), separators=(",", ":")) for each in items]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> list[Item]:
    """Read a workload.

    Raises:
        InputError: it is none, or of a newer version; says the line.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        version = json.loads(lines[0])["agentvm_workload"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: this is no workload file: its first line is not a header") from None
    if version > VERSION:
        raise InputError(f"{path}: a workload of version {version}; this AgentVM reads up to {VERSION}")
    items = []
    for number, line in enumerate(lines[1:], 2):
        try:
            items.append(_read(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}, line {number}: not an item ({error})") from None
    return items


def _read(found: dict[str, Any]) -> Item:
    stages = tuple(tuple(Call(**call) for call in stage) for stage in found.pop("stages"))
    return Item(stages=stages, **found)
