"""`agentvm fork`: a run that differs from another one in what is given, and does no more than that needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import BudgetText, Durability, Json, NoMemo, Prices, RunId, StoreUrl, budget_of

if TYPE_CHECKING:
    from agentvm.handle import Run
    from agentvm.vm import AgentVM


def fork(
    run: RunId,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            help="Do this again: a path as `agentvm show` prints it, or a variable, tool or agent.",
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=JSON",
            help="Give a result (by path, or the variable it is assigned to) or an input. Can be repeated.",
        ),
    ] = None,
    code: Annotated[
        str | None, typer.Option(metavar="FILE.py:AGENT", help="The agent as edited. Default: as it is now.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time for the fork, such as 30s. Default: the agent's.")
    ] = None,
    budget: BudgetText = None,
    prices: Prices = None,
    llm: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The model, as for `agentvm run`. Default: the run's own."),
    ] = None,
    no_memo: NoMemo = False,
    store: StoreUrl = None,
    durability: Durability = None,
    json: Json = False,
) -> None:
    """Start a run from another one: what does not depend on the difference is inherited, not done again.

    What does depend on it is inherited too where its inputs come out equal. See `agentvm show` for the tree
    of forks and `agentvm diff` for what came of it.
    """
    from agentvm.loading import find_agent, load_agent

    from .driving import clean_stdout, drive
    from .lookup import read_run

    with clean_stdout(json) as out:
        limits = budget_of(budget, prices)
        record = asyncio.run(read_run(run, store))
        changes = dict(map(_pair, set or ()))
        found = load_agent(code) if code else find_agent(record.agent, record.meta.get("file"))

        async def begin(vm: AgentVM) -> Run:
            options: dict[str, Any] = {"deadline": deadline, "budget": limits, "memo": not no_memo}
            return await vm.fork(record.id, at=at, set=changes, agent=found, **options)

        spec = llm or record.meta.get("llm")
        result = drive(begin, store=store, llm=spec, durability=durability, as_json=json, out=out)
    raise typer.Exit(result)


def _pair(text: str) -> tuple[str, Any]:
    """A name and its value: JSON, or plain text where it is none."""
    import json

    from agentvm_compiler.errors import InputError

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--set {text!r}: write it as NAME=JSON, for example --set 'draft=\"a text\"'.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value
