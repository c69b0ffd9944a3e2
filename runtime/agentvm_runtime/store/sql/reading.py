"""What reads a database: the port of `Access`, which every kind of database fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from agentvm_runtime.records import (
    Digest,
)
from agentvm_runtime.store.statements import Statement
from agentvm_runtime.store.transaction import Row

T = TypeVar("T")


class Queries(Protocol):
    """What transactions and readers share."""

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        """The first row of a query."""
        ...


class Reader(Queries, Protocol):
    """A connection that only reads; used by one thread at a time."""

    @property
    def near(self) -> bool:
        """Whether a row is found within some microseconds, as no server is asked."""
        ...

    def read(self, work: Callable[[Reader], T]) -> T:
        """What the work gives. Raises StoreError where the database cannot be read."""
        ...

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        """All rows of a query."""
        ...

    def values(self, digests: Sequence[Digest], *, small: bool = False) -> Iterator[tuple[Digest, bytes]]:
        """Those that are there. Raises TakesLong if only small ones are wanted and one is large."""
        ...

    def opened(self, digest: Digest, coding: int, stored: bytes, *, small: bool = False) -> bytes:
        """A value that was read with another row. Raises TakesLong as `values`."""
        ...

    def close(self) -> None: ...
