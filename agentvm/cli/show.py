"""`agentvm show`: one run, its nodes, and where each result came from."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from .options import Json, RunId, StoreUrl, resume_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import Digest, Event, RunRecord

REUSED = "reused at resume"
"""Source of a result that an earlier process recorded and a later one did not execute again."""


def show(
    run: RunId,
    why: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Why this node was executed, or where its result came from."),
    ] = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Show a run: what it was given, each node with its source and times, and the result."""
    from agentvm.views.why import printed

    from .driving import clean_stdout

    with clean_stdout(json) as out:
        found = asyncio.run(_read(run, store) if why is None else _why(run, store, why))
        if not json and isinstance(found, list):
            print("\n".join(printed(found)), file=out)
        elif json:
            import json as encoder

            print(encoder.dumps(found, ensure_ascii=False), file=out)
        else:
            assert isinstance(found, dict)
            _print(found, out)


async def _why(text: str, url: str | None, node: str) -> list[dict[str, Any]]:
    from agentvm.views.why import why

    from .lookup import find_run, opened

    async with opened(url) as store:
        return await why(store, await find_run(store, text), node)


async def _read(text: str, url: str | None) -> dict[str, Any]:
    from agentvm.views.jsonable import error_text, jsonable
    from agentvm.views.standing import INTERRUPTED, status_of
    from agentvm.views.tree import difference, tree_of
    from agentvm_runtime.budgets import BUDGET
    from agentvm_runtime.control import questions

    from .lookup import find_run, opened

    async with opened(url) as store:
        record = await find_run(store, text)
        events = await store.events(record.id)
        status = await status_of(store, record)
        inputs, result, error = await _values(store, record)
        tree = await tree_of(store, record)
        inherited = await _inherited(store, record)
        asked = await questions(store, record)
    nodes = nodes_of(events, record.created_at)
    ended = record.finished_at or max((each.finished_at for each in events), default=record.created_at)
    found: dict[str, Any] = {
        "run": record.id,
        "agent": record.agent,
        "status": status,
        "file": record.meta.get("file"),
        "llm": record.meta.get("llm"),
        "parent": record.parent,
        "difference": difference(record),
        "inherited": inherited,
        "tree": tree,
        "inputs": jsonable(inputs),
        "started_at": record.created_at,
        "finished_at": record.finished_at,
        "deadline_at": record.deadline_at,
        "deadline_met": _met(record),
        "budget": record.meta.get(BUDGET),
        "seconds": round(ended - record.created_at, 3),
        "tokens": {name: _tokens(nodes, name) for name in ("input", "output")},
        "nodes": nodes,
        "questions": [{"path": q.path, "question": q.text, "schema": q.schema} for q in asked],
        "result": jsonable(result),
        "error": error_text(error),
    }
    if status == INTERRUPTED:
        found["resume"] = resume_command(record.id, url)
    return found


async def _inherited(store: Store, record: RunRecord) -> int:
    """How many results of its lineage a fork stands on."""
    from agentvm_runtime.comparing import results_of

    if record.parent is None:
        return 0
    own = {each.path for each in await store.events(record.id)}
    return sum(path not in own for path in await results_of(store, record))


_OUTCOMES = {"failed": " (failed)", "intent": " (started, outcome not recorded)"}


def nodes_of(events: Sequence[Event], start: float) -> list[dict[str, Any]]:
    """The nodes of a journal that have ended, in journal order, and writes that have only started.

    What was recorded before the last time the run was taken over is *reused at
    resume*: the process that went on did not execute it again.
    """
    from agentvm_runtime.records import CALLS, EventKind

    scheduled = {
        path: requests
        for each in events
        if each.kind is EventKind.SCHEDULED
        for path, requests in each.detail[CALLS].items()
    }
    taken_over = max((at for at, each in enumerate(events) if each.kind is EventKind.RESUMED), default=-1)
    ended = {each.path for each in events if each.kind in (EventKind.DONE, EventKind.FAILED)}
    return [
        _node(each, start, scheduled, reused=at < taken_over and each.kind is not EventKind.INTENT)
        for at, each in enumerate(events)
        if each.kind in (EventKind.DONE, EventKind.FAILED)
        or (each.kind is EventKind.INTENT and each.path not in ended)
    ]


def _node(
    event: Event, start: float, scheduled: Mapping[str, list[dict[str, Any]]], *, reused: bool
) -> dict[str, Any]:
    detail = event.detail
    tokens = None
    if "output_tokens" in detail:
        tokens = {"input": detail.get("input_tokens", 0), "output": detail["output_tokens"]}
    deadline = detail.get("deadline")
    return {
        "path": event.path,
        "kind": event.node,
        "outcome": str(event.kind),
        "source": REUSED if reused else str(event.source),
        "started_at": event.started_at,
        "offset": round(event.started_at - start, 3),
        "seconds": round(max(event.finished_at - event.started_at, 0.0), 3),
        "tokens": tokens,
        "deadline": deadline,
        "slack": None if deadline is None else round(deadline - event.finished_at, 3),
        "requests": scheduled.get(event.path, []),
    }


def _tokens(nodes: Sequence[dict[str, Any]], name: str) -> int:
    """Tokens this run paid for: not those of results that other work had."""
    paid = [each["tokens"] for each in nodes if each["source"] in ("executed", REUSED)]
    return sum(each[name] for each in paid if each)


