"""Forks: what a run takes over from the runs it was forked from.

A fork is one row: the parent, how far its journal counts, and the overrides.
Everything else is found while the fork executes: work is looked up in the
fork's own journal, then in its *lineage*, by path and execution key
(`lineage.py`). So all that does not depend on an override is inherited,
whenever the parent did it, and what does depend on one is inherited where its
inputs come out equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import StoreError
from .ports import Store
from .records import Digest, RunRecord

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


def enclosing(path: str) -> list[str]:
    """The paths that a path is within: `a/b[1]/c` -> `a`, `a/b[1]`."""
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


def within(path: str, others: Sequence[str] | set[str]) -> bool:
    """Whether a path is one of the others, or lies in one."""
    if not others:
        return False
    return any(path == each or path.startswith((f"{each}/", f"{each}[")) for each in others)
