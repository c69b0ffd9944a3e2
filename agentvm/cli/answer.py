"""`agentvm answer`: answer a question of a run, and go on with it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, RunId, StoreUrl, resume_command

if TYPE_CHECKING:
    from agentvm.vm import AgentVM, Run
    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import RunRecord


def answer(
    run: RunId,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NODE] VALUE",
            help="The answer: text, or JSON where it is not text. With several questions, which one first. "
            "Without an answer the questions are listed.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with the run here, if nobody drives it.")
    ] = True,
    llm: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The model, as for `agentvm run`. Default: the run's own."),
    ] = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Answer what a run asks, and go on with the run; prints as `agentvm resume` does.

    Example: agentvm answer 1122-0827 yes
    """
    from agentvm_compiler.errors import InputError
    from agentvm_runtime.errors import RunLeased

    given = words or []
    if len(given) > 2:
        raise InputError("agentvm answer takes a run, the question if there are several, and one answer.")
    if not given:
        _list(asyncio.run(_questions(run, store)))
        return
    record, path, driven = asyncio.run(_answer(run, given[0] if len(given) > 1 else None, given[-1], store))
    print(f"{path} of run {record.id} is answered.", file=sys.stderr)
    if driven:
        print("The process that drives the run goes on with it.", file=sys.stderr)
    elif not resume:
        print(f"Go on with: {resume_command(record.id, store)}", file=sys.stderr)
    else:
        try:
            code = _resume(record, llm, store, json)
        except RunLeased:  # somebody was quicker, and has read the answer
            print("Another process goes on with the run.", file=sys.stderr)
            return
        raise typer.Exit(code)


def _resume(record: RunRecord, llm: str | None, store: str | None, json: bool) -> int:
    from agentvm.loading import find_agent

    from .driving import clean_stdout, drive

    with clean_stdout(json) as out:
        found = find_agent(record.agent, record.meta.get("file"))

        async def begin(vm: AgentVM) -> Run:
            return await vm.resume(record.id, agent=found)

        return drive(begin, store=store, llm=llm or record.meta.get("llm"), as_json=json, out=out)


async def _answer(run: str, node: str | None, value: str, store: str | None) -> tuple[RunRecord, str, bool]:
    """The run, the question's path, and whether some process drives the run."""
    from agentvm_runtime.control import answer

    from .lookup import find_run, opened

    async with opened(store) as there:
        record = await find_run(there, run)
        path = await answer(there, record, node, value, text=True)
        return record, path, await _is_driven(there, record)


async def _is_driven(store: Store, record: RunRecord) -> bool:
    """Whether some process drives the run and is not just about to suspend it."""
    from agentvm_runtime.attending import POLL_SECONDS
    from agentvm_runtime.records import RunStatus

    for _ in range(4):
        if await store.lease_of(record.id) is None:
            return False
        now = await store.get_run(record.id)
        if now is not None and now.status is not RunStatus.SUSPENDED:
            await asyncio.sleep(POLL_SECONDS)
    return await store.lease_of(record.id) is not None


async def _questions(run: str, store: str | None) -> tuple[RunRecord, list[str]]:
    from agentvm_runtime.control import questions
    from agentvm_runtime.questions import described

    from .lookup import find_run, opened

    async with opened(store) as there:
        record = await find_run(there, run)
        return record, [line for each in await questions(there, record) for line in described(each)]


def _list(found: tuple[RunRecord, list[str]]) -> None:
    record, lines = found
    typer.echo("\n".join(lines) if lines else f"Run {record.id} ({record.status}) asks nothing.")
