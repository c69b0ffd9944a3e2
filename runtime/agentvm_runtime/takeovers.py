"""Takeovers: a run whose process died is driven by another one, but not for ever.

A run may kill every process that drives it, by taking all the memory, say. Each
takeover is journaled; after so many in a row without a new result the run is set
aside until a person resumes it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from .errors import RunSetAside
from .ports import Store
from .records import Event, EventKind, Lease, RunRecord, RunStatus
from .values import digest, encode

DEATHS = 5
"""Processes that may die driving a run, one after the other, unless somebody says another number."""
DIED = "died"
"""In the detail of a resumption by a worker: the process that died before it."""


def deaths(journal: Sequence[Event]) -> int:
    """How many processes died in a row, before the last one did, without a new result or somebody's help."""
    count = 0
    for event in reversed(journal):
        if event.kind is EventKind.RESUMED:
            if DIED not in event.detail:
                break
            count += 1
        elif event.kind in (EventKind.DONE, EventKind.FAILED, EventKind.ASKED) and event.value is not None:
            break
    return count


async def refuse_deadly(store: Store, record: RunRecord, lease: Lease, most: int) -> None:
    """Set a run aside whose lease is held, if `most` processes in a row have died driving it; 0 is no limit.

    Raises:
        RunSetAside: it was.
    """
    if not lease.after or not most:
        return
    count = 1 + deaths(await store.events(record.id))
    if count < most:
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
