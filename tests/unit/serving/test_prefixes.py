"""Calls that begin alike are served one after the other, so that the prefix cache has their beginning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentvm_compiler.wire import Hints
from agentvm_serving.order.prefixes import GATHERED, MOST, Prefixes
from agentvm_serving.slo import to_extra_args


def test_calls_of_a_group_stand_together():
    """Those that come within a moment of the first, of the same run."""
    prefixes = Prefixes()
    here = Hints(run="r", prefix_group="a")
    assert prefixes.ordinal(here, 0.0, 5) == 5
    assert prefixes.ordinal(Hints(run="r", prefix_group="b"), 0.0, 6) == 6
    assert 5 < prefixes.ordinal(here, GATHERED, 7) < prefixes.ordinal(here, GATHERED, 8) < 6
    assert prefixes.ordinal(Hints(run="s", prefix_group="a"), 0.0, 9) == 9
    assert prefixes.ordinal(here, GATHERED + 0.1, 10) == 10
    assert [prefixes.ordinal(each, 0.0, 11) for each in (None, Hints(run="r"))] == [11, 11]


def test_places_stay_unique_however_many_there_are():
    """A group that is full begins anew."""
    prefixes = Prefixes()
    here = Hints(run="r", prefix_group="a")
    places = [prefixes.ordinal(here, 0.0, number) for number in range(3 * MOST)]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("policy", ["edf", "fcfs", "jit"])
def test_the_prefix_cache_serves_what_stands_together(tmp_path: Path, policy: str) -> None:
    """Two long beginnings in turn, and room for one of them: each is computed once, not for each call."""
    pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)
    told, untold = (cached_tokens(tmp_path, policy, groups) for groups in (("a", "b"), ("", "")))
    assert told == 2 * 5 * 128
    assert untold < told / 4  # the ends of some beginnings are pushed out last


def cached_tokens(folder: Path, policy: str, groups: tuple[str, str]) -> int:
    """Prompt tokens that were found in the cache, of twelve calls of two kinds in turn, one at a time."""
    from agentvm_serving.vllm.scheduler import creator

    from .position_true import EPOCH, Engine

    folder.mkdir(exist_ok=True)
    engine = Engine(folder, creator(policy), slots=1, blocks=11, budget=256, caching=True)
    found: list[int] = []
    plan = engine.scheduler.schedule

    def watched() -> Any:
        output = plan()
        found.extend(new.num_computed_tokens for new in output.scheduled_new_reqs)
        return output

    engine.scheduler.schedule = watched
    for number in range(12):
        group = groups[number % 2]
        hints = Hints(run="r", slo="deadline", deadline=EPOCH + 500, prefix_group=group)
        prompt = [number % 2 + 1] * 128 + [number + 3] * 8
        engine.add(f"n{number}", prompt, 2, to_extra_args(hints))
    while engine.busy:
        engine.step()
    assert len(found) == 12
    return sum(found)
