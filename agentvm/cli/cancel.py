"""`agentvm cancel`: stop a run for good, whichever process drives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from .options import RunId, StoreUrl

if TYPE_CHECKING:
    from agentvm_runtime.records import RunRecord


def cancel(run: RunId, store: StoreUrl = None) -> None:
    """Stop a run for good; returns when it has stopped.

    What it has done is kept, and nothing is written after that. A run that has ended stays as it is.
    """
    from agentvm_runtime.records import RunStatus

    record = asyncio.run(_cancel(run, store))
    if record.status is RunStatus.CANCELLED:
        typer.echo(f"Run {record.id} is cancelled.")
    else:
        typer.echo(f"Run {record.id} had ended already: {record.status}.")


async def _cancel(run: str, store: str | None) -> RunRecord:
    from agentvm_runtime.control import cancel

    from .lookup import find_run, opened

    async with opened(store) as there:
        return await cancel(there, await find_run(there, run))
