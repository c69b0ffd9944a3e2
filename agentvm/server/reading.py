"""Reading runs from the store into what the API gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agentvm.views.nodes import NodeView, nodes_of
from agentvm.views.standing import INTERRUPTED, status_of
from agentvm.views.tree import difference
from agentvm.views.values import Values, clean, values_of
from agentvm_runtime.control import questions
from agentvm_runtime.history import History
from agentvm_runtime.records import EventKind, RunRecord, RunStatus, Source
from agentvm_runtime.retention import OVER

from . import models
from .problems import Refused, not_found

if TYPE_CHECKING:
    from agentvm.handle import Run as Handle
    from agentvm.vm import AgentVM

    from .registry import Registry

STATUSES = (*RunStatus, INTERRUPTED)
_PAID = (Source.EXECUTED,)


class Reader:
    """What there is to see of the runs of a machine's store."""

    def __init__(self, vm: AgentVM, registry: Registry) -> None:
        self._vm = vm
        self._store = vm.store
        self._registry = registry

    async def record(self, run_id: str) -> RunRecord:
        """Raises Refused if there is no such run."""
        handle = self._vm.driven(run_id)
        if handle is not None:
            return handle.record
        found = await self._store.get_run(run_id)
        if found is None:
            raise not_found("run", run_id, "GET /v1/runs lists those there are.")
        return found

    async def page(
        self, *, agent: str | None, status: str | None, parent: str | None, after: str | None, limit: int
    ) -> models.RunPage:
        """Some runs, newest first."""
        last = None if after is None else await self.record(after)
        wanted = RunStatus.RUNNING if status == INTERRUPTED else None if status is None else RunStatus(status)
        found: list[models.Run] = []
        while len(found) <= limit:
            records = await self._store.list_runs(agent=agent, status=wanted, limit=limit + 1, before=last)
            for each in records:
                if parent is not None and each.parent != parent:
                    continue
                run = await self.run(each)
                if status in (None, run.status):
                    found.append(run)
            if len(records) <= limit:
                break
            last = records[-1]
        more = len(found) > limit
        return models.RunPage(runs=found[:limit], next=found[limit - 1].id if more else None)

    async def run(self, record: RunRecord, events: int | None = None) -> models.Run:
        """A run as lists show it.

        Args:
            events: the length of its journal, where that is known.
        """
        handle = self._vm.driven(record.id)
        record = record if handle is None else handle.record
        # What this process drives holds its lease; asking the store for it would take its time.
        status = str(record.status) if handle is not None else await status_of(self._store, record)
        if events is None:
            events = await self._store.last_seq(record.id)
        return models.Run.model_validate(
            {
                "id": record.id,
                "agent": record.agent,
                "status": status,
                "created_at": record.created_at,
                "finished_at": record.finished_at if over(record) else None,
                "deadline_at": record.deadline_at,
                "deadline_met": _met(record),
                "parent": record.parent,
                "difference": difference(record),
                "events": events,
                "progress": None if handle is None else progress_of(handle),
            }
        )

    async def detail(self, run_id: str) -> models.RunDetail:
        record = await self.record(run_id)
        journal = await self._store.events(record.id)
        record = await self.record(run_id)  # not older than the journal
        run = await self.run(record, len(journal))
        nodes = await nodes_of(self._store, record, journal=journal)
        values = await values_of(self._store, [record.inputs, record.result, record.error])
        asks = any(each.kind is EventKind.ASKED for each in journal)
        asked = await questions(self._store, record) if asks else []
        doubts = History(journal).in_doubt() if run.status != "running" else []
        return models.RunDetail(
            **run.model_dump(),
            program=record.program,
            llm=record.meta.get("llm") or "",
            file=record.meta.get("file"),
            served=record.agent in self._registry,
            inputs=values.json(record.inputs),
            result=values.json(record.result),
            error=values.error(record.error) if over(record) else None,
            tokens=_tokens(each for each in nodes.values() if each.own),
            nodes=sum(each.own and each.state in ("done", "failed") for each in nodes.values()),
            inherited=sum(not each.own for each in nodes.values()),
            questions=[
                models.Question(
                    path=each.path,
                    question=clean(each.text),
                    answer_schema=each.schema,
                    asked_at=each.asked_at,
                    problem=each.problem or None,
                )
                for each in asked
            ],
            in_doubt=[
                models.Doubt(path=each.path, site=each.site, started_at=each.started_at) for each in doubts
            ],
        )

    async def nodes(
        self, run_id: str, *, kind: str | None, state: str | None, within: str, offset: int, limit: int
    ) -> models.NodePage:
        record = await self.record(run_id)
        found = [
            each
            for path, each in (await self.views(record)).items()
            if kind in (None, each.event.node) and state in (None, each.state) and path.startswith(within)
        ]
        some = found[offset : offset + limit]
        values = await values_of(self._store, [each.event.value for each in some if each.state == "failed"])
        return models.NodePage(nodes=[node(each, values) for each in some], total=len(found))

    async def views(self, record: RunRecord) -> dict[str, NodeView]:
        """The nodes of a run, those under way included."""
        handle = self._vm.driven(record.id)
        return await nodes_of(self._store, record, None if handle is None else dict(handle.progress.active))

    async def view(self, record: RunRecord, path: str) -> NodeView:
        """Raises Refused if the run has no such node."""
        found = (await self.views(record)).get(path)
        if found is None:
            raise not_found("node", path, f"GET /v1/runs/{record.id}/nodes lists those there are.")
        return found

    async def tree(self, run_id: str) -> models.Tree:
        """The run's first ancestor with all forks."""
        root = await self.record(run_id)
        while root.parent is not None and (above := await self._store.get_run(root.parent)) is not None:
            root = above
        top = await self._branch(root)
        pending = [(root.id, top)]
        while pending:
            run, branch = pending.pop()
            for each in await self._store.forks(run):
                branch.forks.append(await self._branch(each))
                pending.append((each.id, branch.forks[-1]))
        return top

    async def _branch(self, record: RunRecord) -> models.Tree:
        return models.Tree.model_validate(
            {
                "run": record.id,
                "status": await status_of(self._store, record),
                "difference": difference(record),
                "created_at": record.created_at,
            }
        )


