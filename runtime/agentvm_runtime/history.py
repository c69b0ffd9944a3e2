"""What a run's journal says when it is read, by path.

The journal is a list of what happened; executing the run again asks of a path:
is there a result, was a write started, was the question put already.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from .records import DEADLINE, Event, EventKind

_OF_CALLS = (
    EventKind.DONE,
    EventKind.FAILED,
    EventKind.INTENT,
    EventKind.RELEASED,
    EventKind.ASKED,
    EventKind.BEGUN,
)
_DONE = EventKind.DONE  # bound once: to look a member of an enum up takes as long as to call a function


class History:
    """A journal, indexed. Later events count over earlier ones."""

    def __init__(self, journal: Sequence[Event]) -> None:
        self._journal = journal
        self.results: dict[str, Event] = {}
        self.intents: dict[str, Event] = {}
        """Writes that were started, whether or not a result is there."""
        self.released: dict[str, Event] = {}
        """Writes in doubt that may be started again."""
        self.begun: dict[str, Event] = {}
        """Calls of agents that have a deadline of their own, by path."""
        self.attempts: dict[str, Event] = {}
        """The last failed attempt of work that was tried again, by path."""
        self.asked: dict[str, Event] = {}
        """Questions put to a person, whether or not there is an answer."""
        self.deadline_at: float | None = None
        """The run's deadline, if it was ever brought forward: Unix seconds."""
        self.wrote = False
        """Whether the run may have changed the world."""
        for each in journal:
            self.add(each)

    def add(self, event: Event) -> None:
        if event.kind is _DONE:  # most are
            self.results[event.path] = event
            return
        match event.kind:
            case EventKind.FAILED:
                self.results[event.path] = event
            case EventKind.INTENT:
                self.intents[event.path] = event
                self.wrote = True
            case EventKind.RELEASED:
                self.intents.pop(event.path, None)
                self.released[event.path] = event
                self.wrote = True
            case EventKind.BEGUN if DEADLINE in event.detail:
                self.begun[event.path] = event
            case EventKind.ATTEMPT:
                self.attempts[event.path] = event
            case EventKind.ASKED:
                self.asked[event.path] = event
            case EventKind.TIGHTENED:
                self.deadline_at = event.detail[DEADLINE]

    def within(self, path: str) -> Sequence[Event]:
        """What the journal had, as it was opened, of the calls directly within other work."""
        return self._parts.get(path, ())

    @cached_property
    def _parts(self) -> dict[str, list[Event]]:
        parts: dict[str, list[Event]] = {}
        for each in self._journal:
            if each.kind in _OF_CALLS:
                parts.setdefault(each.path.rpartition("/")[0], []).append(each)
        return parts

    def in_doubt(self) -> list[Event]:
        """Writes that were started and have no result, in the order they were started."""
        return [each for path, each in self.intents.items() if not self._has_result(path, each.key)]

    def open_questions(self) -> list[Event]:
        """Questions without an answer, in the order they were put."""
        return [each for path, each in self.asked.items() if not self._has_result(path, each.key)]

    def _has_result(self, path: str, key: str) -> bool:
        found = self.results.get(path)
        return found is not None and found.key == key
