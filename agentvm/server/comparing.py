"""Two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentvm.views.values import Values, values_of
from agentvm_runtime.comparing import compare_runs, results_of
from agentvm_runtime.records import Event, EventKind

from . import models
from .reading import Reader

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store


async def diff_of(store: Store, reader: Reader, a: str, b: str) -> models.Diff:
    """What the runs have in common, and where they parted. Raises Refused if there is no such run."""
    one, other = await reader.record(a), await reader.record(b)
    found = compare_runs(await results_of(store, one), await results_of(store, other))
    parted = {each.path for each in found.parted}
    events = [event for each in found.differences for event in (each.a, each.b)]
    values = await values_of(store, [None if each is None else each.value for each in events])
    return models.Diff(
        a=await reader.run(one),
        b=await reader.run(other),
        same_inputs=one.inputs == other.inputs,
        same_program=one.program == other.program,
        same_result=one.result == other.result and one.error == other.error,
        same=found.same,
        rows=[
            models.DiffRow(
                path=each.path,
                kind=next((event.node for event in (each.a, each.b) if event is not None), ""),
                how=each.how,
                parted=each.path in parted,
                a=_side(each.a, values),
                b=_side(each.b, values),
            )
            for each in found.differences
        ],
    )


def _side(event: Event | None, values: Values) -> models.DiffSide:
    if event is None:
        return models.DiffSide(present=False)
    if event.kind is EventKind.FAILED:
        return models.DiffSide(present=True, source=str(event.source), error=values.error(event.value))
    return models.DiffSide(present=True, source=str(event.source), value=values.output(event))
