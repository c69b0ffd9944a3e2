"""What two runs have in common, and where they parted.

Nodes are compared by path. Where the keys are equal, both did the same work:
if the results differ, the runs *parted* there. Where keys differ, something
before that did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .lineage import lineage_of
from .ports import Store
from .records import Event, EventKind, RunRecord, Source, remembered

UNUSED = "unused"
"""In the detail of an `INHERITED` event: paths in its lineage that a fork had no use for."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A path at which two runs are not alike."""

    path: str
    a: Event | None
    b: Event | None

    @property
    def parted(self) -> bool:
        """Whether the same work came to other results here, by chance or by an override."""
        if self.a is None or self.b is None:
            return False
        given = Source.GIVEN in (self.a.source, self.b.source)
        return given or self.a.key == self.b.key

    @property
    def how(self) -> str:
        if self.a is None or self.b is None:
            return "only in the first" if self.b is None else "only in the second"
        if Source.GIVEN in (self.a.source, self.b.source):
            return "given"
        return "another result of the same work" if self.parted else "other work"


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Two runs side by side."""

    same: int
    """Nodes with equal results."""
    differences: tuple[Difference, ...]
    """In the order in which they were done."""

    @property
    def parted(self) -> tuple[Difference, ...]:
        """Where the runs parted; if nowhere did the same work come out otherwise, the first difference."""
        found = tuple(each for each in self.differences if each.parted)
        return found or self.differences[:1]


def compare_runs(a: Mapping[str, Event], b: Mapping[str, Event]) -> RunDiff:
    """Compare what two runs came to, as `results_of` gives it."""
    paths = [*a, *(each for each in b if each not in a)]
    same = [path for path in paths if path in a and path in b and _alike(a[path], b[path])]
    alike = set(same)
    differences = [Difference(path, a.get(path), b.get(path)) for path in paths if path not in alike]
    differences.sort(key=_moment)
    return RunDiff(len(same), tuple(differences))


def _alike(a: Event, b: Event) -> bool:
    return a.value == b.value and (a.value is not None or a.key == b.key)


def _moment(difference: Difference) -> float:
    """When it was done: at the earliest, as an override has no time of its own."""
    times = [each.finished_at for each in (difference.a, difference.b) if each is not None]
    return min((each for each in times if each), default=0.0)


async def results_of(store: Store, record: RunRecord) -> dict[str, Event]:
    """The last outcome at every path of a run, inherited ones included, in the order they came."""
    journal = remembered(await store.events(record.id))
    unused = {path for each in journal for path in each.detail.get(UNUSED, ())}
    found: dict[str, Event] = {}
    lineage = await lineage_of(store, record)
    if lineage is not None:
        found = {path: each for path, each in (await lineage.results()).items() if path not in unused}
        for path, given in lineage.given.items():
            # One of several results is shown by the first.
            old = lineage.overridden(path)
            node, site = ("", "") if old is None else (old.node, old.site)
            value = next(iter(given.values()))
            found[path] = Event(EventKind.DONE, path, site, node, "", value, Source.GIVEN)
    found |= {each.path: each for each in journal if each.kind in (EventKind.DONE, EventKind.FAILED)}
    return found
