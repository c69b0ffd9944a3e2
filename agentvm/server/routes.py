"""The routes of the agents API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from sse_starlette import EventSourceResponse

from agentvm_compiler.compile import compile_agent
from agentvm_compiler.errors import InputError
from agentvm_runtime.budgets import Budget
from agentvm_runtime.control import Settlement
from agentvm_runtime.control import resolve as settle
from agentvm_runtime.records import RunRecord
from agentvm_runtime.revision import NAMES

from . import models
from .comparing import diff_of
from .details import detail_of, program_of
from .events import EVENT, Watch, stream
from .graph import graph_of
from .problems import Refused
from .reading import wanted_status
from .registry import info_of

if TYPE_CHECKING:
    from .house import House

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Problem, "description": text}
    for status, text in {
        400: "The request is malformed.",
        401: "No token, or a wrong one.",
        403: "From a web page that is not this server's.",
        404: "No such run, node or agent.",
        409: "The run stands otherwise, or another process drives it.",
        405: "There is no such operation.",
        408: "The body did not come in time.",
        413: "The body is too large.",
        415: "The body is no JSON.",
        421: "The server is not called so.",
        422: "The input does not fit.",
        502: "The model could not answer.",
        504: "It took too long.",
        503: "Too many requests, or the store cannot be used.",
    }.items()
}
Id = Annotated[
    str, Path(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$", description="A run's id.")
]
Name = Annotated[str, Query(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
NodePath = Annotated[
    str, Query(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$", description="Such as `map#1[2]/llm#1`.")
]


def agents_api(house: House) -> APIRouter:
    """The routes, over one machine's runs."""
    api = APIRouter(prefix="/v1", responses=PROBLEMS)
    _reads(api, house)
    _writes(api, house)
    return api


