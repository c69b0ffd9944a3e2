"""What one run has used and what its calls came to, told from its journal as that grows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from agentvm_runtime.records import CALLS, Event, EventKind, RunRecord, Source


class Sums(BaseModel):
    """Requests of one class that are decided."""

    met: int = 0
    missed: int = 0
    others: int = 0
    """Without an objective."""
    output_tokens: int = 0
    good_tokens: int = 0

    def count(self, met: bool | None, tokens: int) -> None:
        """One more request."""
        self.met += met is True
        self.missed += met is False
        self.others += met is None
        self.output_tokens += tokens
        self.good_tokens += tokens if met else 0

    def add(self, other: Sums) -> None:
        self.met += other.met
        self.missed += other.missed
        self.others += other.others
        self.output_tokens += other.output_tokens
        self.good_tokens += other.good_tokens


@dataclass(slots=True)
class _Call:
    """A model call with a class of its own."""

    slo: str
    tokens: int
    met: bool | None


@dataclass(slots=True)
class Account:
    """Of one run."""

    seq: int = 0
    """Number of the last event that is in it."""
    nodes: int = 0
    """With a result; plain code is not counted."""
    reused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    _calls: dict[str, _Call] = field(default_factory=dict)

    def take(self, events: Iterable[Event]) -> None:
        """What has been journaled since."""
        for each in events:
            self.seq = max(self.seq, each.seq)
            if each.kind is EventKind.SCHEDULED:
                self._scheduled(each.detail.get(CALLS, {}))
                continue
            if each.kind in (EventKind.DONE, EventKind.FAILED):
                # Of plain code only some is journaled, as it takes its time or not.
                self.nodes += each.kind is EventKind.DONE and each.node != "python"
                self.reused += each.source in (Source.MEMO, Source.SHARED)
            if each.source is Source.EXECUTED and "output_tokens" in each.detail:
                self._used(each, each.detail)

    def classes(self, record: RunRecord) -> dict[str, Sums]:
        """Calls by class; a run with a deadline counts as a whole, and its calls do not."""
        found: dict[str, Sums] = {}
        for each in self._calls.values() if record.deadline_at is None else ():
            found.setdefault(each.slo, Sums()).count(each.met, each.tokens)
        return found

    def _used(self, event: Event, detail: dict[str, Any]) -> None:
        self.input_tokens += detail.get("input_tokens", 0)
        self.output_tokens += detail["output_tokens"]
        if "cost" in detail:
            self.cost = (self.cost or 0.0) + detail["cost"]
        if event.node == "llm" and event.kind is EventKind.DONE:
            slo = detail.get("hints", {}).get("slo", "best_effort")
            due = detail.get("deadline") if slo == "deadline" else None
            met = None if due is None else event.finished_at <= due
            self._calls[event.path] = _Call(slo, detail["output_tokens"], met)

    def _scheduled(self, calls: dict[str, list[dict[str, Any]]]) -> None:
        """The scheduler knows best what became of an objective, where it told."""
        for path, records in calls.items():
            call = self._calls.get(path)
            outcome = records[-1].get("outcome") if records else None
            if call is not None and call.slo != "best_effort" and outcome in ("met", "missed"):
                call.met = outcome == "met"
