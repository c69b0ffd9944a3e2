"""`agentvm doctor`: is everything there that a run needs, and how to mend what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import Exit
from .options import Json, StoreUrl

_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


def doctor(
    store: StoreUrl = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Copy the runs of the SQLite store that can be read whole to this new file."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check Python, engine, accelerator, models and store, and say how to mend each."""
    from agentvm import doctor
    from agentvm.config import default_store

    url = store or default_store()
    checks = doctor.diagnose(url) if save is None else [doctor.save(url, save)]
    if json:
        import json as encoder

        rows = [
            {"name": each.name, "status": each.status, "detail": each.detail, "remedy": each.remedy}
            for each in checks
        ]
        typer.echo(encoder.dumps(rows))
    else:
        width = max(len(each.name) for each in checks)
        for each in checks:
            text, colour = _MARKS.get(str(each.status), (str(each.status), "red"))
            typer.echo(f"{typer.style(f'{text:<4}', fg=colour)}  {each.name:<{width}}  {each.detail}")
            if each.remedy:
                indent = " " * (width + 8)
                typer.echo(indent + each.remedy.replace("\n", f"\n{indent}"))
    if any(str(each.status) == "fail" for each in checks):
        raise typer.Exit(Exit.FAILED)
