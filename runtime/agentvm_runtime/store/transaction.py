"""Transactions, as the writer's thread uses them: its port, which every kind of database fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest

from .statements import Statement

PATIENCE = 60.0
"""Seconds of retrying after which what is in the way counts as stuck."""

Row: TypeAlias = Mapping[str, Any]


class Transaction(Protocol):
    """What a work sees: statements, and values that are only written once.

    A database has one, used for group after group by the writer's thread.
    """

    held: dict[str, str]
    """Who is known to have the leases of runs, as long as nobody can have changed them."""
    ends: dict[str, int]
    """Numbers of the last events of journals, as long as nobody else can have written to them."""

    def row(self, statement: Statement, row: Row) -> tuple[Any, ...] | None:
        """The first row of a query."""
        ...

    def rows(self, statement: Statement, row: Row) -> Sequence[Any]:
        """All rows of a query."""
        ...

    def alone(self) -> None:
        """Keep other writers out until the end of the transaction."""
        ...

    def shrink(self) -> None:
        """After values were removed: forget which are known, and give free space back."""
        ...

    def execute(self, statement: Statement, row: Row) -> int:
        """How many rows were changed."""
        ...

    def write(self, statement: Statement, row: Row) -> None:
        """Execute in order with others of the same statement, by the end of the transaction."""
        ...

    def put_values(self, values: Mapping[Digest, bytes] | None) -> None: ...

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Undo what was done since `begin`. Does not raise."""
        ...

    def is_busy(self, error: BaseException) -> bool:
        """Whether others are in the way, nothing was written, and trying again will help."""
        ...

    def explain(self, error: BaseException, doing: str) -> StoreError:
        """An error that says what, where and what to do next."""
        ...

    def close(self) -> None: ...


Work: TypeAlias = Callable[[Transaction], Any]
"""What is to be done in a transaction, among others. Its result is for who submitted it."""
