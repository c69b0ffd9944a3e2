"""The threads in which stores wait for their databases.

They are apart from those that tools run in: a tool may take for ever, and may be
waiting for what a store is to read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

_MOST = 16
"""Threads of one event loop: a store reads in one at a time."""
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("agentvm_store_threads")


async def in_thread(work: Callable[[], T]) -> T:
    """Do what blocks in a thread."""
    return await anyio.to_thread.run_sync(work, limiter=limiter())


def limiter() -> anyio.CapacityLimiter:
    """The threads of this event loop's stores."""
    found = _limiter.get(None)
    if found is None:
        found = anyio.CapacityLimiter(_MOST)
        _limiter.set(found)
    return found
