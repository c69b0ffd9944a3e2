"""A comparison: engines, policies, forecasts, loads and seeds, all with all; going on from rows there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from .claims import variants
from .jobs import Job, Saturation, Workers, is_real, key_of
from .planning import Capacity, fewest, highest, with_replicas
from .serving import Row
from .sources import Source

SATURATION_SEEDS = 3
"""Seeds that are enough for where an engine saturates."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be compared on what."""

    engines: Sequence[str]
    source: Source
    policies: Sequence[str]
    loads: Sequence[float]
    seeds: Sequence[int]
    forecasts: Sequence[str] = ("profile",)
    saturated: dict[str, float] = field(default_factory=dict)
    """Items a second at load 1, by engine, where it is known."""

    def jobs(self, rows: Iterable[Row] = (), *, timelines: bool = False) -> list[Job]:
        """What is still to be done; policies take turns at being first, so that drift meets all alike.

        Args:
            timelines: tell how many run and wait when, at the highest load, of the first seed.
        """
        done = set(map(key_of, rows))
        found = [
            Job(engine, self.source, policy, load, seed, self.saturated[engine], forecast)
            for engine in self.engines
            for load in self.loads
            for turn, seed in enumerate(self.seeds)
            for policy in _turned(self.policies, turn)
            for forecast in self.forecasts
        ]
        shown = (max(self.loads), self.seeds[0])
        return [
            replace(job, timeline=timelines and (job.load, job.seed) == shown)
            for job in found
            if job.key not in done
        ]


def _turned(policies: Sequence[str], turn: int) -> list[str]:
    """The same, another one first at each turn."""
    first = turn % len(policies)
    return [*policies[first:], *policies[:first]]


def known_stretch(rows: Iterable[Row], engine: str, source: Source) -> float | None:
    """How much longer than drawn the objectives of a source were, in earlier rows of an engine."""
    found = (row.stretch for row in rows if row.engine == engine and row.workload == _as_told(source, row))
    return next(found, None)


def _as_told(source: Source, row: Row) -> str:
    return str(replace(source, stretch=row.stretch))


def known_saturations(rows: Iterable[Row], source: Source) -> dict[str, float]:
    """Items a second at load 1, as earlier rows of the same source had it."""
    return {
        row.engine: row.rate / row.load
        for row in rows
        if row.workload == str(source) and row.load and row.rate
    }


def saturated(workers: Workers, comparison: Comparison, rows: Iterable[Row] = ()) -> Comparison:
    """The same, with every engine's saturation known: measured where no row tells."""
    known = {**known_saturations(rows, comparison.source), **comparison.saturated}
    missing = [engine for engine in comparison.engines if engine not in known]
    jobs = []
    for engine in missing:
        count = 1 if is_real(engine) else SATURATION_SEEDS  # each takes minutes on a real one
        jobs.append(Saturation(engine, comparison.source, tuple(comparison.seeds[:count])))
    found = workers.saturations(jobs)
    return replace(comparison, saturated={**known, **dict(zip(missing, found, strict=True))})


def sensitive(comparison: Comparison) -> Comparison:
    """The same on every variant of its engines' step-time models."""
    return replace(comparison, engines=[each for engine in comparison.engines for each in variants(engine)])


def labelled(rows: Sequence[Row]) -> list[Row]:
    """Rows whose policy's name tells the forecast too, where there are several."""
    if len({row.forecast for row in rows}) < 2:
        return list(rows)
    return [replace(row, policy=f"{row.policy}/{row.forecast}") for row in rows]


def capacities(workers: Workers, comparison: Comparison, wanted: float) -> Iterator[Capacity]:
    """What each engine carries under each policy with so many requests in time; saturations must be known."""
    for engine in comparison.engines:
        limit = comparison.saturated[engine]
        for policy in comparison.policies:

            def attains(rate: float, engine: str = engine, policy: str = policy) -> float:
                load = rate / comparison.saturated[engine]
                one = replace(comparison, engines=[engine], policies=[policy], loads=[load])
                return fmean(row.attainment["all"] for row in workers.rows(one.jobs()))

            rate, attained = highest(attains, wanted, limit)
            yield Capacity(engine, policy, rate, attained, rate / limit)


def engines_needed(
    workers: Workers, comparison: Comparison, found: Capacity, demand: float, wanted: float
) -> int:
    """Engines for so many requests a second, behind one router that sends each call to the least loaded.

    Simulated together: what one carries alone says only where to begin.
    """

    def attains(count: int) -> float:
        several = with_replicas(found.engine, count)
        # As long as one engine's workload, which has fewer requests.
        source = replace(comparison.source, count=comparison.source.count * count)
        many = replace(
            comparison,
            engines=[several],
            source=source,
            policies=[found.policy],
            loads=[1.0],
            saturated={several: demand},
        )
        return fmean(row.attainment["all"] for row in workers.rows(many.jobs()))

    return fewest(attains, wanted, found.replicas(demand)) if found.rate else 0
