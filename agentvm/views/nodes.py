"""The nodes of a run: what was done at each path, by whom, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentvm_runtime.comparing import results_of
from agentvm_runtime.lineage import lineage_of
from agentvm_runtime.records import CALLS, Event, EventKind, RunRecord, Source, remembered

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

INHERITED = "inherited"
"""Source of a result that a fork takes over."""


@dataclass(slots=True)
class NodeView:
    """One path of a run."""

    event: Event
    """What was recorded last: its result, else that it was asked or started."""
    state: str
    """done, failed, running, started (a write whose outcome is not recorded), waiting, given."""
    run: str
    """The run that recorded it."""
    own: bool = True
    """Whether that is the run itself."""
    reused: bool = False
    """Whether the run's last attempt did not do the work."""
    attempts: Sequence[Event] = ()
    """Failed attempts before."""
    served: Sequence[dict[str, Any]] = ()
    """What the engine's scheduler noted of the requests of a model call, as in `CallRecord`."""

    @property
    def source(self) -> str:
        return str(self.event.source) if self.own or self.state == "given" else INHERITED


_RESULTS = {EventKind.DONE: "done", EventKind.FAILED: "failed"}
_BEGUN = {EventKind.INTENT: "started", EventKind.ASKED: "waiting"}


async def nodes_of(
    store: Store,
    record: RunRecord,
    running: Mapping[str, float] | None = None,
    journal: Sequence[Event] | None = None,
) -> dict[str, NodeView]:
    """What is known of each path, inherited ones first, in the order in which they came.

    Args:
        running: calls that are under way in this process, with the moments they began.
        journal: the run's, where it has been read.
    """
    journal = remembered(await store.events(record.id) if journal is None else journal)
    found = await _inherited(store, record, journal)
    found |= _own(journal, record.id)
    for path, since in (running or {}).items():
        if path not in found or found[path].state == "started":
            event = Event(EventKind.INTENT, path, path.rpartition("/")[2], _kind(path), started_at=since)
            known = found.pop(path, None)
            found[path] = NodeView(known.event if known else event, "running", record.id)
    return found


def _own(journal: Iterable[Event], run_id: str) -> dict[str, NodeView]:
    found: dict[str, NodeView] = {}
    attempts: dict[str, list[Event]] = {}
    served: dict[str, list[dict[str, Any]]] = {}
    for event in journal:
        path = event.path
        if event.kind is EventKind.RESUMED:
            for each in found.values():
                each.reused = each.state in ("done", "failed")
        elif event.kind is EventKind.ATTEMPT:
            attempts.setdefault(path, []).append(event)
        elif event.kind in _RESULTS:
            shared = event.source in (Source.MEMO, Source.SHARED)
            tried = attempts.get(path, ())
            found.pop(path, None)
            found[path] = NodeView(event, _RESULTS[event.kind], run_id, reused=shared, attempts=tried)
        elif event.kind in _BEGUN:
            found.pop(path, None)
            found[path] = NodeView(event, _BEGUN[event.kind], run_id)
        elif event.kind is EventKind.RELEASED and path in found and found[path].state == "started":
            del found[path]
        elif event.kind is EventKind.SCHEDULED:
            served |= event.detail.get(CALLS, {})
    for path in served.keys() & found.keys():
        found[path].served = served[path]
    return found


async def served_of(store: Store, run_id: str, path: str) -> list[dict[str, Any]]:
    """What the scheduler noted of a call of a run, if the run's journal has it."""
    for event in reversed(await store.events(run_id, lambda each: each == "")):
        if event.kind is EventKind.SCHEDULED and path in event.detail.get(CALLS, {}):
            return list(event.detail[CALLS][path])
    return []


async def _inherited(store: Store, record: RunRecord, journal: list[Event]) -> dict[str, NodeView]:
    if record.parent is None:
        return {}
    own = {each.path for each in journal if each.kind in _RESULTS}
    lineage = await lineage_of(store, record)
    found: dict[str, NodeView] = {}
    for path, event in (await results_of(store, record)).items():
        if path not in own:
            given = event.source is Source.GIVEN
            origin = record.id if given or lineage is None else lineage.origin(path) or record.parent
            state = "given" if given else _RESULTS[event.kind]
            found[path] = NodeView(event, state, origin, own=False, reused=True)
    return found


def _kind(path: str) -> str:
    """What kind of node a path names, as far as its name tells."""
    name = path.rpartition("/")[2].partition("#")[0]
    return name if name in ("llm", "python", "human", "traced", "map", "loop") else "tool"
