"""Which runs are kept.

Kept are runs that are recent enough, runs that are not over (under way,
suspended, in doubt, interrupted), and all that a kept run was forked from,
since it stands on their results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .records import RunRecord, RunStatus

OVER = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.DEADLINE_MISSED})
"""Statuses of runs that may go."""
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How long runs are kept; with both, a run stays that either one keeps."""

    days: float | None = None
    """Since a run's end."""
    last: int | None = None
    """The newest so many."""

    def keeps(self, run: RunRecord, rank: int, now: float) -> bool:
        """Whether the run stays on its own account; `rank` is 0 for the newest."""
        if run.status not in OVER:
            return True
        if self.last is not None and rank < self.last:
            return True
        ended = run.finished_at if run.finished_at is not None else run.created_at
        return self.days is not None and ended > now - self.days * DAY


def expendable(runs: Sequence[RunRecord], policy: Policy, now: float) -> list[RunRecord]:
    """The runs that may go, oldest first.

    Args:
        runs: all runs there are, newest first.
    """
    by_id = {each.id: each for each in runs}
    kept: set[str] = set()
    for rank, run in enumerate(runs):
        here: RunRecord | None = run if policy.keeps(run, rank, now) else None
        while here is not None and here.id not in kept:
            kept.add(here.id)
            here = by_id.get(here.parent) if here.parent is not None else None
    return [each for each in reversed(runs) if each.id not in kept]
