"""A deadline while it holds, and which of those around a call counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar


class Alarm:
    """Within it, somebody is called when the time is up; `None` is never.

    A class, since `contextlib.contextmanager` assigns to exceptions that pass
    through it, which an exception of the user's may refuse.
    """

    __slots__ = ("_ring", "_seconds", "_timer")

    def __init__(self, seconds: float | None, ring: Callable[[], None]) -> None:
        self._seconds = seconds
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._seconds), self._ring)

    def __exit__(self, *raised: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Limit:
    """A deadline, as long as one is within it.

    It may be missed while inside, unless it had been when this process took the run up.
    """

    def __init__(
        self, at: float, on_miss: Callable[[], None], *, best_effort: bool, started_at: float
    ) -> None:
        """`at`, and `started_at` when this process took the run up, are in Unix seconds."""
        self.at = at
        self.best_effort = best_effort
        self.missed = False
        self._on_miss = on_miss
        self._alarm = Alarm(None if at <= started_at else at - time.time(), self._miss)

    def __enter__(self) -> None:
        self._token = limits.set((*limits.get(), self))
        self._alarm.__enter__()

    def __exit__(self, *raised: object) -> None:
        self._alarm.__exit__()
        limits.reset(self._token)

    def _miss(self) -> None:
        self.missed = True
        self._on_miss()


limits: ContextVar[tuple[Limit, ...]] = ContextVar("agentvm_limits", default=())
"""Those around what is done here, outermost first."""


def due() -> float | None:
    """When what is done here should be done, in Unix seconds: the smallest of the deadlines around it.

    One that was missed and goes on does not count any more.
    """
    around = limits.get()
    return due_of(around) if around else None


def due_of(around: tuple[Limit, ...]) -> float | None:
    """The same for what is within these limits."""
    return min((each.at for each in around if not (each.missed and each.best_effort)), default=None)
