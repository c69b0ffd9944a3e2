"""Beside a run: its lease is renewed as long as a process has it in hand.

Whoever takes a run keeps its lease from then on, be it that the run's code is
only being loaded: a lease that runs out says that its holder has died.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from .errors import Halt, is_failure
from .ports import Store
from .records import Lease

LEASE_SECONDS = 15.0
"""How long a lease holds without a heartbeat."""


async def heartbeat(store: Store, lease: Lease) -> None:
    """Renew the lease for ever. Raises RunLeased if another process has taken it."""
    while True:
        await anyio.sleep(LEASE_SECONDS / 3)
        lease = await store.renew_lease(lease, LEASE_SECONDS)


@asynccontextmanager
async def beside(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do these works while inside; if one of them fails, stop with what it raised."""
    lost: list[BaseException] = []

    async def watch(work: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await work()
        except Exception as error:
            lost.append(error)
            scope.cancel()

    failed: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            for each in works:
                tasks.start_soon(watch, each, scope)
            try:
                yield
            except BaseException as error:
                if not (is_failure(error) or isinstance(error, Halt)):
                    raise
                failed = error  # not through the task group, which would wrap it
        tasks.cancel_scope.cancel()
    if lost:
        raise lost[0]
    if failed is not None:
        raise failed
