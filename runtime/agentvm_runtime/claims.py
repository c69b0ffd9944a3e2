"""Single flight across processes: a claim on work that others may be doing too.

A *claim* is a lease on an execution key. Who holds it does the work and leaves
the result in the memo; others wait for that, and take over when the holder lets
go or is dead. A model call is claimed before it starts. Other work is claimed
once it has taken longer than `PATIENCE`, since a claim is a write to the disk:
two processes may then begin the same work, and one of them stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio

from .errors import RunLeased, StoreError
from .ports import Store
from .records import Lease

T = TypeVar("T")

PREFIX = "work:"
"""Of a claim's name among the leases; what follows is the execution key."""
TTL = 15.0
"""Seconds a claim holds without a heartbeat."""
PATIENCE = 0.03
"""Seconds of work after which it is claimed."""
POLL, POLL_MAX = 0.02, 0.5
"""Seconds between looks for another's result, at first and at most."""


class Claimed(Exception):
    """Another process is doing the work; it was not begun here, or was cancelled."""


class Claim:
    """The claim of one process on one piece of work."""

    def __init__(self, store: Store, key: str, holder: str) -> None:
        self._store = store
        self._name = PREFIX + key
        self._holder = holder
        self._lease: Lease | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._scope = anyio.CancelScope()

    async def acquire(self) -> None:
        """Take it now. Raises Claimed."""
        try:
            self._lease = await self._store.acquire_lease(self._name, self._holder, TTL)
        except RunLeased:
            raise Claimed from None

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work; claim it if it takes long, and hold the claim until it is done.

        Raises:
            Claimed: another process took it.
            BaseException: what the work raised.
        """
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._start_keeping)
        done: list[T] = []
        try:
            with self._scope:
                done.append(await work())
        finally:
            timer.cancel()
            await self._let_go()
        if not done:
            raise Claimed
        return done[0]

    def _start_keeping(self) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        try:
            if self._lease is None:
                await self.acquire()
            while self._lease is not None:
                await anyio.sleep(TTL / 3)
                self._lease = await self._store.renew_lease(self._lease, TTL)
        except (Claimed, RunLeased):
            self._lease = None
            self._scope.cancel()
        except StoreError:
            return  # whoever writes the result will hear of it

    async def _let_go(self) -> None:
        with anyio.CancelScope(shield=True):
            if self._keeper is not None:
                self._keeper.cancel()
                with suppress(asyncio.CancelledError):
                    await self._keeper
            if self._lease is not None:
                with suppress(StoreError):
                    await self._store.release_lease(self._lease)
