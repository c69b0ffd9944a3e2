"""Jobs: one policy on one workload each, in parallel processes.

Each process opens an engine once and keeps it. A real engine has the machine
for itself: its jobs run one by one in this process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from agentvm_serving.workload import Forecast, Item

from .engines import BenchEngine, engine_named
from .serving import Row, row, saturation
from .sources import Source

Find: TypeAlias = Callable[[str], str]
"""Gives the folder of a model's name."""
Key: TypeAlias = tuple[str, str, str, str, float, int]
"""Engine, workload, forecast, policy, load and seed: what tells jobs apart."""

SATURATING = 1000
"""Items that are enough to see where an engine saturates."""


@dataclass(frozen=True, slots=True)
class Job:
    """One policy on one workload."""

    engine: str
    """Its spec."""
    source: Source
    policy: str
    load: float
    seed: int
    saturated: float
    """Items a second at load 1."""
    forecast: Forecast = "profile"
    timeline: bool = False
    """Whether the row tells how many ran and waited when."""

    @property
    def key(self) -> Key:
        return (self.engine, str(self.source), self.forecast, self.policy, self.load, self.seed)


def key_of(row: Row) -> Key:
    """Of which job a row is."""
    return (row.engine, row.workload, row.forecast, row.policy, row.load, row.seed)


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where does an engine saturate?"""

    engine: str
    source: Source
    seeds: tuple[int, ...]


def run_job(job: Job, engine: BenchEngine) -> Row:
    """Serve it and account for it."""
    rate = job.load * job.saturated
    items = _items(job.source, rate, job.seed)
    found = row(job.policy, job.load, job.seed, items, engine.serve(items, job.policy), timeline=job.timeline)
    return replace(
        found,
        engine=job.engine,
        workload=str(job.source),
        forecast=job.forecast,
        rate=rate,
        stretch=job.source.stretch,
    )


def run_saturation(job: Saturation, engine: BenchEngine) -> float:
    """Items a second at load 1."""
    fewer = replace(job.source, count=min(job.source.count, SATURATING))
    return saturation(engine, fewer, job.seeds)


def is_real(spec: str) -> bool:
    """Whether an engine runs a model, and not virtual time."""
    return spec.partition(":")[0] == "vllm"


class Workers:
    """Serves jobs: in processes of its own, or here where the engine is real.

    Args:
        count: processes; by default as many as there are processors.
    """

    def __init__(self, count: int | None = None, find: Find = str) -> None:
        self._count = count or len(os.sched_getaffinity(0))
        self._find = find
        self._stack = ExitStack()
        self._engines: dict[tuple[str, Forecast], BenchEngine] = {}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def rows(self, jobs: Sequence[Job]) -> Iterator[Row]:
        """The rows of jobs, as they are done."""
        here = [job for job in jobs if self._count == 1 or is_real(job.engine)]
        waiting = [self._processes().submit(_row, job) for job in jobs if job not in set(here)]
        for job in here:
            yield run_job(job, self._engine(job.engine, job.forecast))
        for future in as_completed(waiting):
            yield future.result()

    def saturations(self, jobs: Sequence[Saturation]) -> list[float]:
        """Items a second at load 1 of each, in their order."""
        if len(jobs) < 2 or any(is_real(job.engine) for job in jobs):
            return [run_saturation(job, self._engine(job.engine, "profile")) for job in jobs]
        return list(self._processes().map(_rate, jobs))

    def _engine(self, spec: str, forecast: Forecast) -> BenchEngine:
        if (spec, forecast) not in self._engines:
            opened = self._stack.enter_context(closing(engine_named(spec, self._find, forecast)))
            self._engines[spec, forecast] = opened
        return self._engines[spec, forecast]

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Forked, a process would keep this one's threads' locks.
            spawning = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, mp_context=spawning)
        return self._pool


def _row(job: Job) -> Row:
    return run_job(job, _opened(job.engine, job.forecast))


def _rate(job: Saturation) -> float:
    return run_saturation(job, _opened(job.engine, "profile"))


@lru_cache(maxsize=8)
def _opened(spec: str, forecast: Forecast) -> BenchEngine:
    """A process's own engine; it ends with the process."""
    return engine_named(spec, forecast=forecast)


@lru_cache(maxsize=4)
def _items(source: Source, rate: float, seed: int) -> tuple[Item, ...]:
    return tuple(source.draw(rate, seed))
