"""`agentvm models`: the small models that can be fetched by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .exits import Exit
from .options import Json

app = typer.Typer(no_args_is_help=True, help="Fetch and list small models.")


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="The model's name; see `agentvm models list`.")]) -> None:
    """Download a model into the user's cache folder, check and convert it; prints its folder."""
    from agentvm.models import fetch as fetch_model

    try:
        with _bar(name) as progress:
            folder = fetch_model(name, progress)
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. Fetch it again: agentvm models fetch {name}", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
    typer.echo(str(folder))


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the models that can be fetched, and where those are that have been."""
    from agentvm.models import listing

    found = listing()
    if json:
        import json as encoder

        rows = [
            {
                "name": each.name,
                "about": each.about,
                "license": each.license,
                "path": str(each.path) if each.path else None,
                "bytes": each.bytes,
            }
            for each in found
        ]
        typer.echo(encoder.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "size", "license", "about", "where"):
        table.add_column(column, overflow="fold")
    for each in found:
        where = str(each.path) if each.path else f"not fetched: agentvm models fetch {each.name}"
        table.add_row(each.name, f"{each.bytes / 1e6:.0f} MB", each.license, each.about, where)
    Console().print(table)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on a terminal, a line for each stage elsewhere; on standard error."""
    if not sys.stderr.isatty():
        yield _stage_lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=1.0)

        def tell(stage: str, fraction: float) -> None:
            bars.update(task, description=f"{name}: {stage}", completed=fraction)

        yield tell


def _stage_lines(name: str) -> Callable[[str, float], None]:
    last: list[str] = []

    def tell(stage: str, fraction: float) -> None:
        if last[-1:] != [stage]:
            last.append(stage)
            typer.echo(f"{name}: {stage}", err=True)

    return tell
