"""`agentvm worker`: drive the runs of a store that wait for a process."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit
from .options import Durability, StoreUrl

if TYPE_CHECKING:
    from agentvm.worker import Agents, Options


def worker(
    agents: Annotated[
        list[Path] | None,
        typer.Option(
            "--agents",
            metavar="FILE.py",
            help="Take agents of this file's from it, wherever the file was when a run was started. "
            "May be given several times.",
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The model of all runs. Default: of each run its own."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many runs are driven at once.")] = 8,
    interval: Annotated[
        str, typer.Option(metavar="DURATION", help="Time between two looks; up to 8 times that while idle.")
    ] = "500ms",
    give_up_after: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Set a run aside when so many processes in a row have died driving it. 0: never.",
        ),
    ] = 5,
    once: Annotated[bool, typer.Option("--once", help="End when no run waits any more.")] = False,
    store: StoreUrl = None,
    durability: Durability = None,
) -> None:
    """Drive queued runs, interrupted ones, and suspended ones that have been answered.

    Any number of workers may share a store: each run has one process at a time. SIGTERM and SIGINT stop a
    worker; its runs then wait for the next one. What happens is said on standard error, a line each.
    """
    from agentvm.durations import seconds
    from agentvm.worker import Agents, Options

    from .driving import stoppable

    options = Options(
        llm=llm,
        concurrency=concurrency,
        interval=seconds(interval, what="--interval"),
        deaths=give_up_after,
        once=once,
    )
    found = Agents(agents or [])
    code = stoppable(lambda: _work(store, durability, found, options), lambda: _say("worker stopped"))
    raise typer.Exit(Exit.DONE if code is None else code)


async def _work(url: str | None, durability: str | None, agents: Agents, options: Options) -> int:
    from agentvm.worker import Worker
    from agentvm_compiler.errors import ConfigError

    from .lookup import opened

    async with opened(url, durability) as store:
        if not store.shared:
            raise ConfigError("A worker needs a store that other processes use, too. Give another --store.")
        _say("worker started")
        await Worker(store, agents, options, _say).work()
    return Exit.DONE


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
