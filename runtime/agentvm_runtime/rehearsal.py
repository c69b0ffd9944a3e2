"""What resuming a run would do, found out without doing it.

The program is executed against its journal. What is recorded is taken from
there and what plain Python computes is computed; calls, and code that may have
effects, stop where they stand. When nothing moves any more, everything recorded
was either asked for again, and is kept, or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio

from agentvm_compiler.compile import Compiled

from .changes import Comparison
from .errors import Halt, is_failure
from .executor import run_program
from .forking import enclosing
from .inputs import inputs_of
from .ports import Commit
from .records import Digest, Event, EventKind, MemoEntry
from .session import Session
from .work import Outcome, Work

_STILL = 200
"""Turns of the event loop without a look into the journal after which nothing will move any more."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What resuming a run keeps and does again."""

    kept: tuple[str, ...]
    """Paths of recorded results that stand."""
    redone: tuple[str, ...]
    """Paths of those that do not, or depend on what does not: unless that turns out as before, they are done
    again."""
    gone: tuple[str, ...]
    """Paths of those that the program no longer asks for."""
    comparison: Comparison
    """With the code of the attempt before; empty if the code is the same."""
    edited: bool
    """Whether the code is another than that of the attempt before."""

    @property
    def summary(self) -> str:
        """`kept 41, re-run 3: prompt of 'draft' changed at research.py:14`."""
        reasons = [str(each) for each in (*self.comparison.changed, *self.comparison.gone)]
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        because = f": {reasons[0]}{more}" if reasons else ""
        gone = f", no longer asked for {len(self.gone)}" if self.gone else ""
        return f"kept {len(self.kept)}, re-run {len(self.redone)}{gone}{because}"

    def lines(self) -> list[str]:
        """The summary, and below it each change and each result that does not stand."""
        reasons = [f"  {each}" for each in (*self.comparison.changed, *self.comparison.gone)]
        redone = [f"  again  {each}" for each in self.redone]
        return [
            self.summary,
            *(reasons if len(reasons) > 1 else []),
            *redone,
            *(f"  gone   {e}" for e in self.gone),
        ]

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "summary": self.summary,
            "kept": list(self.kept),
            "redone": list(self.redone),
            "gone": list(self.gone),
            "changes": [str(each) for each in (*self.comparison.changed, *self.comparison.gone)],
        }


class _Nothing:
    """The commit of something that is not recorded."""

    at_once = True

    async def wait(self) -> None: ...

    def block(self) -> None: ...

    async def soon(self) -> None: ...

    async def accepted(self) -> None: ...

    def block_accepted(self) -> None: ...


class Rehearsal(Session):
    """A session that records nothing and does nothing."""

    rehearsing = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.moves = 0
        self.found: set[str] = set()
        self.missed: set[str] = set()

    def recorded(self, work: Work) -> Event | None:
        self.moves += 1
        return super().recorded(work)

    def replay(self, event: Event, work: Work | None = None) -> Any:
        self.found.add(event.path)
        return super().replay(event, work)

    def append(
        self, event: Event, values: Mapping[Digest, bytes] | None = None, memo: MemoEntry | None = None
    ) -> Commit:
        self.moves += 1
        return _Nothing()

    async def admit(self, work: Work) -> None:
        if self.recorded(work) is None:
            await self._stop(work)

    async def perform(self, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
        self.moves += 1
        try:
            found = self.look_up(work)
        except Halt:
            found, self._halted = None, None
        if found is not None:
            return await self.replay_when_due(found, work)
        if work.node == "agent" and work.ticket is None:
            self.missed.add(work.path)
            return (await execute()).value
        return await self._stop(work)

    async def _stop(self, work: Work) -> None:
        self.missed.add(work.path)
        await anyio.sleep_forever()


async def rehearse(session: Rehearsal, compiled: Compiled, journal: Sequence[Event]) -> Preview:
    """Execute the program as far as the journal goes."""
    task = asyncio.ensure_future(run_program(session, compiled, inputs_of(session, compiled)))
    still = 0
    while not task.done() and still < _STILL:
        before = session.moves
        await asyncio.sleep(0)
        still = still + 1 if session.moves == before else 0
    task.cancel()
    with suppress(asyncio.CancelledError):
        try:
            await task
        except BaseException as error:
            if not (is_failure(error) or isinstance(error, Halt)):
                raise
    return _preview(session, journal)


def _preview(session: Rehearsal, journal: Sequence[Event]) -> Preview:
    comparison = session.revision.comparison or Comparison()
    gone = {each.name for each in comparison.gone}
    ended = (EventKind.DONE, EventKind.FAILED)
    paths = dict.fromkeys(each.path for each in journal if each.kind in ended and each.value is not None)
    kept, redone, lost = [], [], []
    for path in paths:
        if path in session.found or any(above in session.found for above in enclosing(path)):
            kept.append(path)
        elif path not in session.missed and gone & names_in(path):
            lost.append(path)
        else:
            redone.append(path)
    edited = session.revision.comparison is not None
    return Preview(tuple(kept), tuple(redone), tuple(lost), comparison, edited)


def names_in(path: str) -> set[str]:
    """The nodes' names in a path, without the numbers of iterations."""
    return {part.partition("[")[0] for part in path.split("/")}
