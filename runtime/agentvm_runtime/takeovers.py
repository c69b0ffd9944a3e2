"""Takeovers: a run whose process died is driven by another one, but not for ever.

A run may kill every process that drives it, by taking all the memory, say, or as
soon as its code is loaded. So each takeover is journaled before anything of the
run's is touched; after so many in a row without a new result the run is set aside
until a person resumes it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from .errors import RunSetAside, StoreError
from .heartbeat import LEASE_SECONDS, beside, heartbeat
from .ports import Store
from .records import Event, EventKind, Lease, RunRecord, RunStatus
from .values import digest, encode
from .waiting import waits

DEATHS = 5
"""Processes that may die driving a run, one after the other, unless somebody says another number."""
DIED = "died"
"""In the detail of a resumption by a worker: the process that died before it."""
TAKEN = "taken"
"""In the detail of a resumption by a worker: that nobody asked for it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that waited for a process, in the hands of this one."""

    record: RunRecord
    lease: Lease
    """Held."""

    @property
    def said(self) -> bool:
        """Whether the journal says already that the run goes on."""
        return bool(self.lease.after)

    @property
    def detail(self) -> dict[str, Any]:
        """What the journal is to say of it."""
        return {DIED: self.lease.after} if self.lease.after else {TAKEN: True}


@asynccontextmanager
async def kept(store: Store, claim: Claim) -> AsyncIterator[None]:
    """Renew the lease while something takes its time. Raises RunLeased if it was lost."""
    async with beside(partial(heartbeat, store, claim.lease)):
        yield


@asynccontextmanager
async def claimed(store: Store, run_id: str, most: int) -> AsyncIterator[Claim | None]:
    """Take a run if it waits for a process; None if it does not.

    The lease is given back if what is done with the claim fails, and else is its own.

    Args:
        most: how many processes in a row may have died driving it without a new result; 0 is no limit.

    Raises:
        RunLeased: another process is driving it.
        RunSetAside: too many have died; it has failed now.
    """
    from .store import this_holder

    lease = await store.acquire_lease(run_id, this_holder(), LEASE_SECONDS)
    try:
        record = await store.get_run(run_id)  # another process may have driven it until now
        claim = Claim(record, lease) if record is not None and await waits(store, record) else None
        if claim is not None and claim.said:
            await _refuse_deadly(store, claim, most)
            await _say(store, claim)
        yield claim
    except BaseException:
        await _release(store, lease)
        raise
    if claim is None:
        await _release(store, lease)


async def _release(store: Store, lease: Lease) -> None:
    with anyio.CancelScope(shield=True), suppress(StoreError):  # it ends by itself then
        await store.release_lease(lease)


async def _say(store: Store, claim: Claim) -> None:
    """Record durably that another process has the run now."""
    now = time.time()
    event = Event(EventKind.RESUMED, "", started_at=now, finished_at=now, detail=claim.detail)
    await store.append(claim.record.id, event, holder=claim.lease.holder).wait()


def deaths(journal: Sequence[Event]) -> int:
    """How many processes died in a row, before the last one did, without a new result or somebody's help."""
    count = 0
    for event in reversed(journal):
        if event.kind is EventKind.RESUMED:
            if DIED in event.detail:
                count += 1
            elif TAKEN not in event.detail:
                break
        elif event.kind in (EventKind.DONE, EventKind.FAILED, EventKind.ASKED) and event.value is not None:
            break
    return count


async def _refuse_deadly(store: Store, claim: Claim, most: int) -> None:
    """Set a run aside if `most` processes in a row have died driving it. Raises RunSetAside if it was."""
    record, lease = claim.record, claim.lease
    count = 1 + deaths(await store.events(record.id))
    if count < most or not most:
        return
    from .store.leases import who

    error = RunSetAside(
        f"Run {record.id} was set aside: {count} processes in a row died driving it, without a new result "
        f"(the last was {who(lease.after)}). See in their logs, or in the system's, what ended them; "
        f"then go on with it: agentvm resume {record.id} --retry"
    )
    data = encode(error)
    now = time.time()
    await store.set_status(
        record.id,
        RunStatus.FAILED,
        error=digest(data),
        finished_at=now,
        values={digest(data): data},
        holder=lease.holder,
    ).wait()
    raise error
