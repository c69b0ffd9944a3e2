"""The order of calls and results in traced code: on resume the one it had at first.

What traced code does next may depend on which result came first: with workers that
share a queue, `asyncio.as_completed`, or a list that several calls change. So the
journal says of each result what the code had done since the one before: how many
calls it had made, and which results it had been given. On resume recorded results are
given in that order, each when as many calls have been made; new ones come behind them.

At first nothing is held back, but that a result which comes in one turn of the event
loop with another waits for the next. On resume a result waits for calls only as long as
they can follow from the results before: not for those that a pause of the code's own,
or code of another program, puts off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from .errors import is_failure
from .records import SINCE, Event, EventKind

_BEGUN, _SETTLED = 2, 10
"""Turns of the event loop in which tasks begin, and in which what happens has its effects: no more count."""
_STILL = 100
"""Turns after which calls that are missing do not follow from results alone: no chain of tasks is so long."""
_PAUSE, _PATIENCE = 0.02, 1.0
"""Seconds for which such calls are waited for, each time and in all: threads may make them, but the program
may have timeouts."""
_RESULTS = (EventKind.DONE, EventKind.FAILED)


class _Due(NamedTuple):
    """A recorded result that is to be given."""

    name: str
    """Its call's, within the region."""
    calls: int
    """How many the code had made before it was given this."""
    turns: int
    """Turns of the event loop since what came before, as far as they are counted."""


