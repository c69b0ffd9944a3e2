"""How many calls are under way at once: of a tool, and of a run.

A call takes its turn before a write's intent is journaled, so one that waits
has not begun.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from agentvm_compiler.calls import Tool

T = TypeVar("T")

_rooms: RunVar[dict[str, anyio.Semaphore]] = RunVar("agentvm_rooms")

_MANY = 1_000_000
"""Threads, where anyio was told that there is no limit."""

CONCURRENCY = "concurrency"
"""In a run's `meta`: how many of its calls may be under way at once."""


class Room(Protocol):
    """Where so many have their turn at once."""

    async def acquire(self) -> None: ...

    def release(self) -> None: ...


class Turn:
    """One turn in a room, which may be left for a while."""

    def __init__(self, room: anyio.Semaphore) -> None:
        self._room = room
        self._taken = False

    async def acquire(self) -> None:
        await self._room.acquire()
        self._taken = True

    def release(self) -> None:
        if self._taken:
            self._taken = False
            self._room.release()

    async def pause(self, seconds: float) -> None:
        """Sleep, and let others have the turn meanwhile."""
        self.release()
        await anyio.sleep(seconds)
        await self.acquire()


def rooms_of(tool: Tool) -> tuple[Room, ...]:
    """The rooms that calls of a tool need, of all runs in this event loop."""
    return () if tool.limit is None else (_room(f"{tool.ref} {tool.limit}", tool.limit),)


def turn_of(tool: Tool) -> Turn | None:
    """For a call of a tool that needs a thread: one that waits for it has not begun, either."""
    if tool.is_async or tool.inline:
        return None
    threads = int(min(anyio.to_thread.current_default_thread_limiter().total_tokens, _MANY))
    return Turn(_room(f"threads {threads}", threads))


def _room(name: str, size: int) -> anyio.Semaphore:
    rooms = _rooms.get(None)
    if rooms is None:
        rooms = {}
        _rooms.set(rooms)
    room = rooms.get(name)
    if room is None:
        room = rooms[name] = anyio.Semaphore(size, fast_acquire=True)
    return room


def seats_of(tool: Tool) -> threading.Semaphore | None:
    """The limit as threads observe it: those that run a synchronous tool, and traced code that calls it.

    Traced code blocks the event loop, so it cannot wait for what only the loop would give back.
    """
    return None if tool.limit is None else _seats(tool.ref, tool.limit)


@cache
def _seats(tool: str, limit: int) -> threading.Semaphore:
    return threading.Semaphore(limit)


async def in_turn(rooms: Sequence[Room], do: Callable[[], Awaitable[T]]) -> T:
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
