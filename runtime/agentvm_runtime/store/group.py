"""Group commit: one thread that writes all that has gathered in one transaction.

Any thread submits a *work*, a function of the transaction, and may wait until it
is decided. Works run in the order they were submitted. A group is durable as a
whole or not at all; after a group has failed, every later work fails with the
same error, so that the journal has no holes. A work may refuse (raise an
`AgentVMError`) before it writes anything: that concerns only who waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from enum import Enum, auto
from queue import Empty, SimpleQueue

from agentvm_compiler.errors import AgentVMError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.line import Line

from .durability import Durability, Mode
from .pending import Pending, wake
from .transaction import PATIENCE, Transaction, Work

_GROUP_MAX = 4096
"""Works in one transaction at most: bounds how long the first waits for the last."""
LINGER = 0.002
"""Seconds for which results that nobody waits for are gathered: changing threads for each would cost more."""

_STRICT, _GROUP = Mode.STRICT, Mode.GROUP


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
        self._line = Line()
        """Tasks that begin something when there is room."""
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
        if self._most_wait():
            await self._line.stand(self._room)
        self.raise_failure()

    async def _room(self) -> None:
        while self._most_wait():  # again: what did not wait may have finished something already
            await self._behind[0].made_way()

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
                loop.call_soon_threadsafe(wake, waiting)
