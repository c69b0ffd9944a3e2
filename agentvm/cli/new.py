"""`agentvm new`: begin a project."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def new(
    folder: Annotated[
        Path, typer.Argument(metavar="NAME", help="The project's folder; its name names the agent.")
    ],
) -> None:
    """Write a new project: an agent, its test, a Makefile.

    Example: agentvm new my-agent
    """
    from agentvm.scaffold import create

    for path in create(folder):
        print(path)
    print(f"\nNext: cd {shlex.quote(str(folder))} && make test && make run")
