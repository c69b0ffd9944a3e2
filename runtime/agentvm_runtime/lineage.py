"""Lineage: what the runs that a fork comes from have recorded, as far as the overrides leave it standing.

It is looked up by path while the fork executes: in the journal of its parent, in
that of the parent's parent, and so on. What a fork costs thus depends on what it
comes to, not on how much its ancestors have done. Where single events are not
found at once (on a server), the journals are read before.

An override opens what it lies in: a recorded call of an agent, or a traced
region, is gone through again if something in it is overridden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from .errors import Halt, StoreError
from .forking import Chain, Fork, chain_of, enclosing, within
from .ports import Store
from .records import FORGETS, Digest, Event, EventKind, RunRecord, Source, failed_with, remembered

if TYPE_CHECKING:
    from .work import Work

Wanted = Callable[[str], bool]


class Annals(Protocol):
    """What one run has recorded until it was forked."""

    def at(self, path: str) -> Sequence[Event]:
        """The events of a path, in order, without what was tried again."""
        ...

    def started(self) -> Iterable[str]:
        """Paths of writes that were started, in order."""
        ...

    async def paths(self) -> Iterable[str]:
        """Paths of results, in order."""
        ...


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


class _Whole:
    """Annals that were read as a whole."""

    def __init__(self, journal: Sequence[Event], fork: Fork) -> None:
        self._at: dict[str, list[Event]] = {}
        self._results: dict[str, None] = {}
        self._started: dict[str, None] = {}
        for each in _until(fork, journal):
            self._at.setdefault(each.path, []).append(each)
            if each.kind in (EventKind.DONE, EventKind.FAILED):
                self._results[each.path] = None
            elif each.kind is EventKind.INTENT:
                self._started[each.path] = None

    def at(self, path: str) -> Sequence[Event]:
        return self._at.get(path, ())

    def started(self) -> Iterable[str]:
        return self._started

    async def paths(self) -> Iterable[str]:
        return self._results


class _ByPath:
    """Annals of which only what is asked for is read."""

    def __init__(self, store: Store, run_id: str, fork: Fork, wanted: Wanted | None) -> None:
        self._store = store
        self._run_id = run_id
        self._fork = fork
        self._wanted = wanted
        # What says of other events that they were tried again has no path.
        told = store.peek(run_id, path="")
        self._marks = [each for each in told if FORGETS in each.detail or each.kind is EventKind.ENDED]

    def at(self, path: str) -> Sequence[Event]:
        found = self._peek(path=path)
        if self._marks or self._fork.forgets is not None:
            found = sorted([*found, *self._marks], key=lambda each: each.seq)
        return [each for each in _until(self._fork, found) if each.path == path] if found else found

    def started(self) -> Iterable[str]:
        return [each.path for each in self._peek(kind=EventKind.INTENT) if each.seq <= self._fork.seq]

    def _peek(self, *, path: str | None = None, kind: EventKind | None = None) -> list[Event]:
        """Raises Halt if the store cannot be read: that is no failure of the program in which it is asked."""
        try:
            return self._store.peek(self._run_id, path=path, kind=kind)
        except StoreError as error:
            raise Halt(error) from None

    async def paths(self) -> Iterable[str]:
        found = await self._store.result_paths(self._run_id)
        return [
            path
            for seq, path in found
            if seq <= self._fork.seq and (self._wanted is None or self._wanted(path))
        ]


def _until(fork: Fork, journal: Sequence[Event]) -> list[Event]:
    """The events that a fork inherits: until it was made, and without the failure that ended the run then.

    The failure of a write stays, as it may have happened.
    """
    kept = remembered(each for each in journal if each.seq <= fork.seq)
    if fork.forgets is None:
        return kept
    again = failed_with(kept, fork.forgets) - {each.path for each in kept if each.kind is EventKind.INTENT}
    return [each for each in kept if each.kind is not EventKind.FAILED or each.path not in again]


async def lineage_of(store: Store, record: RunRecord) -> Lineage | None:
    """What a fork inherits, its own overrides applied, all of it read; None for a run that is no fork."""
    chain = await chain_of(store, record)
    return Lineage([await _read(store, parent, fork) for parent, fork in chain]) if chain else None


async def inheritance(store: Store, chain: Chain, wanted: Wanted | None = None) -> Lineage:
    """What the ancestors leave to a fork, found as it is asked for.

    Args:
        wanted: says of what paths anything will be asked.
    """
    if not store.near:
        return Lineage([await _read(store, parent, fork, wanted) for parent, fork in chain])
    return Lineage(
        [Ancestor(parent.id, fork, _ByPath(store, parent.id, fork, wanted)) for parent, fork in chain]
    )


async def _read(store: Store, parent: RunRecord, fork: Fork, wanted: Wanted | None = None) -> Ancestor:
    return Ancestor(parent.id, fork, _Whole(await store.events(parent.id, wanted), fork))
