"""What of a run is under way, and what waits for people.

A run is *quiet* when some of its calls wait for an answer and nothing of it is
being done; then it may be suspended (`attending`).
"""

from __future__ import annotations

import asyncio

import anyio

from .records import Event
from .slots import Slot

_STILL = 100
"""Turns of the event loop in which code that can go on does something that is counted."""


class Activity:
    """The account of one run; also a context manager, within which something is being done."""

    def __init__(self) -> None:
        self.under_way = 0
        """How many things are being done; who adds one takes it off again, and then calls `settle`."""
        self._answers: dict[tuple[str, str], list[Event]] = {}
        """In the order they were given: the first that is not refused counts, in every process."""
        self.waiting: dict[tuple[str, str], tuple[int, Slot]] = {}
        """By path and key of the questions that wait for an answer, in the order they began to."""
        self._changed = anyio.Event()

    def __enter__(self) -> None:
        self.under_way += 1

    def __exit__(self, *raised: object) -> None:
        self.under_way -= 1
        self.settle()

    def settle(self) -> None:
        """Something is done, and the run may be quiet now."""
        if self.quiet:
            self.nudge()

    @property
    def quiet(self) -> bool:
        return bool(self.waiting) and not self.under_way

    async def stays_quiet(self) -> bool:
        """Whether the run is quiet, and is when code that was given something has gone on.

        Tasks that are not the run's do not matter: in a server there is always one that can go on.
        """
        for _ in range(_STILL):
            if not self.quiet:
                return False
            await asyncio.sleep(0)
        return self.quiet

    async def changed(self) -> None:
        """Return at the next change, or nudge."""
        await self._changed.wait()

    def nudge(self) -> None:
        """Let who waits for a change look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def answer(self, path: str, key: str, *, after: int = 0) -> Event:
        """The message that answers a question, when it is there; meanwhile who asks does nothing.

        Args:
            after: number of a message that was refused.
        """
        for found in self._answers.get((path, key), ()):
            if found.seq > after:
                return found
        slot = Slot()
        self.waiting[path, key] = (after, slot)
        self.under_way -= 1
        self.settle()
        try:
            message: Event = await slot.wait()
            return message
        finally:
            if self.waiting.pop((path, key), None) is not None:  # nobody answered
                self.under_way += 1

    def give(self, message: Event) -> None:
        """Take note of an answer, and let the call that waits for it go on."""
        place = (message.path, message.key)
        self._answers.setdefault(place, []).append(message)
        after, slot = self.waiting.get(place, (0, None))
        if slot is not None and message.seq > after:
            del self.waiting[place]
            self.under_way += 1
            slot.set(message)
