"""The verifier: is this IR well formed?

Run between all passes, so that a broken pass is found where it breaks. What it
finds is a bug of ours, hence `InternalError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .errors import InternalError
from .ir import CALLS, LITERALS, Kind, Module, Node, Program, Region

_REGION_COUNT = {Kind.BRANCH: 2, Kind.LOOP: 1, Kind.MAP: 1}


Sound = dict[int, Region]
"""Regions without problems, by identity. Each is complete in itself, so it stays without, wherever it is."""


def verify(module: Module, stage: str = "input", sound: Sound | None = None) -> Module:
    """Return the module unchanged.

    Args:
        sound: what was verified before, of an earlier version of the module; what is now is added.

    Raises:
        InternalError: naming the stage, the node and what is wrong with it.
    """
    for program in module.programs:
        found = next(_program_problems(program, {} if sound is None else sound), None)
        if found is not None:
            raise InternalError(
                f"The compiler produced malformed IR for {program.name} after {stage}: {found}. "
                "This is a bug in AgentVM: please report it with the source of the agent."
            )
    return module


def problems(module: Module) -> Iterator[str]:
    """All that is wrong with a module that was not made here, such as one read from a file."""
    for program in module.programs:
        yield from _program_problems(program, {})


def _program_problems(program: Program, sound: Sound) -> Iterator[str]:
    sites = [node.site for node in program.body.walk()]
    for site in {each for each in sites if sites.count(each) > 1} if len(set(sites)) < len(sites) else ():
        yield f"site {site} stands twice"
    if len(program.body.results) != 1:
        yield f"the program has {len(program.body.results)} results instead of one"
    yield from _unsound(program.body, program.name, sound)


def _unsound(region: Region, where: str, sound: Sound) -> Iterator[str]:
    """The problems of a region, unless it is known that there are none."""
    if id(region) in sound:
        return
    has_problems = False
    for problem in _region_problems(region, where, sound):
        has_problems = True
        yield problem
    if not has_problems:
        sound[id(region)] = region  # so that nothing else has its identity


def _region_problems(region: Region, where: str, sound: Sound) -> Iterator[str]:
    known = {*LITERALS, *region.params}
    if len(set(region.params)) < len(region.params):
        yield f"{where}: a parameter stands twice"
    before: set[str] = set()
    for node in region.nodes:
        for operand in () if known.issuperset(node.operands) else node.operands:
            if operand not in known:
                yield f"{node.site} reads {operand} before it is defined"
        if "before" in node.attrs:
            names = node.attrs["before"]
            for value in names.values() if isinstance(names, Mapping) else [repr(names)]:
                if value not in known:
                    yield f"{node.site} comes after {value}, which is not defined before it"
        for site in node.after:
            if site not in before:
                yield f"{node.site} comes after {site}, which is not before it in its region"
        for result in node.results:
            if result in known:
                yield f"{node.site} defines {result} again"
        if node.kind is not Kind.PYTHON or node.regions:
            yield from _node_problems(node, sound)
        known.update(node.results)
        before.add(node.site)
    for result in region.results:
        if result not in known:
            yield f"{where} yields {result}, which is not defined"


def _node_problems(node: Node, sound: Sound) -> Iterator[str]:
    if node.kind is Kind.TRY:
        yield from _try_problems(node, sound)
        return
    if len(node.regions) != _REGION_COUNT.get(node.kind, 0):
        yield f"{node.site} has {len(node.regions)} regions"
        return
    if node.kind in CALLS and (not node.code or not node.attrs.get("callee") or len(node.results) != 1):
        yield f"{node.site} is a call without code, callee or result"
    for region in node.regions:
        expected = len(node.operands) - (1 if node.kind is Kind.BRANCH else 0)
        if len(region.params) != expected:
            yield f"{node.site} has a region with {len(region.params)} parameters for {expected} values"
        if len(region.results) != len(node.results):
            yield f"{node.site} has a region with {len(region.results)} results for {len(node.results)}"
        yield from _unsound(region, node.site, sound)


def _try_problems(node: Node, sound: Sound) -> Iterator[str]:
    if not node.regions:
        yield f"{node.site} has no body"
        return
    if not node.attrs.get("final") and len(node.attrs.get("names", ())) != len(node.regions) - 1:
        yield f"{node.site} does not name what its handlers handle"
    kept = len(node.attrs.get("kept", ()))
    captures = len(node.operands) - kept
    for number, region in enumerate(node.regions):
        own = (2 if node.attrs.get("final") else 1) + kept
        expected = captures + (own if number else 0)
        if len(region.params) != expected:
            yield f"{node.site} has a region with {len(region.params)} parameters for {expected} values"
        wanted = 2 + kept if node.attrs.get("final") and not number else len(node.results)
        if len(region.results) != wanted:
            yield f"{node.site} has a region with {len(region.results)} results for {wanted}"
        yield from _unsound(region, node.site, sound)
