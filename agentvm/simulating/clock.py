"""Virtual time: an event loop that never waits.

When nothing can run the clock goes to the next timer at once, so that the order
of events depends on their moments alone. What the program and the runtime read
as time is the same clock.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1.7e9
"""Unix seconds at which virtual time begins."""


class _Impatient(selectors.DefaultSelector):
    """Moves the clock instead of waiting for it; waits only for what has no moment (a thread)."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time, in which this process' clocks then go."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner, _clocks_of(loop):
        return runner.run(main)


@contextmanager
def _clocks_of(loop: VirtualLoop) -> Iterator[None]:
    """The runtime measures and dates by `time`: for as long as this lasts its functions tell virtual time."""
    unix, monotonic = time.time, time.monotonic
    time.time = lambda: EPOCH + loop.time()
    time.monotonic = loop.time
    try:
        yield
    finally:
        time.time, time.monotonic = unix, monotonic
