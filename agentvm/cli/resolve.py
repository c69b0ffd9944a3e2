"""`agentvm resolve`: say what became of a write that was under way when its process died."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import RunId, StoreUrl, resume_command

if TYPE_CHECKING:
    from agentvm_runtime.control import Settlement


def resolve(
    run: RunId,
    node: Annotated[
        str | None, typer.Argument(metavar="NODE", help="The write, as the run names it; needed if several.")
    ] = None,
    done: Annotated[
        str | None,
        typer.Option("--done", metavar="VALUE", help="It happened, and this is its result: JSON, else text."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="It did not happen: do it when resumed.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Give the run up.")] = False,
    store: StoreUrl = None,
) -> None:
    """Settle a write in doubt, so that its run can be resumed.

    Example: agentvm resolve 1122-0827 book#1 --done '{"seat": "12A"}'
    """
    from agentvm_compiler.errors import InputError
    from agentvm_runtime.control import Settlement

    chosen = {Settlement.DONE: done is not None, Settlement.RETRY: retry, Settlement.ABORT: abort}
    given = [each for each, wanted in chosen.items() if wanted]
    if len(given) != 1:
        raise InputError("Say what became of the write: one of --done VALUE, --retry and --abort.")
    run_id, path = asyncio.run(_resolve(run, node, given[0], _value(done), store))
    if given[0] is Settlement.ABORT:
        typer.echo(f"Run {run_id} is cancelled.")
    else:
        typer.echo(f"{path} is settled. Go on with: {resume_command(run_id, store)}")


async def _resolve(
    run: str, node: str | None, settlement: Settlement, value: Any, store: str | None
) -> tuple[str, str]:
    from agentvm_runtime.control import resolve

    from .lookup import find_run, opened

    async with opened(store) as there:
        record = await find_run(there, run)
        return record.id, await resolve(there, record, node, settlement, value)


def _value(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
