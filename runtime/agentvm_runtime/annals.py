"""Annals: what one run had recorded when it was forked, as far as it is asked for.

Journals are read in the way that suits their store: as a whole, event by event,
or in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from .errors import Halt, StoreError
from .forking import Fork
from .ports import Store
from .records import FORGETS, Event, EventKind, failed_with, remembered
from .store.threads import in_thread

_PIECE = 16
"""Events around the first path that is asked for."""
_LARGEST = 1024
_ASKING = 100
"""What a question to a server costs, in events that could have been read instead."""

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


class Whole:
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


class ByPath:
    """Annals of which only what is asked for is read: of a store that gives single events at once."""

    def __init__(self, store: Store, run_id: str, fork: Fork, wanted: Wanted | None) -> None:
        self._store = store
        self._run_id = run_id
        self._fork = fork
        self._wanted = wanted
        # What says of other events that they were tried again has no path.
        told = store.peek(run_id, path="")
        self._marks = [each for each in told if FORGETS in each.detail or each.kind is EventKind.ENDED]

    def at(self, path: str) -> Sequence[Event]:
        found = self._found(path)
        if self._marks or self._fork.forgets is not None:
            found = sorted([*found, *self._marks], key=lambda each: each.seq)
        return [each for each in _until(self._fork, found) if each.path == path] if found else found

    def _found(self, path: str) -> Sequence[Event]:
        return self._peek(path=path)

    def started(self) -> Iterable[str]:
        return [each.path for each in self._peek(kind=EventKind.INTENT) if each.seq <= self._fork.seq]

    def _peek(
        self, *, path: str | None = None, kind: EventKind | None = None, around: int = 0
    ) -> list[Event]:
        """Raises Halt if the store cannot be read: that is no failure of the program in which it is asked."""
        try:
            return self._store.peek(self._run_id, path=path, kind=kind, around=around)
        except StoreError as error:
            raise Halt(error) from None

    async def paths(self) -> Iterable[str]:
        found = await self._store.result_paths(self._run_id)
        return [
            path
            for seq, path in found
            if seq <= self._fork.seq and (self._wanted is None or self._wanted(path))
        ]


class ByPieces(ByPath):
    """Annals read in pieces around what is asked for: of a store that is asked over a network.

    A fork goes through much what its ancestors went through, in much the same order.
    Each piece is larger than the one before; once the pieces have cost as much as
    all would, the rest is read at once.
    """

    def __init__(self, store: Store, run_id: str, fork: Fork, wanted: Wanted | None) -> None:
        super().__init__(store, run_id, fork, wanted)
        self._known: dict[str, list[Event]] = {}
        self._size = _PIECE
        self._spent = 0
        self._complete = False

    def _found(self, path: str) -> Sequence[Event]:
        if path not in self._known and not self._complete:
            self._read_on(path)
        return self._known.get(path, ())

    def _read_on(self, path: str) -> None:
        self._spent += _ASKING
        self._complete = self._spent >= self._fork.seq
        piece = self._peek() if self._complete else self._peek(path=path, around=self._size)
        self._spent += len(piece)
        self._size = min(2 * self._size, _LARGEST)
        found: dict[str, list[Event]] = {path: []}
        for each in piece:
            found.setdefault(each.path, []).append(each)
        self._known |= found


def _until(fork: Fork, journal: Sequence[Event]) -> list[Event]:
    """The events that a fork inherits: until it was made, and without the failure that ended the run then.

    The failure of a write stays, as it may have happened.
    """
    kept = remembered(each for each in journal if each.seq <= fork.seq)
    if fork.forgets is None:
        return kept
    again = failed_with(kept, fork.forgets) - {each.path for each in kept if each.kind is EventKind.INTENT}
    return [each for each in kept if each.kind is not EventKind.FAILED or each.path not in again]


async def annals(store: Store, run_id: str, fork: Fork, wanted: Wanted | None) -> Annals:
    """The annals of a run, of which is read what is asked for.

    Args:
        wanted: says of what paths anything will be asked.
    """
    if store.near:
        return ByPath(store, run_id, fork, wanted)
    return await in_thread(partial(ByPieces, store, run_id, fork, wanted))
