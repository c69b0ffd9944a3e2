"""A deadline while it holds, and which of those around a call counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar, Token


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
            self.set(self._seconds)

    def set(self, seconds: float) -> None:
        """Ring after so many seconds from now, and not when it would have."""
        self.__exit__()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring)

    def __exit__(self, *raised: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Limit:
    """A deadline, as long as one is within it.

    It may be missed while inside, unless it had been when this process took the run up.
    """

    def __init__(
        self, at: float | None, on_miss: Callable[[], None], *, best_effort: bool, started_at: float
    ) -> None:
        """`at` (`None`: none yet), and `started_at` when this process took the run up, are Unix seconds."""
        self.at = at
        self.best_effort = best_effort
        self.missed = False
        self._on_miss = on_miss
        self._alarm = Alarm(None if at is None or at <= started_at else at - time.time(), self._miss)
        self._within: Token[tuple[Limit, ...]] | None = None

    def __enter__(self) -> None:
        self._within = limits.set((*limits.get(), self))
        self._alarm.__enter__()

    def __exit__(self, *raised: object) -> None:
        self._alarm.__exit__()
        within, self._within = self._within, None
        assert within is not None
        limits.reset(within)

    def bring_forward(self, at: float) -> None:
        """Hold from here on for an earlier moment, if one is within it and it was not missed."""
        if self._within is not None and not self.missed:
            self.at = at
            self._alarm.set(at - time.time())

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
    return min(
        (each.at for each in around if each.at is not None and not (each.missed and each.best_effort)),
        default=None,
    )
