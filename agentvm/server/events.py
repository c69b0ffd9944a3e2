"""A run's events as a stream of server-sent events.

`id` is the event's place in the journal, so a client that was cut off goes on
with `Last-Event-ID` and misses nothing. What is in no journal (where the run
stands, how far it is) has no `id` and is sent again after a new start.

| event | data | id |
| --- | --- | --- |
| `run` | the run, whenever it stands otherwise | |
| `journal` | one event, with the node as it is now | place in the journal |
| `progress` | calls under way, tokens so far, while this server drives the run | |
| `end` | the run; nothing will follow | |
| `closing` | the server stops; connect again | |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import BaseModel
from sse_starlette import ServerSentEvent

from agentvm.views.jsonable import jsonable
from agentvm.views.nodes import NodeView
from agentvm.views.values import values_of
from agentvm_runtime.records import Event, EventKind, RunRecord
from agentvm_runtime.retention import OVER

from . import models
from .reading import Reader, node

if TYPE_CHECKING:
    from agentvm.handle import Run as Handle
    from agentvm.vm import AgentVM
    from agentvm_runtime.streams import Bell

    from .settings import Settings

GATHER_SECONDS = 0.05
"""Time in which what happens is sent together."""
PROGRESS_SECONDS = 0.5
"""Between two looks at calls under way."""
_STATES = {
    EventKind.DONE: "done",
    EventKind.FAILED: "failed",
    EventKind.INTENT: "started",
    EventKind.ASKED: "waiting",
}


EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["run", "journal", "progress", "end", "closing"]},
        "id": {"type": "string", "description": "Of `journal`: its place, for `Last-Event-ID`."},
        "data": {"type": "string", "description": "JSON."},
    },
}
"""JSON Schema of one event of a stream, for the API's description."""


class JournalEvent(BaseModel):
    """What the data of a `journal` event is."""

    seq: int
    kind: str
    path: str
    at: float
    node: models.Node | None = None
    detail: dict[str, Any] = {}


@dataclass(frozen=True)
class Watch:
    """What a stream needs."""

    vm: AgentVM
    reader: Reader
    settings: Settings
    closing: anyio.Event
    """Set when the server stops."""


async def stream(watch: Watch, record: RunRecord, after: int) -> AsyncIterator[ServerSentEvent]:
    """The run's events after a place in its journal, until its end.

    Args:
        record: the run.
        after: number of the last event that the client has.
    """
    run: models.Run | None = None
    progress: models.Progress | None = None
    with Bells(watch.vm, record.id) as bells:
        while True:
            bell = bells.current()
            # Where it stands is read first: what it stood at the end of is then in the journal.
            if bell is None:
                record = await watch.reader.record(record.id)
            now = await watch.reader.run(record, 0)
            journal = await watch.vm.store.events_after(record.id, after)
            for each in journal:
                after = each.seq
                yield _sent("journal", await _event(watch, record.id, each), after)
            if now.progress != progress and now.progress is not None:
                yield _sent("progress", now.progress)
            progress, now.progress = now.progress, None
            standing = now.model_copy(update={"events": 0})
            if standing != run:
                run = standing
                yield _sent("run", now)
            if now.status in OVER and watch.vm.driven(record.id) is None:
                yield _sent("end", now)
                return
            if watch.closing.is_set():
                yield _sent("closing", now)
                return
            await _rung(watch, bell, watch.settings.poll if bell is None else PROGRESS_SECONDS)


class Bells:
    """The bell of a run, as long as this server drives it; another one when it takes the run up again."""

    def __init__(self, vm: AgentVM, run_id: str) -> None:
        self._vm = vm
        self._run_id = run_id
        self._handle: Handle | None = None
        self._bell: Bell | None = None

    def current(self) -> Bell | None:
        """None while this server does not drive the run."""
        handle = self._vm.driven(self._run_id)
        if handle is not self._handle:
            self._hang_up()
            self._handle, self._bell = handle, None if handle is None else handle.bell()
        return self._bell

    def __enter__(self) -> Bells:
        return self

    def __exit__(self, *raised: object) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        if self._bell is not None:
            self._bell.close()


async def _rung(watch: Watch, bell: Bell | None, seconds: float) -> None:
    """Until something new may be there, or the server stops."""
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:

            async def first(what: Any) -> None:
                await what()
                tasks.cancel_scope.cancel()

            tasks.start_soon(first, watch.closing.wait)
            if bell is not None:
                tasks.start_soon(first, bell.wait)
    if not watch.closing.is_set():
        await anyio.sleep(GATHER_SECONDS)


async def _event(watch: Watch, run_id: str, event: Event) -> JournalEvent:
    state = _STATES.get(event.kind)
    shown = None
    if state is not None:
        failed = event.value if state == "failed" else None
        shown = node(NodeView(event, state, run_id), await values_of(watch.vm.store, [failed]))
    detail = jsonable(event.detail) if shown is None else {}
    at = event.finished_at or event.started_at
    return JournalEvent(seq=event.seq, kind=event.kind, path=event.path, at=at, node=shown, detail=detail)


def _sent(kind: str, data: BaseModel, number: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(
        data=data.model_dump_json(), event=kind, id=None if number is None else str(number)
    )
