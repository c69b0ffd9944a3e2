"""`agentvm memo`: the results that runs share with each other."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, StoreUrl

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import MemoEntry

app = typer.Typer(no_args_is_help=True, help="The results that runs share with each other.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="An execution key, or its beginning if unique.")]


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """List shared results, newest first."""
    found = asyncio.run(_list(store, limit))
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found, ensure_ascii=False))
    elif not found:
        typer.echo(
            "No results are shared yet: greedy model calls, pure tools and reads with a ttl are.", err=True
        )
    else:
        _table(found)


@app.command("show")
def show(key: Key, store: StoreUrl = None, json: Json = False) -> None:
    """Show one shared result: its value, who computed it, and until when it counts."""
    found = asyncio.run(_show(store, key))
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found, ensure_ascii=False))
        return
    from .report import shown

    for name in ("key", "from", "created", "expires"):
        typer.echo(f"{name:<9}{found[name]}")
    typer.echo(f"\n{shown(found['value'])}")


@app.command("rm")
def rm(key: Key, store: StoreUrl = None) -> None:
    """Remove a shared result: the next run that needs it does the work anew.

    Runs that used it keep it in their journals.
    """
    typer.echo(f"removed {asyncio.run(_remove(store, key))}", err=True)


async def _list(url: str | None, limit: int) -> list[dict[str, Any]]:
    from .lookup import opened

    async with opened(url) as store:
        return [_row(each) for each in await store.memos(limit=limit)]


async def _show(url: str | None, key: str) -> dict[str, Any]:
    from agentvm.views.jsonable import jsonable
    from agentvm_runtime.values import decode

    from .lookup import find_run, opened

    async with opened(url) as store:
        entry = await _find(store, key)
        data = (await store.values([entry.value])).get(entry.value)
        try:
            value = None if data is None else decode(data)
        except Exception:
            from agentvm.loading import find_agent

            record = await find_run(store, entry.run_id)
            find_agent(record.agent, record.meta.get("file"))
            value = None if data is None else decode(data)
    return {**_row(entry), "value": jsonable(value)}


async def _remove(url: str | None, key: str) -> str:
    from .lookup import opened

    async with opened(url) as store:
        entry = await _find(store, key)
        await store.forget(entry.key)
    return entry.key


async def _find(store: Store, key: str) -> MemoEntry:
    from agentvm_compiler.errors import InputError

    found = await store.memos(key, limit=2) if key.isalnum() else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"Several keys begin with {key!r}. Give more of it.")
    raise InputError(f"There is no shared result {key!r} in this store. See them: agentvm memo ls")


def _row(entry: MemoEntry) -> dict[str, Any]:
    expires = entry.expires_at
    return {
        "key": entry.key,
        "from": f"{entry.run_id}/{entry.path}",
        "created": _moment(entry.created_at),
        "expires": "never" if expires is None else _moment(expires),
        "expired": expires is not None and expires <= time.time(),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")


def _table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("key", "from", "created", "expires"):
        table.add_column(name, overflow="fold")
    for row in found:
        expires = f"{row['expires']} (expired)" if row["expired"] else row["expires"]
        table.add_row(row["key"], row["from"], row["created"], expires)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
