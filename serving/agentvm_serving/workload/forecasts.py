"""Forecasts: what the hints of a workload's calls tell.

The same workload can be told about in several ways, from opaque calls to the
truth, so that the worth of each part of a hint can be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from agentvm_compiler.wire import Hints, Stage

from .items import Call, Item

Forecast: TypeAlias = str
"""One of `FORECASTS`."""

_ALL: Final = frozenset({"run", "site", "siblings", "stages", "lengths"})
_TOLD: Final[Mapping[Forecast, frozenset[str]]] = MappingProxyType(
    {
        "none": frozenset({"run", "site"}),
        "patterns": frozenset({"run"}),
        "profile": _ALL,
        "true": _ALL | {"truth"},
        "opaque": frozenset(),
        "profile-site": _ALL - {"site"},
        "profile-siblings": _ALL - {"siblings"},
        "profile-stages": _ALL - {"stages", "lengths"},
        "profile-lengths": _ALL - {"lengths"},
    }
)
FORECASTS: Final[tuple[Forecast, ...]] = tuple(_TOLD)
"""What hints tell besides the objective:

- `none`: run, program and place of the call, but nothing of later stages;
- `patterns`: run and program, so that the engine must match patterns;
- `profile`: what a compiled program knows: its structure, and a profile of earlier runs;
- `true`: what will come;
- `opaque`: nothing, as of any client that has an objective;
- `profile-PART`: a compiled program's hints without that part: the place of the call (`site`), how many calls
  are joined with it (`siblings`), the later stages (`stages`), or how long their answers will be (`lengths`).
"""

Profile: TypeAlias = Mapping[str, tuple[int, int, int]]
"""What is known beforehand of the calls at a site: expected and upper output tokens, expected input ones."""


def profile_of(items: Iterable[Item]) -> Profile:
    """What all the items together tell: means, and the 0.9-quantile of answers."""
    seen: dict[str, list[Call]] = {}
    for item in items:
        for number, stage in enumerate(item.stages):
            seen.setdefault(site_of(item, number), []).extend(stage)
    return {site: _known(calls) for site, calls in seen.items()}


def _known(calls: Sequence[Call]) -> tuple[int, int, int]:
    outputs = sorted(call.output_tokens for call in calls)
    upper = outputs[int(0.9 * (len(outputs) - 1))]
    return round(fmean(outputs)), upper, round(fmean(call.input_tokens for call in calls))


def site_of(item: Item, stage: int) -> str:
    """The place in a program that makes the calls of a stage."""
    return f"{item.site}.{stage}"


def hints_of(
    item: Item,
    stage: int,
    profile: Profile,
    began: float,
    forecast: Forecast = "profile",
    number: int = 0,
) -> Hints:
    """The hints of one of a stage's calls.

    Args:
        began: Unix seconds of the workload's start.
        forecast: what they tell.
        number: which call of the stage.
    """
    told = _TOLD[forecast]
    deadline = None if item.within is None else began + item.arrival + item.within
    recorded = item.stages[stage][number].hints
    said: dict[str, Any] = _recorded(recorded) if recorded else _drawn(item, stage, profile)
    if "truth" in told:
        later = range(stage + 1, len(item.stages))
        said |= {
            "remaining": tuple(_true_stage(item, each) for each in later),
            "siblings": len(item.stages[stage]),
        }
    if "stages" not in told:
        said["remaining"] = ()
    elif "lengths" not in told:
        said["remaining"] = tuple(_without_lengths(each) for each in said["remaining"])
    return Hints(
        key=f"{item.id}/{stage}",
        run=item.id if "run" in told else "",
        # Of a compiled program each function has a hash; a client without a compiler names the whole.
        program=(said["program"] if "site" in told else item.site) if "run" in told else "",
        site=said["site"] if "site" in told else "",
        slo="deadline" if item.slo == "compound" else item.slo,
        deadline=deadline,
        run_deadline=deadline,
        ttft=item.ttft,
        tbt=item.tbt,
        remaining=said["remaining"],
        siblings=said["siblings"] if "siblings" in told else 1,
        prefix_group=said["prefix_group"],
    )


def _recorded(hints: Mapping[str, Any]) -> dict[str, Any]:
    """What the compiler and the runtime told."""
    return {
        "program": hints.get("program", ""),
        "site": hints.get("site", ""),
        "siblings": hints.get("siblings", 1),
        "prefix_group": hints.get("prefix_group", ""),
        "remaining": tuple(Stage.model_validate(each) for each in hints.get("remaining", ())),
    }


def _drawn(item: Item, stage: int, profile: Profile) -> dict[str, Any]:
    """What they would tell of a drawn item."""
    later = range(stage + 1, len(item.stages))
    return {
        "program": item.site,
        "site": site_of(item, stage),
        "siblings": len(item.stages[stage]),
        "prefix_group": "",
        "remaining": tuple(_stage(item, number, *profile[site_of(item, number)]) for number in later),
    }


def _true_stage(item: Item, number: int) -> Stage:
    longest = max(call.output_tokens for call in item.stages[number])
    prompt = round(fmean(call.input_tokens for call in item.stages[number]))
    return _stage(item, number, longest, longest, prompt)


def _stage(item: Item, number: int, expected: int, upper: int, prompt: int) -> Stage:
    return Stage(
        calls=len(item.stages[number]),
        input_tokens=prompt,
        output_tokens=expected,
        output_tokens_upper=upper,
        tool_seconds=item.gap_before(number),
    )


def _without_lengths(stage: Stage) -> Stage:
    return stage.model_copy(update={"input_tokens": 0, "output_tokens": 0, "output_tokens_upper": 0})
