"""Running studies: in slices, in processes, going on where it was interrupted, with the time left.

Each run's row is on disk as soon as it is there. Rows that belong to no run of the
study any more (another version's) are dropped when it is run.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from agentvm_serving.bench.comparing import SATURATION_SEEDS
from agentvm_serving.bench.engines import engine_named
from agentvm_serving.bench.jobs import Job, Saturation, key_of, run_job, run_saturation
from agentvm_serving.bench.results import read_json, write_json
from agentvm_serving.bench.serving import Row
from agentvm_serving.bench.sources import Source

from . import capacity
from .studies import AZURE, RESULTS, STUDIES, WORKLOADS, Study

T = TypeVar("T")


@dataclass
class Slice:
    """What of the studies is to be run, and how."""

    traces: Path | None = None
    """The folder with Azure's trace."""
    processes: int = 1
    seeds: Sequence[int] = ()
    """All of a study's, by default."""
    policies: Sequence[str] = ()
    """The same."""
    results: Path = RESULTS
    studies: Mapping[str, Study] = field(default_factory=lambda: STUDIES)
    say: Callable[[str], None] = print
    _took: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of the runs so far, by policy."""

    def run(self, names: Iterable[str]) -> None:
        """Run the studies of these names, one after the other."""
        self.results.mkdir(exist_ok=True)
        with self._pool() as pool:
            for name in names:
                study = self.studies[name]
                if study.azure and self.traces is None:
                    self.say(f"{name}: left out, it needs --traces, a folder with {AZURE}")
                    continue
                if missing := set(study.policies) - set(study.present()):
                    self.say(f"{name}: without {', '.join(sorted(missing))}, which this version has not")
                if study.programs:
                    self._draw(study)
                self._study(name, study, pool)

    def drop(self, names: Iterable[str], policies: Sequence[str]) -> None:
        """Throw away what policies did, which have changed since."""
        for name in names:
            path = self.results / f"{name}.json"
            if not path.exists():
                continue
            if self.studies[name].capacity:
                capacity.write([each for each in capacity.read(path) if each.policy not in policies], path)
            else:
                write_json([row for row in read_json(path) if row.policy not in policies], path)

    def _pool(self) -> Executor:
        # Spawned: a forked process would keep this one's threads' locks.
        spawning = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.processes, mp_context=spawning)

    def _study(self, name: str, study: Study, pool: Executor) -> None:
        path = self.results / f"{name}.json"
        source = study.source(self.traces)
        if study.capacity:
            self._capacity(name, study, source, path, pool)
            return
        belong = study.keys()
        rows = [row for row in read_json(path) if key_of(row) in belong]
        saturated = self._saturated(study, source, rows, pool)
        done = set(map(key_of, rows))
        jobs = [
            job
            for job in study.jobs(source, saturated, self.seeds)
            if self._wanted(job.policy) and job.key not in done
        ]
        write_json(rows, path)
        for row in self._each(name, served, jobs, lambda job: job.policy, pool):
            rows.append(row)
            write_json(rows, path)

    def _capacity(self, name: str, study: Study, source: Source, path: Path, pool: Executor) -> None:
        rows = capacity.read(path)
        rate = self._saturated(study, source, [], pool)
        searches = [
            capacity.Search(Job(engine, source, policy, 1.0, seed, rate[engine]), tuple(study.present()))
            for seed in self.seeds or study.seeds
            for engine in study.engines
            for policy in study.present()
            if self._wanted(policy)
            and (engine, policy, seed) not in {(each.engine, each.policy, each.seed) for each in rows}
        ]
        for found in self._each(name, capacity.searched, searches, lambda each: each.job.policy, pool):
            rows += found
            capacity.write(rows, path)

    def _wanted(self, policy: str) -> bool:
        return not self.policies or policy in self.policies

    def _each(
        self,
        name: str,
        of: Callable[[Any], T],
        jobs: Sequence[Any],
        kind: Callable[[Any], str],
        pool: Executor,
    ) -> Iterable[T]:
        """What comes of each job, as they are done; says how long the others will take."""
        waiting = {pool.submit(timed, of, job): job for job in jobs}
        left = [kind(job) for job in jobs]
        for number, future in enumerate(as_completed(waiting), 1):
            found, seconds = future.result()
            which = kind(waiting[future])
            left.remove(which)
            self._took.setdefault(which, []).append(seconds)
            self.say(f"{name} [{number}/{len(jobs)}] {which}: {seconds:.0f} s; about {self._left(left)} left")
            yield found

    def _left(self, kinds: Sequence[str]) -> str:
        known = {kind: fmean(seconds) for kind, seconds in self._took.items()}
        usual = fmean(known.values())
        seconds = sum(known.get(kind, usual) for kind in kinds) / self.processes
        return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"

    def _saturated(
        self, study: Study, source: Source, rows: Sequence[Row], pool: Executor
    ) -> dict[str, float]:
        """Requests a second at load 1, by engine: as rows have it, else measured."""
        known = {study.rate_of or row.engine: row.rate / row.load / study.times for row in rows}
        wanted = [study.rate_of] if study.rate_of else study.engines
        missing = [engine for engine in wanted if engine not in known]
        seeds = tuple(study.seeds[:SATURATION_SEEDS])
        rates = pool.map(saturation, [Saturation(engine, source, seeds) for engine in missing])
        return known | dict(zip(missing, rates, strict=True))

    def _draw(self, study: Study) -> None:
        """Draw the workloads of compiled programs that are not there."""
        WORKLOADS.mkdir(exist_ok=True)
        for seed in self.seeds or study.seeds:
            out = study.workload(seed)
            if not out.exists():
                self.say(f"drawing {out.name}")
                said = ["--mix", study.mix, "--items", str(study.items), "--seed", str(seed)]
                command = [sys.executable, "-m", "agentvm", "bench", "workload", str(out), *said]
                subprocess.run(command, check=True)


def timed(of: Callable[[Any], T], job: Any) -> tuple[T, float]:
    """What comes of a job, and the seconds that it took."""
    began = time.perf_counter()
    return of(job), time.perf_counter() - began


def served(job: Job) -> Row:
    """One run's row, without what no table reads."""
    return replace(run_job(job, engine_named(job.engine, forecast=job.forecast)), slack=[])


def saturation(job: Saturation) -> float:
    """Where an engine saturates."""
    return run_saturation(job, engine_named(job.engine))
