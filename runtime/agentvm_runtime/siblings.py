"""Siblings: calls that some later node waits for together, and how many of them are still to come."""

from __future__ import annotations


class Siblings:
    """The iterations of a map, or calls that one node waits for, that have not ended; with those around them.

    They share their fate: what they are for goes on when the last one has ended.
    """

    __slots__ = ("_around", "_left")

    def __init__(self, count: int, around: Siblings | None = None) -> None:
        self._left = count
        self._around = around

    @property
    def count(self) -> int:
        """How many there are, at least one."""
        return self._left * (1 if self._around is None else self._around.count)

    def ended(self) -> None:
        """One of them has."""
        self._left = max(1, self._left - 1)
