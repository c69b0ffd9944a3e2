"""Slots: values on their way from one node to others.

A container that grows is handed from the slot of one version of it to that of the
next, so that one slot at a time holds it. What the older slot keeps is how to get
its own version back (as the persistent arrays of Baker, 1991, do): who reads it
late gets a copy, from which what was added since is taken away.

Single-threaded: all of it happens in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, TypeAlias

from .values import shallow_copy

_PENDING: Any = object()

CHANGEABLE = frozenset({list, dict, set, deque, defaultdict, Counter, OrderedDict})
CONTAINERS = CHANGEABLE | {tuple}
LARGE = 16
"""Items above which a container is large."""
LONG = 1024
"""Characters or bytes above which a text is large."""

Undo: TypeAlias = Callable[[Any], Any]
"""Makes a version of a container of the next one, of which it is given a copy, and returns it."""


class _Turn(threading.local):
    """Readers that are to be called in this thread, one after the other.

    A reader may set a slot, whose readers set others, as when the first of a thousand
    iterations is done last: Python nests no calls for so long.
    """

    def __init__(self) -> None:
        self.due: deque[Callable[[], None]] = deque()
        self.calling = False


_turn = _Turn()


class Slot:
    """A value that is there or will be. Set once."""

    __slots__ = ("_handed", "_readers", "value")

    def __init__(self, value: Any = _PENDING) -> None:
        self.value = value
        self._readers: list[Callable[[], None]] | None = None
        self._handed: tuple[Slot, Undo | None] | None = None
        """Who was handed the value, and what gives the version back that was here; None if it is the same."""

    def __getattr__(self, name: str) -> Any:
        """The value, after it was handed on: only then the attribute is missing."""
        if name != "value" or self._handed is None:
            raise AttributeError(name)
        return self._recovered()

    @property
    def ready(self) -> bool:
        return self._handed is not None or self.value is not _PENDING

    def set(self, value: Any) -> None:
        """Give the value, and call those who asked for it: at once, or when it is their turn."""
        self.value = value
        if self._readers is not None:
            del value  # a reader may want to know whether anybody else holds it
            readers, self._readers = self._readers, None
            _call(readers)

    def then(self, reader: Callable[[], None]) -> None:
        """Call the reader once the value is there: now, if it is."""
        if self.ready:
            reader()
        elif self._readers is None:
            self._readers = [reader]
        else:
            self._readers.append(reader)

    def feed(self, other: Slot) -> None:
        """Give the other slot this one's value as soon as it is there."""
        self.then(lambda: self._feed(other))

    def _feed(self, other: Slot) -> None:
        value = self.value
        if is_large(value):
            self.holder().hand_on(other, None)
        other.value = value
        del value
        other.announce()

    def announce(self) -> None:
        """Call those who asked for the value, which was put here without `set`."""
        readers, self._readers = self._readers, None
        if readers is not None:
            _call(readers)

    async def wait(self) -> Any:
        """The value, when it is there."""
        if not self.ready:
            event = asyncio.Event()
            self.then(event.set)
            await event.wait()
        return self.value

    # -- versions ----------------------------------------------------------------------

    def holder(self) -> Slot:
        """The slot that holds this one's value, for itself and for all that handed it on as it is."""
        self.value  # noqa: B018 - made, if what is held is a later version
        slot = self
        while slot._handed is not None:
            slot = slot._handed[0]
        return slot

    def hand_on(self, newer: Slot, undo: Undo | None) -> None:
        """Hold the value no more, which the other slot holds from now on.

        Args:
            undo: takes back what makes the value there another one; None if nothing does.
        """
        self._handed = newer, undo
        del self.value

    def _recovered(self) -> Any:
        """The version that was here, made of the one that is held."""
        way = [self]
        while (handed := way[-1]._handed) is not None:
            way.append(handed[0])
        newest = held = way.pop()
        value = newest.value
        for older in reversed(way):
            assert older._handed is not None
            undo = older._handed[1]
            if undo is not None:
                value = undo(shallow_copy(value) if held is newest else value)
                held = older
        if held is not newest:
            held.value, held._handed = value, None
        if held is not self:
            self._handed = held, None  # the same version, which has one object
        return value


def is_large(value: Any) -> bool:
    """Whether a value is a container or text that is handed on, as copies of it would take long."""
    cls = type(value)
    if cls is str or cls is bytes:
        return len(value) > LONG
    return cls in CONTAINERS and len(value) > LARGE


def _call(readers: list[Callable[[], None]]) -> None:
    turn = _turn
    turn.due.extend(readers)
    if turn.calling:
        return
    turn.calling = True
    try:
        while turn.due:
            turn.due.popleft()()
    finally:
        turn.calling = False
