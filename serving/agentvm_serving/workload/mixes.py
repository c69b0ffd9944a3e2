"""Mixes: kinds of requests by weight, with arrivals and tiers of objectives.

A kind is drawn from a shipped fit (`chat`), or from the records of a trace file
(`chat@FILE`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from agentvm_compiler.errors import ConfigError

from .arrivals import Arrivals, poisson
from .items import Item, relaxed
from .kinds import KINDS, Kind
from .scales import LARGE, Scale


@dataclass(frozen=True, slots=True)
class Mix:
    """What a workload is drawn from."""

    kinds: Mapping[str, float]
    """Weight of each kind: its name, or `NAME@FILE`."""
    arrivals: Arrivals = poisson
    scale: Scale = LARGE
    tiers: Mapping[float, float] = field(default_factory=lambda: {1.0: 1.0})
    """Weight of each tier: how much longer than the scale's its objectives are."""
    makers: Mapping[str, Kind] = field(default_factory=dict)
    """What draws kinds that are not ours, by name."""

    def draw(self, count: int, rate: float, seed: int) -> list[Item]:
        """So many items.

        Args:
            rate: items a second, on average.
        """
        # Streams of their own: the same items come whatever the arrivals, and in the same order.
        draws, times = random.Random(f"items {seed}"), random.Random(f"arrivals {seed}")
        makers = {spec: self.makers.get(spec) or _kind(spec) for spec in self.kinds}
        arrivals = self.arrivals(count, rate, times)
        items = []
        for number, at in enumerate(arrivals):
            (spec,) = draws.choices(list(self.kinds), list(self.kinds.values()))
            (tier,) = draws.choices(list(self.tiers), list(self.tiers.values()))
            name = f"{PurePath(spec.partition('@')[0]).name}-{number}"
            items += relaxed([makers[spec](name, at, draws, self.scale)], tier)
        return items


def _kind(spec: str) -> Kind:
    name, _, file = spec.partition("@")
    if name not in KINDS:
        raise ConfigError(f"no kind of request is called {name!r}. Choose from: {', '.join(KINDS)}")
    if not file:
        return KINDS[name]
    from .traces import from_records, read_trace

    return from_records(name, read_trace(Path(file)))


def weights(text: str, option: str) -> dict[str, float]:
    """Read `a=1,b=2`.

    Raises:
        ConfigError: it is not of that form; says the option.
    """
    found: dict[str, float] = {}
    for each in text.split(","):
        name, _, weight = each.strip().rpartition("=")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = -1.0
        if not name or not 0 <= found[name] < float("inf"):
            raise ConfigError(f"{option} {each!r}: give NAME=WEIGHT, several with commas between")
    if not sum(found.values()):
        raise ConfigError(f"{option} {text!r}: all weights are zero")
    return found
