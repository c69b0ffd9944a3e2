"""Lineage: what the runs that a fork comes from have recorded, as far as the overrides leave it standing.

It is looked up by path while the fork executes: in the journal of its parent, in
that of the parent's parent, and so on (`annals`). What a fork costs thus depends
on what it comes to, not on how much its ancestors have done.

An override opens what it lies in: a recorded call of an agent, or a traced
region, is gone through again if something in it is overridden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from .annals import Annals, Wanted, Whole, annals
from .forking import Chain, Fork, chain_of, enclosing, within
from .ports import Store
from .records import Digest, Event, EventKind, RunRecord, Source

if TYPE_CHECKING:
    from .work import Work


class Ancestor:
    """A run that a fork comes from, and how the next younger run was forked from it."""

    def __init__(self, run_id: str, fork: Fork, annals: Annals) -> None:
        self.run_id = run_id
        self.fork = fork
        self.annals = annals
        self._closed = {*fork.again, *fork.given}
        self._opened = {above for path in self._closed for above in enclosing(path)}

    def closes(self, path: str) -> bool:
        """Whether the next younger run was to do this otherwise."""
        return within(path, self._closed)

    def drops(self, path: str) -> bool:
        """Whether the next younger run does not inherit the result."""
        return path in self._opened or self.closes(path)

    def result(self, path: str) -> Event | None:
        results = (EventKind.DONE, EventKind.FAILED)
        return next((each for each in reversed(self.annals.at(path)) if each.kind in results), None)


class Lineage:
    """What a run inherits from its ancestors."""

    def __init__(self, ancestors: Sequence[Ancestor]) -> None:
        """The ancestors, nearest first."""
        self._ancestors = ancestors
        self.again = ancestors[0].fork.again
        """Paths that the run itself is to do again."""
        self.given: dict[str, Mapping[int, Digest]] = {}
        for each in reversed(ancestors):
            self.given = {at: g for at, g in self.given.items() if not within(at, each.fork.again)}
            self.given |= each.fork.given
        self.asked: set[str] = set()
        """Paths that something was inherited for."""
        self.used: dict[str, None] = {}
        """Paths of results inherited so far that show the world as it was before the run wrote to it."""
        self._found: dict[str, tuple[Event, str] | None] = {}

    def find(self, work: Work, *, wrote: bool) -> Event | None:
        """What the ancestors have for this work, if it can be used.

        Args:
            wrote: whether the run has written to the world since it was forked.
        """
        given = self.given.get(work.path)
        if given is not None and 0 in given:
            return Event(EventKind.DONE, work.path, work.site, work.node, work.key, given[0], Source.GIVEN)
        event = self.recorded(work.path)
        if event is None or event.key != work.key or not event.key or event.value is None:
            return None
        if work.looks:
            if wrote and work.path not in self.used:
                return None
            self.used[work.path] = None
        self.asked.add(work.path)
        return event

    def recorded(self, path: str) -> Event | None:
        """The last result at a path that still stands."""
        found = self._look_up(path)
        return None if found is None else found[0]

    def origin(self, path: str) -> str | None:
        """The run that recorded what there is at a path."""
        found = self._look_up(path)
        return None if found is None else found[1]

    def _look_up(self, path: str) -> tuple[Event, str] | None:
        if path not in self._found:
            self._found[path] = self._search(path)
        return self._found[path]

    def _search(self, path: str) -> tuple[Event, str] | None:
        for each in self._ancestors:
            if each.drops(path):
                return None
            event = each.result(path)
            if event is not None:
                return event, each.run_id
        return None

    def overridden(self, path: str) -> Event | None:
        """What was recorded at a path, whether or not it still stands."""
        results = (each.result(path) for each in self._ancestors)
        return next((event for event in results if event is not None), None)

    def is_again(self, path: str) -> bool:
        """Whether the run was asked to do this work anew, whatever is known of it."""
        return within(path, self.again)

    @cached_property
    def wrote(self) -> bool:
        """Whether any ancestor wrote to the world."""
        return any(self._intent(path) is not None for path in self._started())

    def unsettled(self, work: Work) -> Event | None:
        """The intent of an ancestor that started this very write and does not know what came of it."""
        intent = self._intent(work.path)
        if intent is None or intent.key != work.key or self.recorded(work.path) is not None:
            return None
        return intent

    def in_doubt(self) -> list[Event]:
        """Writes that ancestors started and do not know what came of."""
        paths = [path for path in dict.fromkeys(self._started()) if self.recorded(path) is None]
        return [intent for intent in map(self._intent, paths) if intent is not None]

    def _started(self) -> Iterable[str]:
        return (path for each in reversed(self._ancestors) for path in each.annals.started())

    def _intent(self, path: str) -> Event | None:
        """The start of a write that still counts as such."""
        for each in self._ancestors:
            if each.closes(path):
                return None
            for event in reversed(each.annals.at(path)):
                if event.kind is EventKind.INTENT:
                    return event
                if event.kind is EventKind.RELEASED:
                    return None
        return None

    async def results(self) -> dict[str, Event]:
        """All that still stands, by path, in the order it came."""
        paths = [path for each in reversed(self._ancestors) for path in await each.annals.paths()]
        found = {path: self.recorded(path) for path in dict.fromkeys(paths)}
        return {path: event for path, event in found.items() if event is not None}

    async def unused(self, own: Mapping[str, Event]) -> list[str]:
        """Paths that nothing was inherited for, as far as they are not part of what the run has."""
        had = self.asked | own.keys()
        paths = [path for each in reversed(self._ancestors) for path in await each.annals.paths()]
        left = [path for path in dict.fromkeys(paths) if path not in had]
        return [
            path
            for path in left
            if not any(above in had for above in enclosing(path)) and self.recorded(path) is not None
        ]


async def lineage_of(store: Store, record: RunRecord) -> Lineage | None:
    """What a fork inherits, its own overrides applied, all of it read; None for a run that is no fork."""
    chain = await chain_of(store, record)
    return Lineage([await _read(store, parent, fork) for parent, fork in chain]) if chain else None


async def inheritance(store: Store, chain: Chain, wanted: Wanted | None = None) -> Lineage:
    """What the ancestors leave to a fork, found as it is asked for.

    Args:
        wanted: says of what paths anything will be asked.
    """
    return Lineage(
        [Ancestor(parent.id, fork, await annals(store, parent.id, fork, wanted)) for parent, fork in chain]
    )


async def _read(store: Store, parent: RunRecord, fork: Fork) -> Ancestor:
    return Ancestor(parent.id, fork, Whole(await store.events(parent.id), fork))
