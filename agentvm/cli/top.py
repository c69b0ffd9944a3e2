"""`agentvm top`: runs and the scheduler, live in a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, StoreUrl

if TYPE_CHECKING:
    from agentvm.top.rows import Snapshot
    from agentvm.top.sources import Source
    from agentvm.top.state import State

PLAIN_WIDTH = 160
"""Columns where there is no terminal."""


def top(
    store: StoreUrl = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Look through `agentvm serve` instead, with the token in AGENTVM_TOKEN: http://127.0.0.1:8000",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With a store: the engine's metrics, http://HOST:PORT/metrics",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="What comes first: status, slack, time, tokens, cost, started or agent.")
    ] = "status",
    active: Annotated[bool, typer.Option("--active", help="Leave out runs that are over.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=300, help="How many runs, the newest.")] = 100,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, print it, and end.")] = False,
    json: Json = False,
) -> None:
    """Watch runs and the scheduler, live: state, deadlines, slack, tokens, cost, goodput.

    Keys: arrows move, Enter shows a run's nodes, s sorts, r reverses, a leaves out what is over, / filters,
    c cancels (it asks first), q quits. Where output is no terminal it prints one look, as with --once.
    """
    from agentvm.top.keys import readable_terminal
    from agentvm.top.rows import SORTS
    from agentvm_compiler.errors import InputError

    if sort not in SORTS:
        raise InputError(f"--sort {sort}: use one of {', '.join(SORTS)}.")
    if server is not None and (store is not None or metrics is not None):
        raise InputError("--server has its own store and engine: leave --store and --metrics out.")
    for option, url in (("--server", server), ("--metrics", metrics)):
        if url is not None and not url.startswith(("http://", "https://")):
            raise InputError(f"{option} {url}: a whole URL is needed, such as http://127.0.0.1:8000")
    plain = once or json or not readable_terminal() or os.environ.get("TERM") == "dumb"
    asyncio.run(_watch(store, server, metrics, sort, active, limit, every, plain, json))


async def _watch(
    store: str | None,
    server: str | None,
    metrics: str | None,
    sort: str,
    active: bool,
    limit: int,
    every: float,
    plain: bool,
    json: bool,
) -> None:
    from agentvm.top.app import App
    from agentvm.top.state import State

    async with _source(store, server, metrics, limit) as source:
        state = State(await source.look(), sort, active=active)
        if json:
            _print_json(state.seen)
        elif plain:
            _print(state)
        else:
            await App(source, state, every).run()


@asynccontextmanager
async def _source(
    store: str | None, url: str | None, metrics: str | None, limit: int
) -> AsyncIterator[Source]:
    from agentvm.config import default_store
    from agentvm.top.sources import StoreSource, server

    from .lookup import opened
    from .serve import TOKEN_VARIABLE

    if url is not None:
        async with server(url, os.environ.get(TOKEN_VARIABLE), limit) as found:
            yield found
    else:
        async with opened(store) as there:
            yield StoreSource(there, store or default_store(), limit, metrics)


def _print_json(seen: Snapshot) -> None:
    import json

    print(json.dumps(seen.as_json(), ensure_ascii=False))


def _print(state: State) -> None:
    from rich.console import Console

    from agentvm.top.screen import heading, run_table

    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for line in heading(state):
        console.print(line)
    console.print(run_table(state, console.width))
