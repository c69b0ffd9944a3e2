"""`agentvm answer`: answer a question of a run, and go on with it."""

from __future__ import annotations

import asyncio
import json as encoder
import sys
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from .options import Json, RunId, StoreUrl, resume_command

if TYPE_CHECKING:
    from agentvm.handle import Run
    from agentvm.vm import AgentVM
    from agentvm_runtime.ports import Store
    from agentvm_runtime.questions import Question
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

    With --json one document: that of `agentvm resume`; where the run does not go on here, which question is
    answered and whether another process drives the run; without an answer, the questions.

    Example: agentvm answer 1122-0827 yes
    """
    from agentvm_compiler.errors import InputError
    from agentvm_runtime.errors import RunLeased

    from .driving import clean_stdout

    given = words or []
    if len(given) > 2:
        raise InputError("agentvm answer takes a run, the question if there are several, and one answer.")
    with clean_stdout(json) as out:
        if not given:
            _list(*asyncio.run(_questions(run, store)), json, out)
            return
        node = given[0] if len(given) > 1 else None
        record, path, driven = asyncio.run(_answer(run, node, given[-1], store))
        print(f"{path} of run {record.id} is answered.", file=sys.stderr)
        try:
            if resume and not driven:
                raise typer.Exit(_resume(record, llm, store, json, out))
        except RunLeased:  # somebody was quicker, and has read the answer
            driven = True
        if driven:
            print("The process that drives the run goes on with it.", file=sys.stderr)
        else:
            print(f"Go on with: {resume_command(record.id, store)}", file=sys.stderr)
        if json:
            document = {"answered": path, "driven": driven}
            print(encoder.dumps({**_head(record), **document}, ensure_ascii=False), file=out)


def _head(record: RunRecord) -> dict[str, Any]:
    return {"run": record.id, "agent": record.agent, "status": str(record.status)}


def _resume(record: RunRecord, llm: str | None, store: str | None, json: bool, out: TextIO) -> int:
    from agentvm.loading import find_agent

    from .driving import drive

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


async def _questions(run: str, store: str | None) -> tuple[RunRecord, list[Question]]:
    from agentvm_runtime.control import questions

    from .lookup import find_run, opened

    async with opened(store) as there:
        record = await find_run(there, run)
        return record, await questions(there, record)


def _list(record: RunRecord, found: list[Question], json: bool, out: TextIO) -> None:
    from agentvm_runtime.questions import described

    if json:
        asked = [
            {"node": each.path, "question": each.text, "schema": each.schema, "problem": each.problem or None}
            for each in found
        ]
        print(encoder.dumps({**_head(record), "questions": asked}, ensure_ascii=False), file=out)
        return
    lines = [line for each in found for line in described(each)]
    print("\n".join(lines) if lines else f"Run {record.id} ({record.status}) asks nothing.", file=out)
