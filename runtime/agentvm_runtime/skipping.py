"""Iterations that a fork takes over as a whole.

Where all overrides of a fork lie in one loop, the iterations before the first
of them are what they were in the parent, and need not be gone through: the loop
begins where it is first overridden, with the values its last untouched
iteration left. So how soon a fork does something new does not depend on how far
its parent had come.

Nothing is skipped where that is not certain: the parent has not completed, runs
other code or on other inputs, or a value that the loop carries was not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentvm_compiler.ir import CALLS, Kind, Module, Node

from .forking import Fork
from .lineage import Lineage
from .records import Digest, EventKind, RunRecord, RunStatus
from .revision import NAMES
from .targets import Places


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that a loop carries, as an iteration left it."""

    path: str
    result: int
    """Its position among the results of the node at that path."""
    bundled: bool
    """Whether what is recorded there is all results by position, as of plain Python."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Iterations of a loop that are not gone through."""

    loop: str
    """The loop's path."""
    first: int
    """The first iteration that is executed."""
    carried: tuple[Carried | None, ...]
    """The values it begins with; None for one that no iteration changes."""


def needed(skips: Sequence[Skip]) -> Callable[[str], bool]:
    """Whether a path lies in nothing that is skipped, or may hold a value that is carried on.

    It is asked of every event of the ancestors, so it is written to be quick.
    """
    loops = [(f"{each.loop}[", len(each.loop) + 1, each.first - 1) for each in skips]

    def is_needed(path: str) -> bool:
        for prefix, begin, last in loops:
            if path.startswith(prefix):
                number = path[begin : path.find("]", begin)]
                if number.isdecimal() and int(number) < last:
                    return False
        return True

    return is_needed


def skips_of(module: Module, record: RunRecord, chain: Sequence[tuple[RunRecord, Fork]]) -> list[Skip]:
    """What the program allows to skip; whether the values are there must be seen in the journals.

    Args:
        chain: the run's ancestors, nearest first, with how the next younger run was forked.
    """
    for parent, _ in chain:
        same = (parent.program, parent.inputs) == (record.program, record.inputs)
        if not same or parent.status is not RunStatus.COMPLETED or NAMES in parent.meta:
            return []
    if NAMES in record.meta:
        return []
    fork = chain[0][1]
    paths = [*fork.given, *fork.again]
    return list(_candidates(Places(module, {}), paths)) if paths else []


def _candidates(places: Places, paths: Sequence[str]) -> Iterator[Skip]:
    parts = paths[0].split("/")
    for position, part in enumerate(parts):
        name, bracket, _ = part.partition("[")
        loop = "/".join([*parts[:position], name])
        numbers = [_iteration(path, loop) for path in paths]
        if not bracket:
            if not all(path.startswith(f"{loop}/") for path in paths):
                return
            continue
        if None in numbers:
            return
        first = min(number for number in numbers if number is not None)
        place = places.at(loop)
        if place is not None and place.node is not None and place.node.kind is Kind.LOOP and first > 0:
            carried = _carried(place.node, f"{loop}[{first - 1}]")
            if carried is not None:
                yield Skip(loop, first, carried)
        if len(set(numbers)) > 1:
            return


def _iteration(path: str, loop: str) -> int | None:
    """The iteration of the loop that a path lies in."""
    if not path.startswith(f"{loop}["):
        return None
    number = path[len(loop) + 1 :].partition("]")[0]
    return int(number) if number.isdecimal() else None


def _carried(node: Node, before: str) -> tuple[Carried | None, ...] | None:
    """Where the values are recorded that an iteration leaves; None if one need not be anywhere."""
    region, count = node.regions[0], node.attrs["carried"]
    found: list[Carried | None] = []
    for name, came in zip(region.results[2 : 2 + count], region.params[1 : 1 + count], strict=True):
        if name == came:
            found.append(None)
            continue
        source = next((each for each in region.nodes if name in each.results), None)
        if source is None or source.kind not in {*CALLS, Kind.PYTHON}:
            return None
        bundled = source.kind is Kind.PYTHON
        found.append(Carried(f"{before}/{source.site}", source.results.index(name), bundled))
    return tuple(found)


def allowed(skips: Sequence[Skip], lineage: Lineage, overridden: Sequence[str]) -> bool:
    """Whether everything is recorded that the skips rely on."""
    if not any(lineage.overridden(each) is not None for each in overridden):
        return False  # who knows whether the loop came so far
    return all(_recorded(lineage, each) for skip in skips for each in skip.carried if each is not None)


def _recorded(lineage: Lineage, carried: Carried) -> bool:
    if carried.path in lineage.given:
        return carried.result in lineage.given[carried.path]
    event = lineage.recorded(carried.path)
    return event is not None and event.kind is EventKind.DONE and event.value is not None


def value_of(lineage: Lineage, carried: Carried) -> tuple[Digest, bool]:
    """The digest of a carried value, and whether it names all results of its node."""
    given: Mapping[int, Digest] = lineage.given.get(carried.path, {})
    if carried.result in given:
        return given[carried.result], False
    event = lineage.recorded(carried.path)
    assert event is not None and event.value is not None
    return event.value, carried.bundled
