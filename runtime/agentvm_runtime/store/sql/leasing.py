"""Leases: which process may write to a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import (
    Lease,
)
from agentvm_runtime.store import leases, rows
from agentvm_runtime.store import statements as sql
from agentvm_runtime.store.transaction import Transaction

from .access import Access
from .reading import Reader


class Leases(Access):
    """The leases of runs."""

    async def acquire_lease(self, run_id: str, holder: str, ttl: float) -> Lease:
        self._take_up(holder)
        had = False

        def decide(old: Lease | None, now: float) -> Lease:
            nonlocal had
            had = old is not None and old.holder == holder
            return leases.granted(old, run_id, holder, ttl, now)

        try:
            return await self._lease(run_id, decide)
        except asyncio.CancelledError:
            # Nobody hears that it is taken, but it would keep everybody away until it expires.
            row = {"run_id": run_id, "holder": holder}
            with suppress(StoreError):  # it is closed, or cannot be written: then nothing was taken
                self._submit(lambda transaction: None if had else transaction.execute(sql.DROP_LEASE, row))
            raise

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        self._take_up(lease.holder)
        return await self._lease(lease.run_id, lambda old, now: leases.renewed(old, lease, ttl, now))

    def _take_up(self, holder: str) -> None:
        self._holders.add(holder)
        leases.take_up(holder)

    async def _lease(self, run_id: str, decide: Callable[[Lease | None, float], Lease]) -> Lease:
        free = rows.lease_row(Lease(run_id, "", 0.0))

        def work(transaction: Transaction) -> Lease:
            # A row must be there to be held, so that of two processes one waits for the other.
            added = transaction.execute(sql.ADD_LEASE, free) > 0
            row = transaction.row(sql.HOLD_LEASE, {"run_id": run_id})
            recorded = None if added or row is None else rows.lease_of(row)
            new = decide(recorded, self._now(transaction))
            transaction.held.clear()
            transaction.execute(sql.PUT_LEASE, rows.lease_row(new))
            return new

        pending = self._opened().submit_aside(work)
        await pending.wait()
        lease: Lease = pending.result
        return lease

    async def release_lease(self, lease: Lease) -> None:
        row = {"run_id": lease.run_id, "holder": lease.holder}
        # Behind all results, which without the lease would be refused.
        await self._submit(lambda transaction: transaction.execute(sql.DROP_LEASE, row)).wait()
        self._holders.discard(lease.holder)

    async def lease_of(self, run_id: str) -> Lease | None:
        def work(reader: Reader) -> Lease | None:
            row = reader.row(sql.GET_LEASE, {"run_id": run_id})
            lease = None if row is None else rows.lease_of(row)
            return lease if leases.in_force(lease, self._now(reader)) else None

        # Who takes a lease waits until it is written: nothing on its way concerns the answer.
        return await self._glance(work)


def check_held(transaction: Transaction, run_id: str, holder: str | None) -> None:
    """Raises RunLeased if there must be a holder of the run's lease and it is not this one.

    Looked up once in a transaction, and kept from changing until its end.
    """
    if holder is None or transaction.held.get(run_id) == holder:
        return
    row = transaction.row(sql.HOLD_LEASE, {"run_id": run_id})
    leases.check_held(None if row is None else rows.lease_of(row), run_id, holder)
    transaction.held[run_id] = holder
