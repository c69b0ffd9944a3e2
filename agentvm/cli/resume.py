"""`agentvm resume`: go on with a run that was interrupted or has failed."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from .options import BudgetText, Durability, Json, Prices, RunId, StoreUrl, budget_of

if TYPE_CHECKING:
    from agentvm.handle import Run
    from agentvm.vm import AgentVM


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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be kept and what done again, and do nothing."),
    ] = False,
    budget: BudgetText = None,
    prices: Prices = None,
    llm: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The model, as for `agentvm run`. Default: the run's own."),
    ] = None,
    store: StoreUrl = None,
    durability: Durability = None,
    json: Json = False,
) -> None:
    """Go on with a run; what its journal has is not executed again.

    A finished run executes nothing and prints its answer again. After a change of the code, results that
    still stand are kept, the rest is done again, and both are said before it begins.
    """
    from agentvm.loading import find_agent, load_agent

    from .driving import clean_stdout, drive
    from .lookup import read_run

    with clean_stdout(json) as out:
        limits = budget_of(budget, prices)
        record = asyncio.run(read_run(run, store))
        found = load_agent(agent) if agent else find_agent(record.agent, record.meta.get("file"))
        spec = llm or record.meta.get("llm")
        if dry_run:
            asyncio.run(_rehearse(record.id, found, retry, store, spec, json, out))
            return

        async def begin(vm: AgentVM) -> Run:
            expected = await vm.preview(record.id, agent=found, retry=retry)
            if expected is not None and expected.edited:
                print(f"The code has changed: {expected.summary}", file=sys.stderr)
            return await vm.resume(record.id, agent=found, retry=retry, budget=limits)

        code = drive(begin, store=store, llm=spec, durability=durability, as_json=json, out=out)
    raise typer.Exit(code)


async def _rehearse(
    run: str, agent: Any, retry: bool, store: str | None, llm: str | None, json: bool, out: TextIO
) -> None:
    from agentvm.config import default_llm, default_store
    from agentvm.vm import AgentVM

    async with AgentVM(store=store or default_store(), llm=llm or default_llm()) as vm:
        found = await vm.preview(run, agent=agent, retry=retry)
    if json:
        import json as encoder

        print(
            encoder.dumps({"run": run, **(found.document() if found else {})}, ensure_ascii=False), file=out
        )
    elif found is None:
        print(f"Run {run} has ended: nothing would be executed.", file=out)
    else:
        print("\n".join(found.lines()), file=out)