def node(view: NodeView, values: Values) -> models.Node:
    """A node as lists show it."""
    event, detail = view.event, view.event.detail
    ended = view.state in ("done", "failed", "given") and event.finished_at > 0
    deadline = detail.get("deadline")
    tokens = None
    if "output_tokens" in detail:
        counts = {name: detail.get(f"{name}_tokens", 0) for name in ("input", "output", "cached")}
        tokens = models.Tokens.model_validate(counts)
    return models.Node.model_validate(
        {
            "path": event.path,
            "site": event.site,
            "kind": event.node,
            "state": view.state,
            "source": view.source,
            "reused": view.reused,
            "run": view.run,
            "seq": event.seq,
            "started_at": event.started_at or None,
            "finished_at": event.finished_at if ended else None,
            "tokens": tokens,
            "ttft": detail.get("ttft"),
            "deadline": deadline,
            "slack": deadline - event.finished_at if deadline is not None and ended else None,
            "served": view.served,
            "error": values.error(event.value) if view.state == "failed" else None,
        }
    )


def progress_of(handle: Handle) -> models.Progress:
    found = handle.progress
    return models.Progress(
        executed=found.executed,
        reused=found.reused,
        tokens=models.Tokens(input=found.input_tokens, output=found.output_tokens),
        running=[models.Active(path=path, started_at=since) for path, since in dict(found.active).items()],
    )


def wanted_status(status: str | None) -> str | None:
    """Raises Refused for a status there is not."""
    if status is not None and status not in STATUSES:
        raise Refused(422, "invalid-input", f"status: use one of {', '.join(STATUSES)}.")
    return status


def over(record: RunRecord) -> bool:
    """Whether the run has come to an end, if not always for good."""
    return record.status in OVER


def _met(record: RunRecord) -> bool | None:
    if record.deadline_at is None or record.finished_at is None or not over(record):
        return None
    return record.finished_at <= record.deadline_at


def _tokens(nodes: Iterable[NodeView]) -> models.Tokens:
    """What the run paid for: not results that other work had."""
    paid = [each.event.detail for each in nodes if each.event.source in _PAID]
    counts = {
        name: sum(each.get(f"{name}_tokens", 0) for each in paid) for name in ("input", "output", "cached")
    }
    return models.Tokens.model_validate(counts)
