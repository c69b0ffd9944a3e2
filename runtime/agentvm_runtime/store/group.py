"""Group commit: one thread that writes all that has gathered in one transaction.

*Work* is a function of the transaction. Works run in the order they were
submitted. A group is durable as a whole or not at all; after a group has
failed, every later work fails with the same error, so that the journal has no
holes. A work may refuse (raise an `AgentVMError`) before it writes anything:
that concerns only who waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from agentvm_compiler.errors import AgentVMError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest
from agentvm_runtime.watched import Holdup

from .durability import Durability, Mode
from .statements import Statement

_GROUP_MAX = 4096
"""Works in one transaction at most: bounds how long the first waits for the last."""
LINGER = 0.002
"""Seconds for which results that nobody waits for are gathered: changing threads for each would cost more."""
MOMENT = 0.02
"""Seconds that a call is put off at most so that what is before it can become durable: many commits of a
disk that is not overloaded."""
PATIENCE = 60.0
"""Seconds of retrying after which what is in the way counts as stuck."""

_STRICT, _GROUP = Mode.STRICT, Mode.GROUP
Row = Mapping[str, Any]


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


Work = Callable[[Transaction], Any]


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
        timer = loop.call_later(MOMENT, _wake, [decided])
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


class _Signal(Enum):
    """What the writer is told beside works."""

    SOON = auto()
    """Results are held, and are to be written in a moment."""
    END = auto()


class GroupWriter:
    """The thread, its queue and its connection."""

    def __init__(self, transaction: Transaction, name: str, durability: Durability) -> None:
        self.lock = threading.Lock()
        self.failure: StoreError | None = None
        self.reported = False
        """Whether anybody has been told of the failure."""
        self.last: Pending | None = None
        self._name = name
        self._transaction = transaction
        self._queue: SimpleQueue[Pending | _Signal] = SimpleQueue()
        self._closed = False
        self.mode = durability.mode
        self._behind: deque[Pending] = deque(maxlen=durability.unacknowledged)
        """The last results, in mode `group`: as many as may be unacknowledged."""
        self._held: list[Pending] = []
        """Results that nobody waits for; in mode `group` for a moment only."""
        self._enough = max(1, durability.unacknowledged // 2)
        # A daemon: a program that forgets to close its store must still be able to end.
        self._thread = threading.Thread(target=self._run, name="agentvm-store", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> Pending:
        """Queue a work, behind all results. Never blocks; the order of calls is the order of works."""
        pending = Pending(self, work)
        with self.lock:
            self._check()
            self.last = pending
            self.release()
            self._queue.put(pending)
        return pending

    def submit_result(self, work: Work, *, large: bool = False) -> Pending:
        """Queue a result: the mode of durability says when it is written, and what to wait for.

        Args:
            large: it holds so much memory that nobody may go on before it is written.
        """
        pending = Pending(self, work)
        with self.lock:
            if self._closed:
                self._check()
            self.last = pending
            self._held.append(pending)
            if large or self.mode is _STRICT:
                pending.ahead, pending.at_once = pending, False
                self.release()
            elif self.mode is _GROUP:
                self._follow(pending)
        return pending

    def _follow(self, pending: Pending) -> None:
        """Under the lock: let a result that is held wait for a few others, and for too many before it."""
        behind = self._behind
        if len(behind) == behind.maxlen and not behind[0].done:
            pending.ahead, pending.at_once = behind[0], False
        behind.append(pending)
        held = len(self._held)
        if held >= self._enough:
            self.release()
        elif held == 1:
            self._queue.put(_Signal.SOON)
            with contextlib.suppress(RuntimeError):  # in a thread of a tool's: it is written in a moment
                loop = asyncio.get_running_loop()
                loop.call_soon(self._look, loop, pending)

    def _look(self, loop: asyncio.AbstractEventLoop, last: Pending) -> None:
        """Write what is held if no result has come since the event loop's last turn: its tasks all wait."""
        with self.lock:
            if not self._held:
                return
            newest = self._held[-1]
            if newest is last:
                self.release()
                return
        loop.call_soon(self._look, loop, newest)

    @property
    def full(self) -> bool:
        """Whether nothing more is to begin: as many results are unacknowledged as may be, or all will be."""
        return self.failure is not None or self._most_wait()

    def _most_wait(self) -> bool:
        behind = self._behind
        return len(behind) == behind.maxlen and not behind[0].done

    async def room(self) -> None:
        """Return when it is not full. Raises StoreError if nothing can be written any more."""
        while self._most_wait():  # again: others waited, too, and may have finished something already
            await self._behind[0].made_way()
        self.raise_failure()

    def block_for_room(self) -> None:
        """The same for synchronous code."""
        while self._most_wait():
            self._behind[0].block_settled()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what the writer failed with, if it has."""
        failure = self.failure
        if failure is not None:
            self.reported = True
            # One exception object raised by many waiters would gather all their tracebacks.
            raise StoreError(*failure.args) from failure.__cause__

    def submit_aside(self, work: Work) -> Pending:
        """Queue a work whose order does not matter: it does not make results be written."""
        pending = Pending(self, work)
        with self.lock:
            self._check()
            self._queue.put(pending)
        return pending

    def release(self) -> None:
        """Under the lock: write what is held, as somebody waits for it or what follows it."""
        for pending in self._held:
            self._queue.put(pending)
        self._held.clear()

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"{self._name}: it is closed; open it first")

    def close(self) -> None:
        """Write what is queued, end the thread and close the connection. Blocks."""
        with self.lock:
            if not self._closed:
                self._closed = True
                self.release()
                self._queue.put(_Signal.END)
        self._thread.join()
        self._transaction.close()

    def _run(self) -> None:
        signals: set[_Signal] = set()
        while _Signal.END not in signals:
            group = self._gathered(lingering=_Signal.SOON in signals)
            signals = {each for each in group if isinstance(each, _Signal)}
            works = [each for each in group if not isinstance(each, _Signal)]
            if works:
                self._write(works)
                self._tell(works)

    def _gathered(self, lingering: bool) -> list[Pending | _Signal]:
        """What there is to do, waited for. When lingering, after a while that is what is held."""
        group: list[Pending | _Signal] = []
        with contextlib.suppress(Empty):
            group.append(self._queue.get(timeout=LINGER if lingering else None))
        if lingering and _Signal.SOON not in group:
            with self.lock:  # with what came, if anything did: nobody would think of it later
                self.release()
        with contextlib.suppress(Empty):
            while len(group) < _GROUP_MAX:
                group.append(self._queue.get_nowait())
        return group

    def _write(self, group: list[Pending]) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.failure is None:
            try:
                self._transact(group)
                return
            except Exception as error:  # whatever it is, waiters must hear of it
                self._transaction.rollback()
                if self._transaction.is_busy(error) and time.monotonic() < deadline:
                    continue
                self.failure = self._transaction.explain(error, "write to it")
                self.failure.__cause__ = error
        for pending in group:
            pending.error = self.failure

    def _transact(self, group: list[Pending]) -> None:
        transaction = self._transaction
        transaction.begin()
        for pending in group:
            try:
                pending.error = None
                pending.result = pending.work(transaction)
            except AgentVMError as refusal:
                pending.error = refusal
        transaction.commit()

    def _tell(self, group: list[Pending]) -> None:
        with self.lock:
            waiters = [waiter for pending in group for waiter in pending.finish()]
        futures: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for waiter in waiters:
            if isinstance(waiter, threading.Event):
                waiter.set()
            else:
                futures.setdefault(waiter.get_loop(), []).append(waiter)
        for loop, waiting in futures.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_wake, waiting)


def _wake(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
