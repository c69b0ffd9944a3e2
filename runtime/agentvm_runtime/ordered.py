"""Work that runs side by side but fails in program order.

Plain Python raises the exception that comes first in the program, and runs
nothing after it. Here later work may be under way when earlier work fails, so:
when a child fails, those after it are cancelled, those before it go on, and the
failure that is first in order is the one raised.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .errors import Halt, is_failure
from .slots import Slot
from .watched import watched

_ENDED = Slot(True)
AT_ONCE = 16
"""Children that one task runs before others in the event loop have their turn."""


class OrderedGroup:
    """Children numbered in program order, in one task group.

    A task runs one child after the other, until one waits for something: then each
    that is left gets a task. Most do not wait when a run is resumed, and a task costs
    more than looking a result up. Without a task group, children only `run`, one
    after the other.
    """

    # Of the class until they change: each iteration of a loop has a group.
    failed_at: int | None = None
    """The first child in order that has failed so far."""
    error: BaseException | None = None
    _coming = 0
    """Tasks that have not begun."""
    _taking = False
    """Whether a task is running that will take the next child unless the one it runs waits."""
    _prefix = 0
    """The children before this one have succeeded."""
    _changed: Slot | None = None

    def __init__(self, tasks: TaskGroup | None) -> None:
        self._tasks = tasks
        self._left: deque[tuple[int, Callable[[], Awaitable[None]], Context]] = deque()
        """Children that no task runs yet."""
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._beyond: set[int] = set()
        """Those that have succeeded after others that have not yet."""
        self._asked: dict[int, Slot] = {}
        """What `ended` gave of those that had not."""
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def start(self, index: int, work: Callable[[], Awaitable[None]]) -> None:
        """Run a child, unless one before it has failed."""
        if self.failed_at is None or index < self.failed_at:
            self._left.append((index, work, copy_context()))
            if not self._taking and not self._coming:
                self._staff(1)

    def _staff(self, count: int) -> None:
        assert self._tasks is not None
        for _ in range(count):
            self._coming += 1
            self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        """One task's work: children as long as there are any and none is cancelled."""
        self._coming -= 1
        self._taking = True
        try:
            with anyio.CancelScope() as scope:
                await self._take_turns(scope)
        finally:
            self._taking = False
        self._waits()

    async def _take_turns(self, scope: anyio.CancelScope) -> None:
        done = 0
        while self._left and not scope.cancel_called:
            index, work, context = self._left.popleft()
            if self.failed_at is not None and index > self.failed_at:
                continue
            self._scopes[index] = scope
            try:
                await watched(self.run(index, work), context, self._waits, self._goes_on)
            finally:
                del self._scopes[index]
            done += 1
            if done % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _waits(self) -> None:
        """A task is about to wait or end: others take up what is left."""
        self._taking = False
        if len(self._left) > self._coming:
            self._staff(len(self._left) - self._coming)

    def _goes_on(self) -> None:
        self._taking = True

    async def run(self, index: int, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a child in the caller's task, when no other is under way that could fail before it."""
        try:
            await work(*args)
        except Halt as halt:
            self.fail(-1, halt)  # before all: nothing goes on
        except BaseException as error:
            if not is_failure(error):
                raise
            self.fail(index, error)
        else:
            self.succeed(index)

    def fail(self, index: int, error: BaseException) -> None:
        """Note a child's failure and cancel those after it."""
        if self.failed_at is not None and index >= self.failed_at:
            return
        self.failed_at, self.error = index, error
        for later, scope in self._scopes.items():
            if later > index:
                scope.cancel()
        if self._changed is not None and not self._changed.ready:
            self._changed.set(True)
        self._wake()

    @property
    def changed(self) -> Slot:
        """Set when the first failure happens."""
        if self._changed is None:
            self._changed = Slot() if self.failed_at is None else Slot(True)
        return self._changed

    def succeed(self, index: int) -> None:
        if index != self._prefix:
            self._beyond.add(index)
        else:
            self._prefix += 1
            while self._prefix in self._beyond:
                self._beyond.remove(self._prefix)
                self._prefix += 1
        if index in self._asked:
            self._asked.pop(index).set(True)
        if self._waiting:
            self._wake()

    def ended(self, index: int) -> Slot:
        """Set when the child has succeeded."""
        if index < self._prefix or index in self._beyond:
            return _ENDED
        return self._asked.setdefault(index, Slot())

    async def before(self, count: int) -> None:
        """Return when the first `count` children have succeeded, or one of them has failed."""
        if not self.settled(count):
            event = asyncio.Event()
            self.wake(count, event)
            await event.wait()

    def wake(self, count: int, event: asyncio.Event) -> None:
        """Set the event when `before` would return."""
        self._waiting.append((count, event))

    async def reached(self, index: int) -> None:
        """Return when all before the child have succeeded; if one fails, wait to be cancelled."""
        await self.before(index)
        if self.failed_at is not None and self.failed_at < index:
            await anyio.sleep_forever()

    def settled(self, count: int) -> bool:
        """Whether the first `count` children have succeeded, or one of them has failed."""
        limit = count if self.failed_at is None else min(count, self.failed_at)
        return self._prefix >= limit

    def _wake(self) -> None:
        due = [each for each in self._waiting if self.settled(each[0])]
        if due:
            self._waiting = [each for each in self._waiting if not self.settled(each[0])]
            for _, event in due:
                event.set()

    def raise_failure(self) -> None:
        if self.error is not None:
            raise self.error
