"""Trying again: attempts of one call, journaled so that a resumed run does not begin anew."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from agentvm_compiler.retry import Retry

from .records import Event, EventKind
from .session import Session
from .work import Work

T = TypeVar("T")


class Attempts:
    """The attempts at some work, those of earlier processes included."""

    def __init__(
        self, session: Session, work: Work, policy: Retry, passing: Callable[[Exception], bool]
    ) -> None:
        """`passing` tells which errors to try again after, if the policy does not."""
        self._session = session
        self._work = work
        self._policy = policy
        self._passing = passing
        self._failures = 0
        self._next_at = 0.0
        last = session.history.attempts.get(work.path)
        if last is not None and last.key == work.key:
            self._failures = last.detail["attempt"]
            self._next_at = last.detail["next_at"]

    @property
    def pause(self) -> float:
        """Seconds until the next attempt may begin."""
        return max(0.0, self._next_at - time.time()) if self._next_at else 0.0

    def failed(self, error: Exception, started: float) -> None:
        """Journal that an attempt failed; raises its error if there is to be no other."""
        self._failures += 1
        policy = self._policy
        again = isinstance(error, policy.on) if policy.on else self._passing(error)
        if not again or self._failures >= policy.attempts:
            raise error
        now = time.time()
        self._next_at = now + policy.pause(self._failures)
        work = self._work
        detail = {
            "attempt": self._failures,
            "next_at": self._next_at,
            "error": f"{type(error).__name__}: {error}"[:_LONGEST],
            **(work.usage.taken() if work.usage else {}),
        }
        self._session.append(
            Event(
                EventKind.ATTEMPT,
                work.path,
                work.site,
                work.node,
                work.key,
                started_at=started,
                finished_at=now,
                detail=detail,
            )
        )


_LONGEST = 500
"""Characters of an error's text that the journal keeps of a failed attempt."""


async def attempt(
    attempts: Attempts,
    timeout: float | None,
    once: Callable[[], Awaitable[T]],
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> T:
    """Do it until it succeeds or the policy says that it is enough.

    Args:
        timeout: seconds for each attempt.
        sleep: for so many seconds between attempts, if that takes more than waiting.
    """
    while True:
        if attempts.pause:
            await (sleep or anyio.sleep)(attempts.pause)
        started = time.time()
        try:
            return await (once() if timeout is None else _within(timeout, once))
        except Exception as error:
            attempts.failed(error, started)


async def _within(timeout: float, once: Callable[[], Awaitable[T]]) -> T:
    """Do it, or raise TimeoutError. As `anyio.fail_after`, but the exception is not touched on its way."""
    with anyio.CancelScope(deadline=anyio.current_time() + timeout):
        return await once()
    raise TimeoutError(f"not done within {timeout:g} s")