def _reads(api: APIRouter, house: House) -> None:
    reader, vm = house.reader, house.vm

    @api.get("/agents", tags=["agents"])
    async def list_agents() -> list[models.AgentInfo]:
        """The agents that can be started here, with JSON Schemas of their inputs."""
        return [info_of(each) for each in house.registry]

    @api.get("/agents/{name}/graph", tags=["agents"])
    async def agent_graph(name: Annotated[str, Path(max_length=512)]) -> models.Graph:
        """The program of an agent as it is now."""
        return graph_of(compile_agent(house.registry.named(name)).module)

    @api.get("/runs", tags=["runs"])
    async def list_runs(
        agent: Name | None = None,
        status: Annotated[str | None, Query(max_length=32, description="Such as `running`.")] = None,
        parent: Annotated[Name | None, Query(description="Only forks of this run.")] = None,
        after: Annotated[Name | None, Query(description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> models.RunPage:
        """Runs, newest first."""
        return await reader.page(
            agent=house.registry.ref_of(agent),
            status=wanted_status(status),
            parent=parent,
            after=after,
            limit=limit,
        )

    @api.get("/runs/{run}", tags=["runs"])
    async def get_run(run: Id) -> models.RunDetail:
        """One run: what it was given, how it stands, what came of it, what it asks."""
        return await reader.detail(run)

    @api.get("/runs/{run}/nodes", tags=["runs"])
    async def list_nodes(
        run: Id,
        kind: Annotated[str | None, Query(max_length=32)] = None,
        state: Annotated[models.State | None, Query()] = None,
        within: Annotated[str, Query(max_length=4096, description="Only paths that begin so.")] = "",
        offset: Annotated[int, Query(ge=0, le=100_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    ) -> models.NodePage:
        """The nodes of a run: state, source, times, tokens, slack."""
        return await reader.nodes(run, kind=kind, state=state, within=within, offset=offset, limit=limit)

    @api.get("/runs/{run}/node", tags=["runs"])
    async def get_node(run: Id, path: NodePath) -> models.NodeDetail:
        """One node: inputs, prompt, output, tokens, hints, the scheduler's account."""
        return await detail_of(vm, reader, run, path)

    @api.get("/runs/{run}/graph", tags=["runs"])
    async def run_graph(run: Id) -> models.Graph:
        """The program that the run was executed with."""
        record = await reader.record(run)
        module = await program_of(vm.store, record)
        if module is None:
            raise Refused(404, "program-not-found", f"The program of run {run} is not in the store.")
        return graph_of(module, record.meta.get(NAMES))

    @api.get("/runs/{run}/tree", tags=["runs"])
    async def run_tree(run: Id) -> models.Tree:
        """The run's first ancestor, with all forks."""
        return await reader.tree(run)

    @api.get("/diff", tags=["runs"])
    async def diff(a: NodePath, b: NodePath) -> models.Diff:
        """Two runs side by side: where the same work came out otherwise, and what follows from it."""
        return await diff_of(vm.store, reader, a, b)

    @api.get(
        "/runs/{run}/events",
        tags=["runs"],
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {"schema": EVENT}}}},
    )
    async def run_events(
        run: Id,
        after: Annotated[int, Query(ge=0, le=2**53, description="Number of the last event you have.")] = 0,
        last_event_id: Annotated[str | None, Header(max_length=32)] = None,
    ) -> EventSourceResponse:
        """The run's events as they happen: `run`, `journal`, `progress`, `text`, `end`, `closing`.

        `Last-Event-ID` goes on where a stream was cut off.
        """
        record = await reader.record(run)
        number = int(last_event_id) if last_event_id is not None and _is_number(last_event_id) else after
        watch = Watch(vm, reader, house.settings, house.runner.closing)
        settings = house.settings
        return EventSourceResponse(
            house.counted(stream(watch, record, number)),
            ping=settings.heartbeat,
            sep="\n",
            send_timeout=settings.request_timeout,  # a client that reads nothing holds no place for ever
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _writes(api: APIRouter, house: House) -> None:
    reader, vm, runner = house.reader, house.vm, house.runner

    async def accepted(record: RunRecord) -> models.Accepted:
        return models.Accepted(run=await reader.run(record))

    async def again(run: str) -> models.Accepted:
        return await accepted(await reader.record(run))

    @api.post("/runs", status_code=201, tags=["runs"])
    async def start_run(body: models.StartRun, response: Response) -> models.Accepted:
        """Start a run of a registered agent; it is durable when this answers.

        Over the server's limit it is `queued`, and starts when there is room.
        """
        agent = house.registry.named(body.agent)
        await _free(body.id)
        options = {"run_id": body.id, "memo": body.memo, "concurrency": body.concurrency, **_limits(body)}
        try:
            record = await runner.start(agent, body.inputs, options)
        except InputError:
            await _free(body.id)
            raise
        response.headers["Location"] = f"/v1/runs/{record.id}"
        return await accepted(record)

    async def _free(run_id: str | None) -> None:
        """Raises Refused if there is such a run."""
        if run_id is not None and await vm.store.get_run(run_id) is not None:
            detail = f"Run {run_id} exists already: GET /v1/runs/{run_id}, or choose another id."
            raise Refused(409, "run-exists", detail, {"Location": f"/v1/runs/{run_id}"})

    @api.post("/runs/{run}/answer", tags=["runs"])
    async def answer(run: Id, body: models.Answer) -> models.Accepted:
        """Answer a question of the run; it goes on."""
        await reader.record(run)
        await vm.answer(run, body.node, body.value)
        runner.nudge()
        return await again(run)

    @api.post("/runs/{run}/cancel", tags=["runs"])
    async def cancel(run: Id) -> models.Accepted:
        """Stop the run for good, whichever process drives it. Idempotent."""
        await reader.record(run)
        await vm.cancel(run)
        return await again(run)

    @api.post("/runs/{run}/resolve", tags=["runs"])
    async def resolve(run: Id, body: models.Resolve) -> models.Accepted:
        """Say what became of a write in doubt; the run goes on, unless it is given up."""
        record = await reader.record(run)
        await settle(vm.store, record, body.node, Settlement(body.outcome), body.value)
        runner.nudge()
        return await again(run)

    @api.post("/runs/{run}/resume", tags=["runs"])
    async def resume(run: Id, body: models.Resume | None = None) -> models.Accepted:
        """Go on with a run that nobody drives; with `retry`, try again what ended a failed one."""
        wanted = body or models.Resume()
        record = await reader.record(run)
        if vm.driven(run) is not None:
            return await accepted(record)
        agent = house.registry.find(record)
        budget = _budget(wanted.budget)
        handle = await vm.resume(run, agent=agent, retry=wanted.retry, budget=budget)
        return await accepted(runner.adopt(handle))

    @api.post("/runs/{run}/fork", status_code=201, tags=["runs"])
    async def fork(run: Id, body: models.ForkRun, response: Response) -> models.Accepted:
        """Start a run that differs from this one; it inherits all that does not depend on the difference."""
        record = await reader.record(run)
        agent = house.registry.find(record)
        await _free(body.id)
        handle = await vm.fork(
            run, at=body.at, set=body.set, agent=agent, name=body.id, memo=body.memo, **_limits(body)
        )
        response.headers["Location"] = f"/v1/runs/{handle.id}"
        return await accepted(runner.adopt(handle))


def _limits(body: models.Deadline) -> dict[str, Any]:
    return {"deadline": body.deadline, "on_deadline": body.on_deadline, "budget": _budget(body.budget)}


def _budget(given: models.BudgetLimits | None) -> Budget | None:
    return None if given is None else Budget(**given.model_dump(exclude_none=True))
