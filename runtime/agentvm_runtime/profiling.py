"""Profile: what the runs of an agent tell of its next one.

A run notes, for each place in its programs, which way branches went, how often
loops went round, how long prompts and answers were and how long tools took.
What it noted is added to the agent's profile when the run completes, so that
each run counts once; the newest `WINDOW` notes of a place are kept. A profile
weighs the forecasts that go with model calls, and decides nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

from agentvm_compiler.passes.stages import Profile, SiteProfile

WINDOW = 64
"""Notes kept of one kind for one place."""
UPPER = 0.9
"""The quantile of output tokens that counts as their upper bound."""


@dataclass(slots=True)
class Notes:
    """What was seen at one place, oldest first."""

    taken: list[int] = field(default_factory=list)
    """Of a branch: 1 if it went to its first side."""
    times: list[int] = field(default_factory=list)
    """Of a loop or map: how often it went round. Of a traced part: how many calls it made."""
    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    tool_seconds: list[float] = field(default_factory=list)

    def add(self, newer: Notes) -> None:
        for kind, seen in newer.kinds():
            kept: list[float] = getattr(self, kind)
            kept.extend(seen)
            del kept[:-WINDOW]

    def kinds(self) -> Iterator[tuple[str, list[float]]]:
        return ((each.name, getattr(self, each.name)) for each in fields(self))

    @property
    def profile(self) -> SiteProfile:
        return SiteProfile(
            taken=_mean(self.taken),
            times=_mean(self.times),
            input_tokens=_rounded(_mean(self.input_tokens)),
            output_tokens=_rounded(_mean(self.output_tokens)),
            output_tokens_upper=_upper(self.output_tokens),
            tool_seconds=_mean(self.tool_seconds),
        )


class Observations:
    """What was seen at each place, by `AGENT.SITE`."""

    def __init__(self, places: Mapping[str, Notes] | None = None) -> None:
        self.places = dict(places or {})
        self._known: dict[tuple[str, str], Notes] = {}

    def at(self, agent: str, site: str) -> Notes:
        """The notes of a place, to add to.

        Args:
            agent: `module:qualname`.
        """
        notes = self._known.get((agent, site))
        if notes is None:
            notes = self._known[agent, site] = self.places.setdefault(place(agent, site), Notes())
        return notes

    def add(self, newer: Observations) -> None:
        for name, notes in newer.places.items():
            self.places.setdefault(name, Notes()).add(notes)

    @property
    def profile(self) -> Profile:
        return Profile({name: notes.profile for name, notes in self.places.items()})

    def to_json(self) -> str:
        return json.dumps({name: _told(notes) for name, notes in self.places.items()}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> Observations:
        """What `to_json` wrote; nothing for None, and of what another version wrote what is understood."""
        known = {each.name for each in fields(Notes)}
        found = json.loads(text) if text else {}
        return cls(
            {name: Notes(**{k: v for k, v in notes.items() if k in known}) for name, notes in found.items()}
        )


def place(agent: str, site: str) -> str:
    """The name of a place in a program, for people and profiles: `research.llm#1`."""
    return f"{agent.rpartition(':')[2]}.{site}"


def _told(notes: Notes) -> dict[str, list[float]]:
    return {kind: seen for kind, seen in asdict(notes).items() if seen}


def _mean(seen: Sequence[float]) -> float | None:
    return sum(seen) / len(seen) if seen else None


def _upper(seen: Sequence[int]) -> int | None:
    return sorted(seen)[math.ceil(UPPER * len(seen)) - 1] if seen else None


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
