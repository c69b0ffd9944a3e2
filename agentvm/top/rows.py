"""What was seen at one look: runs, their nodes, and the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from agentvm.views.accounts import Sums
from agentvm.views.engine import Engine
from agentvm.views.goodput import RunAccount

ACTIVE: Final = ("running", "suspended", "uncertain", "queued", "interrupted")
"""Statuses of runs that may go on, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    run: str
    agent: str
    status: str
    nodes: int
    """With a result."""
    running: int | None
    """Calls under way; `None` where only the process that drives the run knows."""
    started_at: float
    finished_at: float | None
    deadline_at: float | None
    met: bool | None
    input_tokens: int
    output_tokens: int
    cost: float | None

    @classmethod
    def of(cls, account: RunAccount, progress: Mapping[str, Any] | None = None) -> RunRow:
        """The row of a run, with what its driver tells of calls under way."""
        tokens = (progress or {}).get("tokens", {})
        return cls(
            run=account.run,
            agent=account.agent,
            status=account.status,
            nodes=account.nodes,
            running=None if progress is None else len(progress["running"]),
            started_at=account.started_at,
            finished_at=account.finished_at,
            deadline_at=account.deadline_at,
            met=account.met,
            input_tokens=max(account.input_tokens, tokens.get("input", 0)),
            output_tokens=max(account.output_tokens, tokens.get("output", 0)),
            cost=account.cost,
        )

    def seconds(self, now: float) -> float:
        """How long it has taken."""
        return max(0.0, (self.finished_at or now) - self.started_at)

    def slack(self, now: float) -> float | None:
        """Seconds left before its deadline, or that were left; below zero it is late."""
        return None if self.deadline_at is None else self.deadline_at - (self.finished_at or now)


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of a run."""

    path: str
    kind: str
    state: str
    started_at: float | None
    finished_at: float | None
    output_tokens: int | None
    slack: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look."""

    at: float
    """Unix seconds."""
    place: str
    """What was looked at."""
    runs: Sequence[RunRow] = ()
    classes: Mapping[str, Sums] = field(default_factory=dict)
    """Requests that are decided, by class: those of the engine, else those of the runs."""
    engine: Engine | None = None
    step: float | None = None
    """Seconds that a step of the engine took lately."""

    def as_json(self) -> dict[str, Any]:
        """For a pipe."""
        engine = None
        if self.engine is not None:
            kept = {"running", "waiting", "held", "kv_cache", "preemptions", "degraded", "rejected"}
            engine = {name: getattr(self.engine, name) for name in sorted(kept)} | {"step": self.step}
        return {
            "at": self.at,
            "runs": [{**asdict(each), "slack": each.slack(self.at)} for each in self.runs],
            "classes": {name: each.model_dump() for name, each in self.classes.items()},
            "engine": engine,
        }


def _standing(row: RunRow, now: float) -> Any:
    place = ACTIVE.index(row.status) if row.status in ACTIVE else len(ACTIVE)
    return place, -row.started_at


def _slack(row: RunRow, now: float) -> Any:
    left = row.slack(now)
    return row.status not in ACTIVE, left is None, left or 0.0


SORTS: Final[Mapping[str, Callable[[RunRow, float], Any]]] = {
    "status": _standing,
    "slack": _slack,
    "time": lambda row, now: -row.seconds(now),
    "tokens": lambda row, now: -row.output_tokens,
    "cost": lambda row, now: -(row.cost or 0.0),
    "started": lambda row, now: -row.started_at,
    "agent": lambda row, now: (row.agent.lower(), -row.started_at),
}
"""By name: the key of a row; what is to be seen first comes first."""


def step_seconds(engine: Engine, before: Engine | None) -> float | None:
    """Seconds a step took since an earlier look, else since the engine started."""
    if before is not None and engine.steps > before.steps:
        return (engine.step_seconds - before.step_seconds) / (engine.steps - before.steps)
    return engine.step_seconds / engine.steps if engine.steps else None
