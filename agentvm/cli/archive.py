"""`agentvm export` and `agentvm import`: a run as a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from .options import RunId, StoreUrl


def export(
    run: RunId,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: RUN.avmrun.gz.")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Write a run into one file: its journal and values, and those of the runs it was forked from.

    The file has a checksum. It is not encrypted, even if the store is.
    """
    path, size = asyncio.run(_export(run, output, store))
    typer.echo(path)
    typer.echo(
        f"{size / 1e6:.2f} MB, not encrypted. Read it elsewhere with: agentvm import {path.name}", err=True
    )


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `agentvm export` wrote.")],
    store: StoreUrl = None,
) -> None:
    """Put an exported run into a store, where it can be shown, resumed, forked and compared."""
    new = asyncio.run(_import(file, store))
    for each in new:
        typer.echo(each)
    if not new:
        typer.echo("Nothing new: the store has all its runs already.", err=True)


async def _export(run: str, output: Path | None, url: str | None) -> tuple[Path, int]:
    from agentvm.archive import write_archive

    from .lookup import find_run, opened

    async with opened(url) as store:
        record = await find_run(store, run)
        path = output or Path(f"{record.id}.avmrun.gz")
        return path, await write_archive(store, record, path)


async def _import(file: Path, url: str | None) -> list[str]:
    from agentvm.archive import read_archive

    from .lookup import opened

    async with opened(url) as store:
        return [each.id for each in await read_archive(store, file)]
