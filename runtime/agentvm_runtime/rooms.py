"""How many calls are under way at once: of a tool, and of a run.

A call takes its turn before a write's intent is journaled, so one that waits
has not begun.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
