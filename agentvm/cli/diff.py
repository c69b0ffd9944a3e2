"""`agentvm diff`: what two runs have in common, and where they parted."""

from __future__ import annotations

import asyncio
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from .options import Json, StoreUrl

if TYPE_CHECKING:
    from agentvm_runtime.comparing import Difference
    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import Digest, Event, RunRecord

_SHORT = 100
"""Characters of a value that are shown."""


def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A run's id, or its beginning.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Another one, such as a fork of it.")],
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Compare two runs node by node: where the same work came out otherwise, and what follows from it."""
    from .driving import clean_stdout

    with clean_stdout(json) as out:
        found = asyncio.run(_read(run_a, run_b, store))
        if json:
            import json as encoder

            print(encoder.dumps(found, ensure_ascii=False), file=out)
        else:
            _print(found, out)


async def _read(a: str, b: str, url: str | None) -> dict[str, Any]:
    from agentvm_runtime.comparing import compare_runs, results_of

    from .lookup import find_run, opened

    async with opened(url) as store:
        one, other = await find_run(store, a), await find_run(store, b)
        found = compare_runs(await results_of(store, one), await results_of(store, other))
        values = await _values(store, found.differences, one, other)
        runs = [await _run(store, each) for each in (one, other)]
    parted = {each.path for each in found.parted}
    rows = [_row(each, values, each.path in parted) for each in found.differences]
    return {
        "runs": runs,
        "same_inputs": one.inputs == other.inputs,
        "same_program": one.program == other.program,
        "same_result": one.result == other.result and one.error == other.error,
        "same": found.same,
        "parted": [each for each in rows if each["parted"]],
        "differences": rows,
    }


async def _run(store: Store, record: RunRecord) -> dict[str, Any]:
    from agentvm.views.standing import status_of
    from agentvm.views.tree import difference

    return {
        "run": record.id,
        "agent": record.agent,
        "status": await status_of(store, record),
        "parent": record.parent,
        "difference": difference(record),
    }


async def _values(
    store: Store, differences: tuple[Difference, ...], *records: RunRecord
) -> dict[Digest, Any]:
    """What the differing results are, for people."""
    import sys

    from agentvm.loading import find_agent
    from agentvm_runtime.values import decode

    events = [event for each in differences for event in (each.a, each.b)]
    data = await store.values(list({e.value: None for e in events if e is not None and e.value is not None}))
    for record in records:
        try:
            with redirect_stdout(sys.stderr):
                find_agent(record.agent, record.meta.get("file"))
        except Exception:
            continue  # values of classes that are gone are shown as such
    found: dict[Digest, Any] = {}
    for name, each in data.items():
        try:
            found[name] = decode(each)
        except Exception as error:
            found[name] = f"(cannot be shown here: {error})"
    return found


def _row(difference: Difference, values: dict[Digest, Any], parted: bool) -> dict[str, Any]:
    return {
        "path": difference.path,
        "how": difference.how,
        "parted": parted,
        "a": _shown(difference.a, values),
        "b": _shown(difference.b, values),
    }


def _shown(event: Event | None, values: dict[Digest, Any]) -> Any:
    """A result as JSON; plain Python's are the variables it assigns, by position."""
    from agentvm.views.jsonable import error_text, jsonable

    if event is None or event.value is None or event.value not in values:
        return None
    value = values[event.value]
    if isinstance(value, BaseException):
        return error_text(value)
    if event.node in ("python", "traced") and isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    return jsonable(value)


def _print(found: dict[str, Any], out: TextIO) -> None:
    for name, each in zip("AB", found["runs"], strict=True):
        forked = f"  forked from {each['parent']} ({each['difference']})" if each["parent"] else ""
        print(f"{name}  {each['run']}  {each['status']}  {each['agent']}{forked}", file=out)
    whole = ("inputs", "program", "result")
    alike = [*(what for what in whole if found[f"same_{what}"]), f"{found['same']} nodes"]
    other = [*(what for what in whole if not found[f"same_{what}"]), f"{len(found['differences'])} nodes"]
    print(f"\nalike: {', '.join(alike)}\ndifferent: {', '.join(other)}", file=out)
    if found["parted"]:
        print("\nThey parted at", file=out)
        for row in found["parted"]:
            print(
                f"  {row['path']}  ({row['how']})\n    A  {_text(row['a'])}\n    B  {_text(row['b'])}",
                file=out,
            )
    rest = [row for row in found["differences"] if not row["parted"]]
    if rest:
        print("\nwhich led to" if found["parted"] else "\nThey differ in", file=out)
        for row in rest:
            print(f"  {row['path']}  ({row['how']})", file=out)


def _text(value: Any) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."
