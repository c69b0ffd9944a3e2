"""Where a run stands, told from its record and its lease."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agentvm_runtime.records import RunRecord, RunStatus

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

INTERRUPTED = "interrupted"
"""Shown for a run that is recorded as running but that nobody drives."""


async def status_of(store: Store, record: RunRecord) -> str:
    """The run's status, or `interrupted` where nobody drives it."""
    if record.status is not RunStatus.RUNNING:
        return str(record.status)
    lease = await store.lease_of(record.id)
    return str(record.status) if lease is not None and lease.expires_at > time.time() else INTERRUPTED
