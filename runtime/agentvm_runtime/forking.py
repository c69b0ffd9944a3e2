"""Forks: what a run takes over from the runs it was forked from.

A fork is one row: the parent, how far its journal counts, and the overrides.
Everything else is found while the fork executes: work is looked up in the
fork's own journal, then in its *lineage*, by path and execution key. So all
that does not depend on an override is inherited, whenever the parent did it,
and what does depend on one is inherited where its inputs come out equal.

An override opens what it lies in: a recorded call of an agent, or a traced
region, is gone through again if something in it is overridden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import StoreError
from .ports import Store
from .records import CHANGED, Digest, Event, EventKind, RunRecord, Source, remembered

if TYPE_CHECKING:
    from .work import Work

FORK = "fork"
"""In a run's `meta`: how it was forked."""


@dataclass(frozen=True, slots=True)
class Fork:
    """How a run differs from its parent. Its size does not depend on the parent's."""

    seq: int
    """The last event of the parent's journal that counts."""
    given: Mapping[str, Mapping[int, Digest]] = field(default_factory=dict)
    """Results that are given, by path and by position among the node's results."""
    again: tuple[str, ...] = ()
    """Paths whose work is done again."""
    forgets: Digest | None = None
    """The failure that ended the parent, which is tried again."""

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"seq": self.seq}
        if self.given:
            data["given"] = {path: {str(n): d for n, d in each.items()} for path, each in self.given.items()}
        if self.again:
            data["again"] = list(self.again)
        if self.forgets is not None:
            data["forgets"] = self.forgets
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fork:
        given = {p: {int(n): Digest(d) for n, d in each.items()} for p, each in data.get("given", {}).items()}
        return cls(data["seq"], given, tuple(data.get("again", ())), data.get("forgets"))

    @property
    def values(self) -> list[Digest]:
        return [digest for each in self.given.values() for digest in each.values()]


def fork_of(record: RunRecord) -> Fork | None:
    """How a run was forked; None if it was not."""
    data = record.meta.get(FORK)
    return None if data is None else Fork.from_json(data)


class Lineage:
    """What the ancestors of a run have recorded, as far as the overrides leave it standing."""

    def __init__(self) -> None:
        self.recorded: dict[str, Event] = {}
        self.given: dict[str, Mapping[int, Digest]] = {}
        self.again: tuple[str, ...] = ()
        """Paths that the run itself is to do again."""
        self._intents: dict[str, Event] = {}
        """Writes that were started, by path."""
        self.origin: dict[str, str] = {}
        """The run that recorded what there is at a path."""
        self.overridden: dict[str, Event] = {}
        """What was recorded where a result is given now."""
        self.asked: set[str] = set()
        """Paths that something was inherited for."""
        self.used: dict[str, None] = {}
        """Paths of results inherited so far that show the world as it was before the run wrote to it."""

    def add(self, run_id: str, journal: Iterable[Event]) -> None:
        """Take in the journal of the next younger run."""
        for event in journal:
            if event.kind is EventKind.INTENT:
                self._intents[event.path] = event
            elif event.kind is EventKind.RELEASED:
                self._intents.pop(event.path, None)
            elif event.kind in (EventKind.DONE, EventKind.FAILED):
                self.recorded[event.path] = event
                self.origin[event.path] = run_id

    def override(self, fork: Fork) -> None:
        """Drop what the next younger run does not inherit."""
        self.again = fork.again
        closed = {*fork.again, *fork.given}
        opened = {above for path in closed for above in enclosing(path)}
        for path in [each for each in self.recorded if each in opened or _within(each, closed)]:
            self.overridden[path] = self.recorded.pop(path)
        for path in [each for each in self._intents if _within(each, closed)]:
            del self._intents[path]
        self.given = {path: each for path, each in self.given.items() if not _within(path, fork.again)}
        self.given |= fork.given

    def find(self, work: Work, *, wrote: bool) -> Event | None:
        """What the ancestors have for this work, if it can be used.

        Args:
            wrote: whether the run has written to the world since it was forked.
        """
        given = self.given.get(work.path)
        if given is not None and 0 in given:
            return Event(EventKind.DONE, work.path, work.site, work.node, work.key, given[0], Source.GIVEN)
        event = self.recorded.get(work.path)
        if event is None or event.key != work.key or not event.key or event.value is None:
            return None
        if work.looks:
            if wrote and work.path not in self.used:
                return None
            self.used[work.path] = None
        self.asked.add(work.path)
        return event

    def is_again(self, path: str) -> bool:
        """Whether the run was asked to do this work anew, whatever is known of it."""
        return _within(path, self.again)

    @property
    def wrote(self) -> bool:
        """Whether any ancestor wrote to the world."""
        return bool(self._intents)

    def unsettled(self, work: Work) -> Event | None:
        """The intent of an ancestor that started this very write and does not know what came of it."""
        intent = self._intents.get(work.path)
        if intent is None or intent.key != work.key or work.path in self.recorded:
            return None
        return intent

    def in_doubt(self) -> list[Event]:
        """Writes that ancestors started and do not know what came of."""
        return [each for path, each in self._intents.items() if path not in self.recorded]

    @property
    def values(self) -> list[Digest]:
        """Digests of everything that may be inherited."""
        given = [digest for each in self.given.values() for digest in each.values()]
        recorded = self.recorded.values()
        changed = [Digest(each.detail[CHANGED]) for each in recorded if CHANGED in each.detail]
        return [each.value for each in recorded if each.value is not None] + changed + given


Chain = list[tuple[RunRecord, Fork]]
"""A run's ancestors, nearest first, each with how the next younger run was forked from it."""


async def chain_of(store: Store, record: RunRecord) -> Chain:
    """The ancestors of a fork; empty for a run that is none. Raises StoreError if one is gone."""
    chain: Chain = []
    while (fork := fork_of(record)) is not None:
        assert record.parent is not None
        parent = await store.get_run(record.parent)
        if parent is None:
            raise StoreError(
                f"run {record.id} was forked from {record.parent}, which is no longer in the store; "
                "without it the fork cannot go on"
            )
        chain.append((parent, fork))
        record = parent
    return chain


async def lineage_of(store: Store, record: RunRecord) -> Lineage | None:
    """What a fork inherits, its own overrides applied; None for a run that is no fork."""
    chain = await chain_of(store, record)
    return await inheritance(store, chain) if chain else None


async def inheritance(store: Store, chain: Chain, wanted: Callable[[str], bool] | None = None) -> Lineage:
    """What the ancestors leave to a fork; only at such paths, if `wanted` says which."""
    lineage = Lineage()
    for parent, fork in reversed(chain):
        journal = [each for each in await store.events(parent.id, wanted) if each.seq <= fork.seq]
        lineage.add(parent.id, _tried_again(remembered(journal), fork.forgets))
        lineage.override(fork)
    return lineage


def _tried_again(journal: list[Event], failure: Digest | None) -> list[Event]:
    """The journal without the failure that ended the run, but that of a write, which may have happened."""
    started = {each.path for each in journal if each.kind is EventKind.INTENT}
    return [
        each
        for each in journal
        if each.kind is not EventKind.FAILED or each.value != failure or each.path in started
    ]


def enclosing(path: str) -> list[str]:
    """The paths that a path is within: `a/b[1]/c` -> `a`, `a/b[1]`."""
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


def _within(path: str, others: Sequence[str] | set[str]) -> bool:
    """Whether a path is one of the others, or lies in one."""
    if not others:
        return False
    return any(path == each or path.startswith((f"{each}/", f"{each}[")) for each in others)
