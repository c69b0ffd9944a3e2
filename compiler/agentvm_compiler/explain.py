"""The compiler's account of itself: what was compiled, what is traced, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .frontend.lower import Decision
from .frontend.source import Source
from .ir import CALLS, Program


def explain(program: Program, source: Source | None, decisions: Sequence[Decision]) -> str:
    """A text for people; ends in a newline."""
    return "\n".join(_lines(program, source, decisions)) + "\n"


def _lines(program: Program, source: Source | None, decisions: Sequence[Decision]) -> Iterator[str]:
    nodes = list(program.body.walk())
    calls = sum(node.kind in CALLS for node in nodes)
    traced = [each for each in decisions if each.reason is not None]
    yield f"{program.name}: {len(nodes)} nodes, {calls} calls, {len(traced)} traced"
    if source is None:
        reasons = [node.attrs["reason"] for node in nodes if "reason" in node.attrs]
        yield f"  traced: {'; '.join(reasons)}"
        return
    for decision in traced:
        assert decision.reason is not None
        yield f"  {source.file}:{decision.line}: traced: {decision.reason.what}"
        place = decision.reason.node
        line = getattr(place, "lineno", decision.line)
        column, end = getattr(place, "col_offset", 0), getattr(place, "end_col_offset", None)
        single = getattr(place, "end_lineno", line) == line
        quoted = source.quote(line, column, end if single else None)
        yield from (f"    {each}" for each in quoted.splitlines())
        if decision.reason.advice:
            yield f"    to have it compiled: {decision.reason.advice}"
    ordered = [node for node in nodes if node.after and node.kind in CALLS]
    for node in ordered:
        earlier = ", ".join(node.after)
        yield f"  {source.file}:{node.span.line}: {node.site} ({node.effect}) waits for {earlier}"
