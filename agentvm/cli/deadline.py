"""`agentvm deadline`: bring a run's deadline forward, whichever process drives it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from .options import RunId, StoreUrl

if TYPE_CHECKING:
    from agentvm_runtime.records import RunRecord


def deadline(
    run: RunId,
    within: Annotated[
        str, typer.Argument(metavar="TIME", help="Time from now to the run's end, such as 30s or 5m.")
    ],
    store: StoreUrl = None,
) -> None:
    """Bring a run's deadline forward; the smaller one counts.

    Its calls that wait or run are told, within a second where another process drives it.
    """
    from agentvm.durations import readable, seconds
    from agentvm_runtime.control import OPEN

    left = seconds(within, what="TIME")
    at = time.time() + left
    record = asyncio.run(_tighten(run, at, store))
    if record.status not in OPEN:
        typer.echo(f"Run {record.id} had ended already: {record.status}.")
    elif record.deadline_at != at and record.deadline_at is not None:
        left = record.deadline_at - time.time()
        due = f"is due in {readable(left)}" if left > 0 else "was due"
        typer.echo(f"Run {record.id} {due} already: its deadline stays.")
    else:
        typer.echo(f"Run {record.id} is due in {readable(left)}.")


async def _tighten(run: str, at: float, store: str | None) -> RunRecord:
    from agentvm_runtime.control import tighten

    from .lookup import find_run, opened

    async with opened(store) as there:
        return await tighten(there, await find_run(there, run), at)
