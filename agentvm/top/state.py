"""What the reader has chosen: which runs, in which order, where they are, and what they are asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .rows import ACTIVE, SORTS, NodeRow, RunRow, Snapshot


@dataclass(slots=True)
class State:
    """Changed by keys and by looks; `screen` draws it."""

    seen: Snapshot
    sort: str = "status"
    backwards: bool = False
    active: bool = False
    """Whether runs that are over are left out."""
    text: str = ""
    """Runs without it in id, agent or status are left out."""
    typing: bool = False
    """Whether keys are letters of that text."""
    chosen: str | None = None
    """The run that is marked."""
    opened: str | None = None
    """The run whose nodes are shown."""
    nodes: Sequence[NodeRow] = ()
    at: int = 0
    """The node that is marked."""
    asked: str | None = None
    """The run that is to be cancelled, if that is confirmed."""
    said: str = ""
    """What came of the last thing that was done."""
    problem: str = ""
    """Why what is shown is old; empty if it is not."""
    now: float = field(default_factory=time.time)

    def runs(self) -> list[RunRow]:
        """Those that are shown, in order."""
        wanted = self.text.strip().lower()
        found = [
            each
            for each in self.seen.runs
            if (not self.active or each.status in ACTIVE)
            and wanted in f"{each.run} {each.agent} {each.status}".lower()
        ]
        found.sort(key=lambda each: SORTS[self.sort](each, self.now), reverse=self.backwards)
        return found

    def run(self, name: str | None) -> RunRow | None:
        """A run that was seen."""
        return next((each for each in self.seen.runs if each.run == name), None)

    def place(self, rows: Sequence[RunRow]) -> int:
        """Where the mark is among these rows."""
        return next((n for n, each in enumerate(rows) if each.run == self.chosen), 0)

    def marked(self) -> RunRow | None:
        """The run that keys are about."""
        if self.opened is not None:
            return self.run(self.opened)
        rows = self.runs()
        return rows[self.place(rows)] if rows else None

    def move(self, by: int) -> None:
        """Move the mark, in the runs or in the nodes of one."""
        if self.opened is not None:
            self.at = max(0, min(len(self.nodes) - 1, self.at + by))
            return
        rows = self.runs()
        if rows:
            self.chosen = rows[max(0, min(len(rows) - 1, self.place(rows) + by))].run

    def next_sort(self) -> None:
        names = list(SORTS)
        self.sort = names[(names.index(self.sort) + 1) % len(names)]
        self.backwards = False
