"""Observers: who is told what a run does while it does it, for traces, metrics and logs.

An observer only looks: it neither waits nor raises, and a run does the same
without one. What was done is in the journal; an observer also learns of it in time
to be the context of what the work does in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from .records import RunRecord, Source
from .work import Outcome, Work

Ending: TypeAlias = Callable[[Outcome | None, BaseException | None], None]
"""Called once, in the task that began the work, with what it gave or what it raised."""


class RunObserver(Protocol):
    """Told of one run, in one process."""

    def begin(self, work: Work) -> Ending:
        """Work begins now; no result of it is recorded or shared."""
        ...

    def reused(self, work: Work, source: Source) -> None:
        """The result came from elsewhere: the memo, or the same work in flight."""
        ...

    def headers(self) -> Mapping[str, str]:
        """What tells an engine within what it is asked (W3C Trace Context)."""
        ...

    def end(self, record: RunRecord, error: BaseException | None) -> None:
        """This process is done with the run, which stands as recorded."""
        ...


class Unobserved:
    """Nobody looks."""

    def begin(self, work: Work) -> Ending:
        return _nothing

    def reused(self, work: Work, source: Source) -> None:
        pass

    def headers(self) -> Mapping[str, str]:
        return {}

    def end(self, record: RunRecord, error: BaseException | None) -> None:
        pass


def _nothing(outcome: Outcome | None, error: BaseException | None) -> None:
    pass


UNOBSERVED = Unobserved()