def _met(record: RunRecord) -> bool | None:
    if record.deadline_at is None or record.finished_at is None:
        return None
    return record.finished_at <= record.deadline_at


async def _values(store: Store, record: RunRecord) -> tuple[Any, Any, Any]:
    """Inputs, result and error, decoded where that can be."""
    digests = [each for each in (record.inputs, record.result, record.error) if each]
    data = await store.values(digests)
    decoded = [_decoded(each, data, record) for each in (record.inputs, record.result, record.error)]
    return decoded[0], decoded[1], decoded[2]


def _decoded(digest: Digest | None, data: dict[Digest, bytes], record: RunRecord) -> Any:
    """The value; the agent's file is loaded if its classes are needed."""
    from agentvm_runtime.values import decode

    if digest is None:
        return None
    if digest not in data:
        return "(the value is no longer in the store)"
    try:
        return decode(data[digest])
    except Exception as error:
        from agentvm.loading import find_agent

        try:
            with redirect_stdout(sys.stderr):
                find_agent(record.agent, record.meta.get("file"))
            return decode(data[digest])
        except Exception:
            return f"(cannot be shown here: {error})"


def _print(found: dict[str, Any], out: TextIO) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from agentvm.durations import readable

    from .report import shown

    for name, text in _header(found).items():
        print(f"{name:<9}{text}", file=out)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("node", "kind", "source"):
        table.add_column(name, overflow="fold")
    for name in ("start", "time", "tokens", "slack"):
        table.add_column(name, justify="right", no_wrap=True)
    if queued := any(node["requests"] for node in found["nodes"]):
        table.add_column("in the engine", overflow="fold")
    for node in found["nodes"]:
        tokens = node["tokens"]
        failed = _OUTCOMES.get(node["outcome"], "")
        table.add_row(
            escape(node["path"]),
            node["kind"],
            node["source"] + failed,
            f"+{readable(max(node['offset'], 0))}",
            readable(max(node["seconds"], 0)),
            f"{tokens['input']} in, {tokens['output']} out" if tokens else "",
            readable(node["slack"]) if node["slack"] is not None else "",
            *([engine_text(node["requests"])] if queued else []),
        )
    if found["nodes"]:
        print(file=out)
        Console(file=out, width=None if out.isatty() else 160).print(table)
    if found["status"] == "completed":
        print(f"\n{shown(found['result'])}", file=out)
    if found["error"]:
        print(f"\n{found['error']}", file=out)
    if found["tree"] is not None:
        from .tree import drawn

        print("\nforks\n" + "\n".join(f"  {each}" for each in drawn(found["tree"], found["run"])), file=out)
    if "resume" in found:
        print(f"\nGo on with: {found['resume']}", file=out)


def engine_text(requests: Sequence[dict[str, Any]]) -> str:
    """What the engine's scheduler did with the requests of a call, for people."""
    from agentvm.durations import readable

    parts = []
    for each in requests:
        begun = each.get("started_at", each.get("finished_at"))
        if begun is not None:
            parts.append(f"queued {readable(max(begun - each['queued_at'], 0))}")
        if held := each.get("held_seconds"):
            parts.append(f"held {readable(held)}")
        if times := len(each.get("preempted_at", ())):
            parts.append(f"preempted {times}x")
        if each.get("outcome") in ("missed", "refused", "aborted"):
            parts.append(each["outcome"])
        if each.get("why"):
            parts.append(each["why"])
    return ", ".join(parts)


def _header(found: dict[str, Any]) -> dict[str, str]:
    from agentvm.durations import readable

    nodes, tokens = found["nodes"], found["tokens"]
    started = datetime.fromtimestamp(found["started_at"]).strftime("%Y-%m-%d %H:%M:%S")
    executed = sum(each["source"] == "executed" for each in nodes)
    verdict = {True: "met", False: "missed", None: "open"}[found["deadline_met"]]
    header = {
        "run": f"{found['run']}  {found['status']}",
        "agent": found["agent"] + (f"  ({found['file']})" if found["file"] else ""),
        "inputs": _inputs(found["inputs"]),
        "model": found["llm"] or "",
        "started": f"{started}, {readable(found['seconds'])}",
        "deadline": "none" if found["deadline_at"] is None else _deadline(found, verdict),
        "budget": _budget(found["budget"] or {}),
        "nodes": f"{len(nodes)} ({executed} executed, {len(nodes) - executed} reused)",
        "forked": f"from {found['parent']} ({found['difference']}), {found['inherited']} results inherited"
        if found["parent"]
        else "",
        "tokens": f"{tokens['input']} in, {tokens['output']} out",
    }
    return {name: text for name, text in header.items() if text}


def _budget(budget: Mapping[str, Any]) -> str:
    from agentvm_runtime.budgets import LIMITS

    return ", ".join(f"{name}={budget[name]}" for name in LIMITS if name in budget)


def _deadline(found: dict[str, Any], verdict: str) -> str:
    from agentvm.durations import readable

    return f"{verdict} ({readable(found['deadline_at'] - found['started_at'])})"


def _inputs(inputs: Any) -> str:
    if not isinstance(inputs, dict):
        return str(inputs)
    return ", ".join(f"{name}={value!r:.60}" for name, value in inputs.items())
