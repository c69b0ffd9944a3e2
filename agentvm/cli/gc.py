"""`agentvm gc`: remove old runs, and what only they needed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, StoreUrl

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

_MANY = 10_000_000


def gc(
    keep_days: Annotated[
        float | None, typer.Option(min=0, help="Keep runs that ended within so many days.")
    ] = None,
    keep_last: Annotated[int | None, typer.Option(min=0, help="Keep the newest so many runs.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Remove runs that are over, the results they shared, and the values that no run needs any more.

    Runs that are under way, suspended, in doubt or interrupted are kept, and so is all that a kept run was
    forked from. It is safe while runs are going on.
    """
    from agentvm_compiler.errors import InputError

    if keep_days is None and keep_last is None:
        raise InputError(
            "Say what to keep: --keep-days N, --keep-last N, or both (a run stays if either keeps it)."
        )
    found = asyncio.run(_collect(store, keep_days, keep_last, dry_run))
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found))
        return
    for each in found["runs"]:
        typer.echo(each)
    what = "would be removed" if dry_run else "removed"
    more = "" if dry_run else f", {found['values']} values, {found['memo']} shared results{_size(found)}"
    typer.echo(f"{len(found['runs'])} runs {what}{more}; {found['kept']} kept.", err=True)


async def _collect(
    url: str | None, keep_days: float | None, keep_last: int | None, dry_run: bool
) -> dict[str, Any]:
    from agentvm_runtime.retention import Policy, expendable

    from .lookup import opened

    async with opened(url) as store:
        runs = await store.list_runs(limit=_MANY)
        chosen = [each.id for each in expendable(runs, Policy(keep_days, keep_last), time.time())]
        before = _bytes(store)
        found: dict[str, Any] = {"runs": chosen, "kept": len(runs) - len(chosen)}
        if dry_run:
            return found
        done = await store.collect(chosen)
    found = {"runs": list(done.runs), "kept": len(runs) - len(done.runs)}
    return {**found, "values": done.values, "memo": done.memo, "bytes": [before, _bytes(store)]}


def _bytes(store: Store) -> int | None:
    """Size of the store's file, if it is one."""
    path = getattr(store, "path", None)
    return path.stat().st_size if isinstance(path, Path) else None


def _size(found: dict[str, Any]) -> str:
    before, after = found["bytes"]
    return "" if before is None else f"; the file has {after / 1e6:.1f} MB, before {before / 1e6:.1f} MB"
