"""A deadline while it holds, and which of those around a call counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Limit:
    """A deadline, while it holds."""

    def __init__(self, at: float, on_miss: Callable[[], None], *, best_effort: bool) -> None:
        """`at` is in Unix seconds."""
        self.at = at
        self.best_effort = best_effort
        self.missed = False
        self._on_miss = on_miss

    def _miss(self) -> None:
        self.missed = True
        self._on_miss()

    @contextmanager
    def watched(self, started_at: float) -> Iterator[None]:
        """It may be missed while inside, unless it had been when this process took the run up."""
        if self.at <= started_at:
            yield
            return
        left = max(0.0, self.at - time.time())
        timer = asyncio.get_running_loop().call_later(left, self._miss)
        try:
            yield
        finally:
            timer.cancel()


limits: ContextVar[tuple[Limit, ...]] = ContextVar("agentvmlimits", default=())


def due() -> float | None:
    """When what is done here should be done, in Unix seconds: the smallest of the deadlines around it.

    One that was missed and goes on does not count any more.
    """
    return min((each.at for each in limits.get() if not (each.missed and each.best_effort)), default=None)
