"""Programs: which met their end-to-end deadline, so that goodput counts them as wholes.

All tokens of a program's calls count if the last call is done by the program's
deadline, else none does (`agentvm_serving.goodput`). An engine is not told that a
program is over; but at its deadline it is decided: it has met it if none of its
calls is under way or was ended early, and none comes within a moment.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentvm_compiler.wire import Hints

GRACE: Final = 5.0
"""Seconds past the deadline in which a further call shows that the program was not done."""
MOST: Final = 10_000
"""Programs followed at a time; of more, those due first are decided at once."""


@dataclass(slots=True)
class Program:
    """One run of a program, as the engine sees it."""

    due: float
    """Unix seconds."""
    under_way: int = 0
    tokens: int = 0
    late: bool = False
    """Whether a call ended, or came, after the deadline, or was given up."""

    @property
    def met(self) -> bool:
        return not self.late and not self.under_way


class Programs:
    """Those whose deadline has not passed."""

    def __init__(self) -> None:
        self._known: dict[str, Program] = {}
        self._due: list[tuple[float, str]] = []

    def began(self, hints: Hints, now: float) -> None:
        """A call has come."""
        program = self._known.get(hints.run)
        if program is None:
            program = self._known[hints.run] = Program(_due(hints))
            heapq.heappush(self._due, (program.due, hints.run))
        program.under_way += 1
        program.late = program.late or now > program.due

    def ended(self, hints: Hints, tokens: int, by_itself: bool, now: float) -> None:
        """A call has ended."""
        program = self._known.get(hints.run)
        if program is not None and program.under_way:
            program.under_way -= 1
            program.tokens += tokens
            program.late = program.late or not by_itself or now > program.due

    def decided(self, now: float) -> Iterator[Program]:
        """Those whose deadline has passed since. O(1) if there are none."""
        while self._due and (self._due[0][0] + GRACE < now or len(self._due) > MOST):
            yield self._known.pop(heapq.heappop(self._due)[1])


def program_of(hints: Hints | None) -> Hints | None:
    """The hints, if the call counts as part of a program with a deadline, and not by itself."""
    if hints is None or not hints.run or hints.slo != "deadline":
        return None
    return None if _due(hints) == math.inf else hints


def _due(hints: Hints) -> float:
    due = hints.deadline if hints.run_deadline is None else hints.run_deadline
    return math.inf if due is None else due
