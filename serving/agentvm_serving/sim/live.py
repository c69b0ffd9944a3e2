"""A replica whose requests come while it runs: somebody waits for their tokens, or does not any more."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from .engine import Engine
from .orders import Order
from .replica import Replica
from .request import Request


class LiveReplica(Replica):
    """A simulated engine whose requests may be watched and abandoned."""

    def __init__(self, engine: Engine, make: Callable[[Callable[[], float]], Order]) -> None:
        super().__init__(engine, make)
        self._abandoned: list[Request] = []

    def made_by(self, request: Request, now: float) -> int:
        """Output tokens that a request of its has had by a moment of what is under way."""
        if not self._ahead or request.since < 0:
            return request.num_output_tokens
        passed = bisect_right(range(self._ahead), now, key=lambda number: self._end_of(number + 1))
        return request.num_output_tokens + passed

    def abandon(self, request: Request, now: float) -> None:
        """Nobody wants a request any more; it is gone when the step under way is over."""
        self._abandoned.append(request)
        self._cut(now)

    def complete(self, done: Callable[[Request], None]) -> None:
        super().complete(done)
        for request in self._abandoned:
            if request.made < request.length:
                self._drop(request)
        self._abandoned.clear()

    def _drop(self, request: Request) -> None:
        if not request.made:
            del self._unread[request]
            self.owed -= request.prompt
        if request in self._inbox:
            self._inbox.remove(request)
            return
        runs = request in self.running
        if runs:
            if request.since >= 0:
                self._decoding.leave(request)
            self.running.remove(request)
            self.memory.give(request.holding, request.computed)
        self.order.abandoned(request, waits=not runs)
