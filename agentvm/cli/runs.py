"""`agentvm runs`: the runs of a store, newest first."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, StoreUrl, resume_command

if TYPE_CHECKING:
    from agentvm_runtime.records import RunStatus


def runs(
    store: StoreUrl = None,
    agent: Annotated[str | None, typer.Option(help="Only runs of this agent (module:name).")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only runs that stand so: completed, failed, interrupted, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    found = asyncio.run(_rows(store, agent, status, limit))
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found, ensure_ascii=False))
    elif not found:
        typer.echo("No runs yet. Start one: agentvm run FILE.py:AGENT", err=True)
    else:
        _table(found)


async def _rows(url: str | None, agent: str | None, status: str | None, limit: int) -> list[dict[str, Any]]:
    from agentvm.views.standing import INTERRUPTED, status_of
    from agentvm_runtime.records import EventKind

    from .lookup import opened

    wanted = _wanted(status)
    rows: list[dict[str, Any]] = []
    async with opened(url) as store:
        for record in await store.list_runs(agent=agent, status=wanted, limit=limit):
            stands = await status_of(store, record)
            if status is not None and stands != status:
                continue
            events = await store.events(record.id)
            row: dict[str, Any] = {
                "run": record.id,
                "agent": record.agent,
                "status": stands,
                "nodes_done": sum(each.kind is EventKind.DONE for each in events),
                "started_at": record.created_at,
                "finished_at": record.finished_at,
                "deadline_at": record.deadline_at,
                "parent": record.parent,
            }
            if stands == INTERRUPTED:
                row["resume"] = resume_command(record.id, url)
            rows.append(row)
    return rows


def _wanted(status: str | None) -> RunStatus | None:
    from agentvm.views.standing import INTERRUPTED
    from agentvm_compiler.errors import InputError
    from agentvm_runtime.records import RunStatus

    if status is None:
        return None
    if status == INTERRUPTED:
        return RunStatus.RUNNING
    try:
        return RunStatus(status)
    except ValueError:
        known = ", ".join([*RunStatus, INTERRUPTED])
        raise InputError(f"--status {status}: there is no such status. Use one of {known}.") from None


def _table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from agentvm.durations import readable

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "agent", "status", "nodes", "started", "time"):
        table.add_column(name, no_wrap=name != "agent", overflow="fold")
    for row in found:
        ended = row["finished_at"]
        table.add_row(
            row["run"],
            row["agent"],
            row["status"],
            str(row["nodes_done"]),
            datetime.fromtimestamp(row["started_at"]).strftime("%b %d %H:%M"),
            readable(ended - row["started_at"]) if ended else "",
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    stopped = [row["resume"] for row in found if "resume" in row]
    if stopped:
        typer.echo("Interrupted runs go on with:", err=True)
        for command in stopped:
            typer.echo(f"  {command}", err=True)
