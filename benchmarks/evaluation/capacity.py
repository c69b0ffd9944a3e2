"""Capacity: the load up to which a policy keeps enough in time, of requests or of tokens.

Found by bisection over loads that are multiples of `GRID`, on the same requests, which
only come faster. Two measures:

- 95 % of the requests in time: what one operates for;
- as large a share of the tokens in time as another policy has at load `BESIDE`. With a given
  demand each of n engines has an nth of it, so who has that share at a higher load
  has equal goodput with fewer engines: 1 - BESIDE / load of them are saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from agentvm_serving.bench.engines import engine_named
from agentvm_serving.bench.jobs import Job, run_job
from agentvm_serving.bench.serving import Row

from .studies import SUBJECT

GRID: Final = 0.02
HIGHEST: Final = 200
"""Of the grid."""
IN_TIME: Final = 0.95
BESIDE: Final = 1.2
REQUESTS: Final = "requests"


@dataclass(frozen=True, slots=True)
class Carried:
    """What one engine carries under a policy."""

    engine: str
    policy: str
    seed: int
    measure: str
    """`requests`, or the policy whose share of tokens in time is wanted."""
    wanted: float
    """The share."""
    load: float
    """The highest with that share; 0 if there is none."""
    rate: float
    """Requests a second at that load."""


@dataclass(frozen=True)
class Search:
    """What is to be found for one policy and seed."""

    job: Job
    others: Sequence[str]
    """Whose shares of tokens are wanted, if the policy is the one that is looked at."""


def searched(search: Search) -> list[Carried]:
    """The loads of one policy and seed."""
    return list(_searched(search))


def _searched(search: Search) -> Iterator[Carried]:
    engine = engine_named(search.job.engine)
    known: dict[tuple[str, int], Row] = {}

    def row(policy: str, place: int) -> Row:
        key = policy, place
        if key not in known:
            known[key] = run_job(replace(search.job, policy=policy, load=place * GRID), engine)
        return known[key]

    def carried(measure: str, wanted: float, of: Callable[[Row], float]) -> Carried:
        job = search.job
        load = GRID * highest(lambda place: of(row(job.policy, place)) >= wanted)
        return Carried(
            job.engine, job.policy, job.seed, measure, round(wanted, 4), round(load, 4), load * job.saturated
        )

    yield carried(REQUESTS, IN_TIME, lambda found: found.attainment["all"])
    if search.job.policy == SUBJECT:
        for other in search.others:
            if other != SUBJECT:
                wanted = row(other, round(BESIDE / GRID)).token_share
                yield carried(other, wanted, lambda found: found.token_share)


def highest(enough: Callable[[int], bool]) -> int:
    """The highest place of the grid with enough, which lower ones have, too; 0 if none has."""
    low, high = 0, HIGHEST
    step = round(1 / GRID)  # load 1 is where to begin
    while low + step < high:
        if enough(low + step):
            low += step
        else:
            high = low + step
        step = round(1 / GRID) // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def read(path: Path) -> list[Carried]:
    """The rows of a file; none if there is no file."""
    return [Carried(**each) for each in json.loads(path.read_text())] if path.exists() else []


def write(rows: Iterable[Carried], path: Path) -> None:
    """A row a line."""
    lines = ",\n".join(json.dumps(asdict(each), separators=(",", ":")) for each in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
