"""A run's events as a stream of server-sent events.

`id` is the event's place in the journal, so a client that was cut off goes on
with `Last-Event-ID` and misses nothing. What is in no journal (where the run
stands, how far it is, what models have said so far) has no `id` and is sent
again after a new start. A slow client gets less of it, in larger pieces.

| event | data | id |
| --- | --- | --- |
| `run` | the run, whenever it stands otherwise | |
| `journal` | one event, with the node as it is now | place in the journal |
| `progress` | calls under way, tokens so far, while this server drives the run | |
| `text` | what a model has said since the last one, while this server drives the run | |
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
from agentvm_runtime.drafts import Reader as DraftReader
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
TEXT = 8_192
"""Characters of an answer in one event; of more that came meanwhile, the last ones."""
_STATES = {
    EventKind.DONE: "done",
    EventKind.FAILED: "failed",
    EventKind.INTENT: "started",
    EventKind.ASKED: "waiting",
}


EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["run", "journal", "progress", "text", "end", "closing"]},
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


class TextEvent(BaseModel):
    """What the data of a `text` event is. The whole answer is the node's output, once it is there."""

    path: str
    draft: int
    """Another number: the call is answered anew, and what was said before does not count."""
    at: int
    """Characters of the draft before this text; more than a client has if some were left out."""
    text: str


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
    drafts = DraftReader(TEXT)
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
            until = anyio.current_time() + (watch.settings.poll if bell is None else PROGRESS_SECONDS)
            only_text = True
            while only_text:
                for said in bells.said(drafts):
                    yield _sent("text", said)
                only_text = await _rung(watch, bell, bells.text, until)


class Bells:
    """The bells of a run, as long as this server drives it; others when it takes the run up again."""

    def __init__(self, vm: AgentVM, run_id: str) -> None:
        self._vm = vm
        self._run_id = run_id
        self._handle: Handle | None = None
        self._bell: Bell | None = None
        self.text: Bell | None = None
        """Rings when a model has said something."""

    def current(self) -> Bell | None:
        """None while this server does not drive the run."""
        handle = self._vm.driven(self._run_id)
        if handle is not self._handle:
            self._hang_up()
            self._handle = handle
            if handle is not None:
                self._bell, self.text = handle.bell(), handle.text_bell()
        return self._bell

    def said(self, reader: DraftReader) -> list[TextEvent]:
        """What models have said since the reader last looked."""
        news = [] if self._handle is None else reader.news(self._handle.drafts)
        return [TextEvent(path=each.path, draft=each.number, at=each.at, text=each.text) for each in news]

    def __enter__(self) -> Bells:
        return self

    def __exit__(self, *raised: object) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        for each in (self._bell, self.text):
            if each is not None:
                each.close()
        self._bell = self.text = None


async def _rung(watch: Watch, bell: Bell | None, text: Bell | None, until: float) -> bool:
    """Return when something new may be there, or the server stops; whether there can be nothing but text."""
    rung: list[Any] = []
    with anyio.CancelScope(deadline=until):
        async with anyio.create_task_group() as tasks:

            async def first(what: Any) -> None:
                await what.wait()
                rung.append(what)
                tasks.cancel_scope.cancel()

            for each in (watch.closing, bell, text):
                if each is not None:
                    tasks.start_soon(first, each)
    if not watch.closing.is_set():
        await anyio.sleep(GATHER_SECONDS)
    # Where models say something all the time, the rest still has its turn.
    return text is not None and rung == [text] and not text.closed and anyio.current_time() < until


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
