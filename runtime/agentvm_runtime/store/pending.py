"""Works under way, and how one waits for them: in tasks of any event loop, and in threads.

Who waits is told by the writer's thread once the work is decided, well or badly.
To wait for a work is to want it written: until somebody does, results may be held.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentvm_runtime.errors import StoreError
from agentvm_runtime.watched import Holdup

from .durability import Mode
from .transaction import Transaction, Work

if TYPE_CHECKING:
    from .group import GroupWriter

MOMENT = 0.02
"""Seconds that a call is put off at most so that what is before it can become durable: many commits of a
disk that is not overloaded."""


class Pending:
    """A work under way; the commit its submitter may wait for."""

    __slots__ = ("_waiters", "_writer", "ahead", "at_once", "done", "error", "result", "work")

    def __init__(self, writer: GroupWriter, work: Work) -> None:
        self.work = work
        self.ahead: Pending | None = None
        """What must be done before who submitted this one goes on."""
        self.at_once = True
        """Whether there is nothing like that."""
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None
        self._writer = writer
        self._waiters: list[asyncio.Future[None] | threading.Event] = []

    async def settled(self) -> None:
        """Return once it is decided, well or badly."""
        if not self.done:
            await self._wait_as(asyncio.get_running_loop().create_future())

    async def wait(self) -> None:
        await self.settled()
        self._raise()

    async def soon(self) -> None:
        if self.done or self._writer.mode is Mode.EXIT:
            return
        loop = asyncio.get_running_loop()
        decided = Holdup(loop=loop)
        timer = loop.call_later(MOMENT, wake, [decided])
        try:
            await self._wait_as(decided)
        finally:
            timer.cancel()

    async def accepted(self) -> None:
        if self.at_once:
            return
        ahead = self.ahead
        if ahead is None or ahead is self:  # none any more: it is decided already
            await self.wait()
        else:
            await ahead.made_way()
            self._writer.raise_failure()  # a refusal is not for who comes behind

    async def made_way(self) -> None:
        """Return once it is decided, which all work of the process waits for."""
        if not self.done:
            await self._wait_as(Holdup(loop=asyncio.get_running_loop()))

    async def _wait_as(self, future: asyncio.Future[None]) -> None:
        if self._join(future):
            await future

    def block_accepted(self) -> None:
        if self.at_once:
            return
        ahead = self.ahead
        if ahead is None or ahead is self:
            self.block()
        else:
            ahead.block_settled()
            self._writer.raise_failure()

    def block(self) -> None:
        self.block_settled()
        self._raise()

    def block_settled(self) -> None:
        event = threading.Event()
        if self._join(event):
            event.wait()

    def _join(self, waiter: asyncio.Future[None] | threading.Event) -> bool:
        with self._writer.lock:
            if not self.done:
                self._waiters.append(waiter)
                self._writer.release()
            return not self.done

    def _raise(self) -> None:
        error: Exception | None = self.error
        if error is None:
            return
        if isinstance(error, StoreError) and error is self._writer.failure:
            self._writer.raise_failure()
        raise error

    def finish(self) -> list[asyncio.Future[None] | threading.Event]:
        """Under the writer's lock: mark as decided, give back who waits."""
        self.done = True
        self.work, self.ahead = _nothing, None  # let go of what they hold
        return self._waiters


def _nothing(_: Transaction) -> None:
    return None


def wake(futures: Sequence[asyncio.Future[None]]) -> None:
    """Let those go on who wait, in their event loop."""
    for future in futures:
        if not future.done():
            future.set_result(None)
