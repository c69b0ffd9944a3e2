"""Shared prompt prefixes: calls of a program that begin alike go one after the other.

The first of them leaves the KV of their common beginning in the prefix cache; the
others find it there if nothing else has pushed it out since. So where a policy
ranks calls alike (calls of one run mostly have one deadline), those of a group
stand together, where the first of them came.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from agentvm_compiler.wire import Hints

GATHERED: Final = 1.0
"""Seconds after the first call of a group in which others may come and stand with it."""
MOST: Final = 1024
"""Calls of one group that stand together, and groups that are known."""


@dataclass(slots=True)
class _Group:
    first: int
    since: float
    count: int = 0


class Prefixes:
    """Where calls stand among those that a policy ranks alike."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, str], _Group] = OrderedDict()

    def ordinal(self, hints: Hints | None, now: float, ordinal: int) -> float:
        """A call's place: its own ordinal, or a fraction after that of the first of its group. Unique."""
        if hints is None or not hints.run or not hints.prefix_group:
            return ordinal
        name = (hints.run, hints.prefix_group)
        group = self._groups.get(name)
        if group is None or now > group.since + GATHERED or group.count == MOST - 1:
            self._groups[name] = _Group(ordinal, now)
            self._groups.move_to_end(name)
            if len(self._groups) > MOST:
                self._groups.popitem(last=False)
            return ordinal
        group.count += 1
        return group.first + group.count / MOST
