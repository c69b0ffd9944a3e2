"""`agentvm resume`: go on with a run that was interrupted or has failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, RunId, StoreUrl

if TYPE_CHECKING:
    from agentvm.vm import AgentVM, Run


def resume(
    run: RunId,
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:AGENT", help="Where the agent is now, if its file was moved or renamed."
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try a failed run again from where it failed.")
    ] = False,
    llm: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The model, as for `agentvm run`. Default: the run's own."),
    ] = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Go on with a run; what its journal has is not executed again.

    A finished run executes nothing and prints its answer again.
    """
    from agentvm.loading import find_agent, load_agent

    from .driving import clean_stdout, drive
    from .lookup import read_run

    with clean_stdout(json) as out:
        record = asyncio.run(read_run(run, store))
        found = load_agent(agent) if agent else find_agent(record.agent, record.meta.get("file"))

        async def begin(vm: AgentVM) -> Run:
            return await vm.resume(record.id, agent=found, retry=retry)

        code = drive(begin, store=store, llm=llm or record.meta.get("llm"), as_json=json, out=out)
    raise typer.Exit(code)
