"""Numbers of the tasks in traced code: on resume those that they had at first.

A task is numbered when it makes its first call. Where tasks start in an order that
Python does not promise (`asyncio.as_completed` keeps coroutines in a set), one is
known again by that call.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from .records import Event

_FIRST = re.compile(r"(?P<parent>(?:t\d+\.)*)t(?P<number>\d+)\.1")
Identify = Callable[[str], str]
"""The execution key that a call would have at a path."""


class _Siblings:
    """The tasks that one task has started, by number."""

    def __init__(self) -> None:
        self.calls: dict[int, Event] = {}
        """The first calls that are recorded, of those whose tasks have not come yet."""
        self._equal: dict[str, list[int]] = defaultdict(list)
        """Their numbers by key, the highest first."""
        self.next = 1
        """The lowest that no task has got yet."""
        self._free = 1
        """None below it is free."""
        self._taken: set[int] = set()

    def add(self, number: int, call: Event) -> None:
        self.calls[number] = call

    def index(self) -> None:
        """Call it when all are added."""
        for number in sorted(self.calls, reverse=True):
            self._equal[self.calls[number].key].append(number)

    def take(self, number: int) -> None:
        call = self.calls.pop(number, None)
        if call is not None:
            self._equal[call.key].remove(number)
        self._taken.add(number)
        while self.next in self._taken:
            self._taken.remove(self.next)
            self.next += 1

    def known(self, path: Callable[[int], str], identify: Identify) -> int | None:
        """The number of the task that made such a call first."""
        key, expected = identify(path(self.next)), self.calls.get(self.next)
        if expected is not None and expected.key == key:
            return self.next
        if self._equal.get(key):
            return self._equal[key][-1]
        if identify("") == key:  # it does not depend on the path
            return None
        return next(
            (each for each in sorted(self.calls) if self.calls[each].key == identify(path(each))), None
        )

    def free(self) -> int:
        """The lowest number of a task of which nothing is recorded."""
        while self._free < self.next or self._free in self._taken or self._free in self.calls:
            self._free += 1
        return self._free


class Tasks:
    """The tasks of one traced region, as it is executed once."""

    def __init__(self, path: str, recorded: Sequence[Event] = ()) -> None:
        """Of the region at a path.

        Args:
            recorded: what its calls have left in the run's journal.
        """
        self._path = path
        self._siblings: dict[str, _Siblings] = defaultdict(_Siblings)
        """By the prefix of the task that started them."""
        for each in recorded:
            found = _FIRST.fullmatch(each.path, len(path) + 1)
            if found is not None:
                self._siblings[found["parent"]].add(int(found["number"]), each)
        for siblings in self._siblings.values():
            siblings.index()

    def number(self, parent: str, identify: Identify) -> tuple[int, list[Event]]:
        """The number of a task that makes its first call, and which recorded calls must then still come.

        Args:
            parent: the prefix of the task that started it.
            identify: may raise, as the call will.
        """
        siblings = self._siblings[parent]
        number, skipped = siblings.next, []
        if siblings.calls:
            try:
                known = siblings.known(lambda each: f"{self._path}/{parent}t{each}.1", identify)
            except Exception:
                known, fits = None, False  # it fails before anything is recorded of it
            else:
                fits = True
            number = siblings.free() if known is None else known
            if fits and known is None and number > siblings.next:
                skipped = [each for at, each in siblings.calls.items() if at < number]
        siblings.take(number)
        return number, skipped
