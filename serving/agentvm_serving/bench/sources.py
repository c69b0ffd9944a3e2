"""Sources: where a benchmark's workloads come from.

A source is plain values, so that it travels to the processes that serve it; the
same source, rate and seed give the same items everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from agentvm_compiler.errors import ConfigError
from agentvm_serving.workload import LARGE, SMALL, Item, Mix, faster, mixed, read, relaxed
from agentvm_serving.workload.arrivals import arrivals_named
from agentvm_serving.workload.mixes import weights
from agentvm_serving.workload.traces import Traced, items_of, read_trace

SCALES: Final = MappingProxyType({"small": SMALL, "large": LARGE})
"""By name."""


class Draws(Protocol):
    """Gives workloads."""

    def draw(self, rate: float, seed: int) -> Sequence[Item]:
        """The workload of a rate, items a second, and a seed."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A workload file, a trace, a mix of kinds, or (if none of these) the small mixed workload."""

    count: int
    """Items, at most."""
    workload: str = ""
    """A workload file: its items, faster or slower. Where its name has `{seed}`, one for each seed."""
    trace: str = ""
    """A trace file: its records in a row, from where the seed says."""
    mix: str = ""
    """Kinds by weight: `chat=1,research=1`."""
    arrivals: str = "poisson"
    """Of a mix."""
    tiers: str = "1=1"
    """Of a mix: how much longer than the scale's the objectives are, by weight."""
    scale: str = "small"
    """Whose objectives and limits hold."""
    stretch: float = 1.0
    """How much longer than drawn the objectives are."""

    def draw(self, rate: float, seed: int) -> list[Item]:
        return relaxed(self._drawn(rate, seed), self.stretch)

    def check(self) -> None:
        """Find mistakes before anything is served.

        Raises:
            ConfigError: it cannot be drawn from.
            InputError: a file of it cannot be read.
        """
        if sum(map(bool, (self.workload, self.trace, self.mix))) > 1:
            raise ConfigError("--workload, --trace and --mix: give one of them, each says what to serve")
        self.draw(1.0, 1)

    def __str__(self) -> str:
        what = self.mix or Path(self.workload or self.trace).name or "mixed"
        said = [what, f"{self.count} items"]
        if self.mix:
            kind, _, file = self.arrivals.partition(":")
            said.append(f"{kind} {Path(file).name}".strip())
        said += [f"tiers {self.tiers}"] if self.tiers != "1=1" else []
        said += [f"objectives x{self.stretch:g}"] if self.stretch != 1 else []
        return ", ".join(said)

    def _drawn(self, rate: float, seed: int) -> list[Item]:
        scale = SCALES[self.scale]
        if self.workload:
            return at_rate(_read(self.workload.replace("{seed}", str(seed)))[: self.count], rate)
        if self.trace:
            return items_of(_trace(self.trace), self.count, rate, seed, scale)
        if self.mix:
            return mix_of(self.mix, self.arrivals, self.tiers, self.scale).draw(self.count, rate, seed)
        return mixed(self.count, rate, seed)


def at_rate(items: Sequence[Item], rate: float) -> list[Item]:
    """A given workload at another rate."""
    span = max((each.arrival for each in items), default=0.0)
    return faster(items, rate * span / len(items)) if span else list(items)


def all_at_once(items: Sequence[Item]) -> list[Item]:
    """The same items, all there at the start."""
    return [replace(each, arrival=0.0) for each in items]


@cache
def _read(path: str) -> list[Item]:
    return read(Path(path))


@cache
def _trace(path: str) -> list[Traced]:
    return read_trace(Path(path))


@cache
def mix_of(kinds: str, arrivals: str, tiers: str, scale: str) -> Mix:
    """A mix as the command line has it.

    Raises:
        ConfigError: a part of it is not of its form; says which.
    """
    by_factor: dict[float, float] = {}
    for factor, weight in weights(tiers, "--tiers").items():
        try:
            by_factor[float(factor)] = weight
        except ValueError:
            raise ConfigError(f"--tiers {factor!r}: give FACTOR=WEIGHT, such as 0.5=1,1=2") from None
    return Mix(weights(kinds, "--mix"), arrivals_named(arrivals), SCALES[scale], by_factor)
