"""What of a run is under way, and what waits for people.

A run is *quiet* when some of its calls wait for an answer and nothing of it is
being done; then it may be suspended (`attending`).
"""

from __future__ import annotations

import anyio

from .records import Event
from .slots import Slot


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

    async def changed(self) -> None:
        """Return at the next change, or nudge."""
        await self._changed.wait()

    def nudge(self) -> None:
        """Let who waits for a change look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def answer(self, path: str, key: str, *, after: int = 0) -> Event:
        """The message that answers a question, when it is there.

        Args:
            after: number of a message that was refused.
        """
        for found in self._answers.get((path, key), ()):
            if found.seq > after:
                return found
        slot = Slot()
        self.waiting[path, key] = (after, slot)
        self.nudge()
        try:
            message: Event = await slot.wait()
            return message
        finally:
            self.waiting.pop((path, key), None)

    def give(self, message: Event) -> None:
        """Take note of an answer, and let the call that waits for it go on."""
        place = (message.path, message.key)
        self._answers.setdefault(place, []).append(message)
        after, slot = self.waiting.get(place, (0, None))
        if slot is not None and message.seq > after:
            del self.waiting[place]
            slot.set(message)
