"""The compiler's account of itself: what is traced, what runs side by side, what prevents more, and why."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from .calls import Effect
from .frontend.lower import Decision
from .frontend.scope import Scope
from .frontend.source import Source
from .ir import CALLS, CHOSEN, Kind, Node, Program, Region
from .lints import lints
from .passes.stages import DEFAULT, EXIT, LONGEST, Programs, chains, critical_path


def explain(
    program: Program,
    source: Source | None,
    decisions: Sequence[Decision],
    programs: Programs = lambda _: None,
) -> str:
    """A text for people; ends in a newline.

    Args:
        programs: the programs of called agents, by the call's `callee`.
    """
    return "\n".join(_lines(program, source, decisions, programs)) + "\n"


def _lines(
    program: Program, source: Source | None, decisions: Sequence[Decision], programs: Programs
) -> Iterator[str]:
    nodes = list(program.body.walk())
    calls = sum(node.kind in CALLS for node in nodes)
    traced = [each for each in decisions if each.reason is not None]
    yield f"{program.name}: {len(nodes)} nodes, {calls} calls, {len(traced)} traced"
    if source is None:
        reasons = [node.attrs["reason"] for node in nodes if "reason" in node.attrs]
        yield f"  traced: {'; '.join(reasons)}"
        return
    yield from _parallelism(program, programs)
    for decision in traced:
        assert decision.reason is not None
        yield f"  {source.file}:{decision.line}: traced: {decision.reason.what}"
        yield from _quoted(source, decision.reason.node, decision.line)
        if decision.reason.advice:
            yield f"    to have it compiled: {decision.reason.advice}"
    for lint in lints(Scope(source)):
        yield f"  {source.file}:{lint.node.lineno}: warning: {lint.what}"
        yield from _quoted(source, lint.node, lint.node.lineno)
        yield f"    {lint.advice}"
    yield from _blocked(program, source)


def _quoted(source: Source, place: ast.AST, line: int) -> Iterator[str]:
    line = getattr(place, "lineno", line)
    column, end = getattr(place, "col_offset", 0), getattr(place, "end_col_offset", None)
    single = getattr(place, "end_lineno", line) == line
    quoted = source.quote(line, column, end if single else None)
    yield from (f"    {each}" for each in quoted.splitlines())


def _parallelism(program: Program, programs: Programs) -> Iterator[str]:
    """The model calls in a row and side by side."""
    stages = [each.calls for each in critical_path(program, programs=programs) if each.calls]
    if not stages:
        return
    more = " or more" if len(stages) == LONGEST else ""
    text = f"  model calls: {sum(stages)}{more} one after the other, {len(stages)}{more} on the critical path"
    if any(each.kind in (Kind.LOOP, Kind.MAP) for each in program.body.walk()):
        text += f" (loops of unknown length counted as {DEFAULT.times} rounds)"
    yield text


def _blocked(program: Program, source: Source) -> Iterator[str]:
    """What waits for something it gets no value from, and what to do about it."""
    told: set[str] = set()
    for node, region in _placed(program.body):
        if not node.after or node.kind not in CALLS:
            continue
        given = _givers(node, region)
        before = [each for each in region.nodes if each.site in node.after and each.site not in given]
        if not before:
            continue
        what = f"{node.site} ({node.effect}) waits for {', '.join(each.site for each in before)}"
        yield f"  {source.file}:{node.span.line}: {what}"
        for name, why in _causes([node, *before]):
            if name not in told:
                told.add(name)
                yield f"    {why}"
    for site, names in chains(program).items():
        line = program.node(site).span.line
        if names == (EXIT,):
            why = "an answer decides whether there is another round"
        else:
            why = f"its calls wait for {' and '.join(f'`{each}`' for each in names)} of the round before"
        yield f"  {source.file}:{line}: {site} goes round by round: {why}"


def _placed(region: Region) -> Iterator[tuple[Node, Region]]:
    for node in region.nodes:
        yield node, region
        for inner in node.regions:
            yield from _placed(inner)


def _givers(node: Node, region: Region) -> set[str]:
    """The sites in the region that the node's operands come from, directly or not."""
    needed, sites = set(node.operands), set()
    for each in reversed(region.nodes):
        if not needed.isdisjoint(each.results):
            sites.add(each.site)
            needed.update(each.operands)
    return sites


def _causes(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """What among the nodes writes, by name, and the remedy."""
    for node in (inner for each in nodes for inner in each.walk()):
        if node.effect is not Effect.WRITE or node.regions:
            continue
        name = node.site.rpartition("#")[0]
        match node.kind:
            case Kind.TOOL:
                why = f'`{name}` is a write tool; declare it effect="read" if it changes nothing'
            case Kind.AGENT if node.attrs.get("callee") == CHOSEN:
                why = "what is called is chosen as the program runs, and counts as a write"
            case Kind.AGENT:
                why = f"the agent `{name}` may write; see what `--explain` says of it"
            case Kind.TRACED:
                why = "traced code counts as a write"
            case _:
                why = f"the Python of {node.site} has side effects"
        yield name, f"they are ordered because {why}"