class Ticket:
    """One call of a region; also a context manager, around all that is done for it."""

    __slots__ = ("_sequencer", "_skipped", "blocks", "name", "noted")

    def __init__(self, sequencer: Sequencer, name: str, skipped: Sequence[Event]) -> None:
        self._sequencer = sequencer
        self._skipped = skipped
        self.name = name
        self.blocks = False
        """Whether the event loop waits for it."""
        self.noted = False
        """Whether a result was journaled."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._sequencer.given(self, dropped=error is not None and not is_failure(error))

    def begun(self) -> str | None:
        """What the journal is to say with its intent: what was done since the event before, if unusual."""
        return self._sequencer.note(self.name)

    def done(self) -> str | None:
        """The same with its result."""
        self.noted = True
        return self._sequencer.note(self.name)

    async def due(self) -> None:
        """Return when the recorded result of this call is to be given."""
        await self._sequencer.due(self.name)

    async def behind(self) -> None:
        """Return when recorded results do not have to be given before the one just journaled."""
        await self._sequencer.behind(self.name)

    async def apart(self) -> None:
        """Return in a turn of the event loop in which no other call has happened, if there is one soon."""
        await self._sequencer.apart(self.name)

    @property
    def begins_task(self) -> bool:
        """Whether it is the first call of a task other than the region's own."""
        return self.name.endswith(".1")

    @property
    def skipped(self) -> Sequence[Event]:
        """Recorded calls that the program must make if it is what it was, and has not made yet."""
        return self._skipped and self._sequencer.missing(self._skipped)

    async def after_skipped(self) -> None:
        """Return when they are made, or do not come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                while self.skipped:
                    await self._sequencer.called.wait()


class Sequencer:
    """The calls of one traced region, as it is executed once."""

    def __init__(self, path: str, recorded: Sequence[Event] = ()) -> None:
        """Of the region at a path.

        Args:
            recorded: what its calls have left in the run's journal, in order.
        """
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._resumed = bool(recorded)
        self.made: set[str] = set()
        """Names of calls; only where some are recorded."""
        self.called = asyncio.Event()
        """Set at the next one."""
        self._calls = 0
        self._since: list[str] = []
        """What was done since the last intent or result that was journaled."""
        self._new = 0
        """Calls at the end of that."""
        self._last = ""
        """The call that was journaled last."""
        self._turns = 0
        """Turns of the event loop since anything happened, as far as they are counted."""
        self._latest = ""
        """The call that it happened with."""
        self._counted = 1
        """So many are: one tells what comes at once from what does not; tasks side by side take more."""
        self._ticking = False
        self._due: dict[str, _Due] = {}
        """Recorded results that were not given yet, in order."""
        self._dropped: set[str] = set()
        """Recorded results of calls that had been cancelled meanwhile."""
        self._told: set[str] = set()
        """Recorded results of which the journal says that they were given."""
        self._recorded = 0
        """Recorded calls."""
        self._excused = 0
        """How many of them results do not wait for any longer."""
        self._held: dict[str, asyncio.Future[None]] = {}
        self._new_ones: list[asyncio.Future[None]] = []
        """Wait for all that is recorded to be given."""
        self._waited = 0
        """Turns since anything happened that was waited for."""
        self._since_when = self._loop.time()
        """When it did."""
        self._pausing: asyncio.TimerHandle | None = None
        self._patience = _PATIENCE
        if recorded:
            self._read([each for each in recorded if each.kind in (*_RESULTS, EventKind.INTENT)])

    def _read(self, events: Sequence[Event]) -> None:
        calls_at: dict[str, int] = {}
        known = {self._name(each) for each in events if each.kind in _RESULTS}
        usual = _BEGUN if all(map(str.isdecimal, known)) else _SETTLED
        for each in events:
            for word in each.detail.get(SINCE, self._usual(self._name(each))).split():
                turns, _, name = word.rpartition("!")
                name = name.lstrip("-")
                if word[0] == "+":
                    self._recorded += int(word[1:])
                elif word[0] == "-":
                    self._dropped.add(name)
                elif name in known:  # and not what was tried again
                    self._told.add(name)
                    self._due.setdefault(name, _Due(name, self._recorded, int(turns or usual)))
            self._last = self._name(each)
            if each.kind in _RESULTS:
                calls_at[self._last] = self._recorded
        for name, calls in calls_at.items():
            if name not in self._dropped:
                self._due.setdefault(name, _Due(name, calls, usual))

    def _name(self, event: Event) -> str:
        return event.path[len(self._path) + 1 :]

    # -- what happens ------------------------------------------------------------------

    def call(self, name: str, skipped: Sequence[Event] = ()) -> Ticket:
        """Take note that a call is made.

        Args:
            skipped: recorded calls that the program must make, too, if it is what it was.
        """
        self._calls += 1
        if self._calls > self._recorded:
            self._new += 1
        if not name.isdecimal():
            self._counted = _SETTLED
        if not self._elsewhere():
            self._called(name)
        elif self._resumed:
            self._tell(partial(self._called, name))
        return Ticket(self, name, skipped)

    def _called(self, name: str) -> None:
        self._step(name)
        if self._resumed:
            self.made.add(name)
            self.called.set()
            self.called = asyncio.Event()
            first = self._first()
            wanted = self._recorded if first is None else first.calls
            if self._calls + self._excused <= wanted:
                self._progress()
            self._look()

    def _progress(self) -> None:
        """Something has happened that was waited for."""
        self._waited, self._since_when = 0, self._loop.time()

    def _tell(self, what: Callable[[], None]) -> None:
        """Have something done by the event loop's thread, if that is still there."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def _step(self, name: str) -> int:
        """Take note that something happens with a call. Gives the turns since the last time."""
        turns, self._turns = self._turns, 0
        self._latest = name
        self._tick_soon()
        return turns

    def _tick_soon(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self._turns += 1
        self._waited += 1
        self._look()
        waiting = self._pausing is None and (self._held or self._new_ones)
        if self._turns < self._counted or waiting:
            self._tick_soon()

    def note(self, name: str) -> str | None:
        since, usual = " ".join(self._words()), self._usual(name)
        self._since, self._new = [], 0
        self._last = name
        return None if since == usual else since

    def _usual(self, name: str) -> str:
        """What was done between the last event and this one if each call follows on the one before."""
        if name == self._last:
            return ""
        return f"{self._last} +1" if self._last else "+1"

    def _words(self) -> list[str]:
        return [*self._since, f"+{self._new}"] if self._new else self._since

    def given(self, ticket: Ticket, *, dropped: bool) -> None:
        """Take note that the code has what came of a call, or was cancelled before."""
        name = ticket.name
        recorded = self._due.pop(name, None)
        turns = _SETTLED if self._elsewhere() else self._step(name)
        if ticket.noted or (recorded is not None and name not in self._told):
            counted = turns < self._counted and not ticket.blocks
            how = "-" if dropped else f"{turns}!" if counted else ""
            self._since = [*self._words(), f"{how}{name}"]
            self._new = 0
        if recorded is not None:
            self._progress()
            if self._elsewhere():
                self._tell(self._look)
            else:
                self._look()

    # -- what is waited for ------------------------------------------------------------

    async def due(self, name: str) -> None:
        """Return when a recorded result is to be given."""
        if self._elsewhere():
            return
        if name in self._dropped:
            await asyncio.sleep(_PATIENCE)  # what had cancelled the call does so again
            return
        first, mine = self._first(), self._due.get(name)
        if mine is None or (mine is first and mine.turns == 0 and self._has_come(mine)):
            return
        held = self._held[name] = self._loop.create_future()
        self._tick_soon()
        try:
            await held
        finally:
            del self._held[name]

    async def behind(self, name: str) -> None:
        """Return when a new result is to be given."""
        if name in self._due:  # it is recorded, but had to be made again
            await self.due(name)
        elif self.owes and not self._elsewhere():
            waiting = self._loop.create_future()
            self._new_ones.append(waiting)
            self._tick_soon()
            await waiting

    async def apart(self, name: str) -> None:
        """Two tasks that go on in one turn do so in an order that could not be had again."""
        for _ in range(_SETTLED):
            if self._turns or self._latest == name or self._elsewhere():
                return
            await asyncio.sleep(0)

    def missing(self, calls: Sequence[Event]) -> list[Event]:
        """Those that were not made."""
        return [each for each in calls if self._name(each) not in self.made]

    @property
    def owes(self) -> bool:
        """Whether there are recorded results to be given, or recorded calls to be made."""
        return bool(self._due) or self._calls + self._excused < self._recorded

    def _first(self) -> _Due | None:
        return next(iter(self._due.values()), None)

    def _has_come(self, due: _Due) -> bool:
        return self._calls + self._excused >= due.calls

    def _is_ready(self, due: _Due) -> bool:
        return due.name in self._held and self._has_come(due)

    def _look(self) -> None:
        """Let those go on whose results are due."""
        first = self._first()
        if not self.owes:
            for each in (*self._held.values(), *self._new_ones):
                _let_go(each)
            self._new_ones.clear()
        elif first is not None and self._is_ready(first):
            # It goes on in the next turn. Code that never rests does not keep it waiting.
            if self._turns + 1 >= first.turns or self._waited > _SETTLED:
                _let_go(self._held[first.name])
        elif self._pausing is None:
            left = _PAUSE - (self._loop.time() - self._since_when)
            if self._waited > _STILL or left <= 0:
                pause = max(0.0, min(left, self._patience))
                self._patience -= pause
                self._pausing = self._loop.call_later(pause, self._excuse, first)

    def _excuse(self, first: _Due | None) -> None:
        """Do without calls that do not come."""
        self._pausing = None
        if self._first() is first and (first is None or not self._is_ready(first)):
            if self._held:
                while next(iter(self._due)) not in self._held:
                    del self._due[next(iter(self._due))]
            following = self._first()
            if following is None:
                self._excused = max(self._excused, self._recorded - self._calls)
            elif following.name in self._held:
                self._excused = max(self._excused, following.calls - self._calls)
            else:  # nobody waits for what is recorded
                for each in self._new_ones:
                    _let_go(each)
                self._new_ones.clear()
            self._progress()
        self._tick_soon()

    def _elsewhere(self) -> bool:
        """Whether who calls this is in another thread, whose order is nobody's."""
        try:
            return asyncio.get_running_loop() is not self._loop
        except RuntimeError:
            return True


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
