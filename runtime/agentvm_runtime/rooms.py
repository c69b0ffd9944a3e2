"""How many calls are under way at once: of a tool, and of a run.

A call takes its turn before a write's intent is journaled, so one that waits
has not begun.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import TypeVar

import anyio
from anyio.lowlevel import RunVar

from agentvm_compiler.calls import Tool

T = TypeVar("T")

_rooms: RunVar[dict[str, anyio.Semaphore]] = RunVar("agentvm_rooms")

CONCURRENCY = "concurrency"
"""In a run's `meta`: how many of its calls may be under way at once."""


def room_of(tool: Tool) -> anyio.Semaphore | None:
    """The room for calls of a tool, of all runs in this event loop; None without a limit."""
    if tool.limit is None:
        return None
    rooms = _rooms.get({})
    _rooms.set(rooms)
    return rooms.setdefault(f"{tool.ref} {tool.limit}", anyio.Semaphore(tool.limit))


def seats_of(tool: Tool) -> threading.Semaphore | None:
    """The limit as threads observe it: those that run a synchronous tool, and traced code that calls it.

    Traced code blocks the event loop, so it cannot wait for what only the loop would give back.
    """
    return None if tool.limit is None else _seats(tool.ref, tool.limit)


@cache
def _seats(tool: str, limit: int) -> threading.Semaphore:
    return threading.Semaphore(limit)


async def in_turn(rooms: Sequence[anyio.Semaphore], do: Callable[[], Awaitable[T]]) -> T:
    """Do it when there is room in all of these, taken one after the other."""
    if not rooms:
        return await do()
    first, *others = rooms
    # Not `async with`: the exception is the program's, and is not to be touched on its way.
    await first.acquire()
    try:
        return await in_turn(others, do)
    finally:
        first.release()
