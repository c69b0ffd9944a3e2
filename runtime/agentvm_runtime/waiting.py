"""Which runs wait for a process to drive them.

A run *waits* that is queued, that was interrupted, or that is suspended and has
been answered, and whose lease nobody holds. Finding one is no right to drive
it: who takes its lease looks again.
"""

from __future__ import annotations

from . import control
from .mailbox import mailbox_of
from .ports import Store
from .records import RunRecord, RunStatus

_ALL = 10_000_000


async def waits(store: Store, record: RunRecord) -> bool:
    """Whether a run waits that nobody drives."""
    if record.status is RunStatus.SUSPENDED:
        return not await control.questions(store, record)
    return record.status in (RunStatus.QUEUED, RunStatus.RUNNING)


class Lookout:
    """Looks for runs that wait, again and again; into a suspended run only when something was said to it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard: dict[str, int] = {}
        """Of suspended runs with open questions, the number of the last message."""

    async def look(self) -> list[RunRecord]:
        """The runs that wait now, oldest first."""
        found: list[RunRecord] = []
        for status in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.SUSPENDED):
            found += await self._store.list_runs(status=status, limit=_ALL)
        suspended = {each.id for each in found if each.status is RunStatus.SUSPENDED}
        self._heard = {run: last for run, last in self._heard.items() if run in suspended}
        waiting = [each for each in found if await self._waits(each)]
        return sorted(waiting, key=lambda each: (each.created_at, each.id))

    async def _waits(self, record: RunRecord) -> bool:
        if record.status is RunStatus.QUEUED:
            return True
        if record.status is RunStatus.RUNNING:
            return await self._store.lease_of(record.id) is None
        last = await self._store.last_seq(mailbox_of(record.id))
        if self._heard.get(record.id) == last:
            return False
        if await waits(self._store, record):
            return await self._store.lease_of(record.id) is None
        self._heard[record.id] = last
        return False
