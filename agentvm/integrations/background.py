"""One event loop in a thread of its own, for what outlives any loop of the user's.

Connections to databases and servers belong to the loop they were opened in. Kept
here, they serve synchronous code and every other loop of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


async def run(work: Coroutine[Any, Any, T]) -> T:
    """Do it there, and wait without blocking this loop; cancelling one cancels the other."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop()))


def run_now(work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Do it there, and block until it is done. Raises TimeoutError after so many seconds."""
    future: Future[T] = asyncio.run_coroutine_threadsafe(work, loop())
    return future.result(timeout)


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop, running until the process ends."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="agentvm-background", daemon=True).start()
    return made
