"""`agentvm run`: start an agent and see it through."""

from __future__ import annotations

import asyncio
import json as encoder
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import BudgetText, Durability, Json, Llm, NoMemo, Prices, StoreUrl, Target, budget_of

if TYPE_CHECKING:
    from agentvm.handle import Run


def run(
    target: Target,
    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input; JSON where it is not text."),
    ] = None,
    input_json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A JSON object of inputs; - for standard input.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Time for the whole run: 30s, 5m.")
    ] = None,
    on_deadline: Annotated[
        str | None, typer.Option(metavar="WHAT", help="When it is missed: cancel or best_effort.")
    ] = None,
    budget: BudgetText = None,
    prices: Prices = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="How many of its calls may be under way at once.")
    ] = None,
    llm: Llm = None,
    no_memo: NoMemo = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Leave the run to a worker (agentvm worker); prints its id.")
    ] = False,
    store: StoreUrl = None,
    durability: Durability = None,
    json: Json = False,
) -> None:
    """Run an agent; prints its answer.

    Example: agentvm run research.py:research -i question="Why is the sky dark?" --deadline 30s

    The agent may also be one compiled earlier: agentvm run research.avm.json -i ...
    """
    from agentvm.durations import optional_seconds
    from agentvm.inputs import as_call
    from agentvm.loading import bind_inputs, load_agent
    from agentvm.vm import AgentVM

    from .driving import clean_stdout, drive

    with clean_stdout(json) as out:
        seconds = optional_seconds(deadline, what="--deadline")
        limits = budget_of(budget, prices)
        agent = load_agent(target)
        args, kwargs = as_call(agent, bind_inputs(agent, inputs or [], input_json))

        options: dict[str, Any] = {
            "deadline": seconds,
            "on_deadline": on_deadline,
            "budget": limits,
            "concurrency": concurrency,
            "memo": not no_memo,
        }

        async def enqueue() -> str:
            async with AgentVM(store=store, llm=llm) as vm:
                return await vm.enqueue(agent, *args, **options, **kwargs)

        if queue:
            run_id = asyncio.run(enqueue())
            print(encoder.dumps({"run": run_id, "status": "queued"}) if json else run_id, file=out)
            return

        async def begin(vm: AgentVM) -> Run:
            return await vm.start(agent, *args, **options, **kwargs)

        code = drive(begin, store=store, llm=llm, durability=durability, as_json=json, out=out)
    raise typer.Exit(code)
