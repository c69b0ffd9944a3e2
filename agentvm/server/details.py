"""One node with all that is known of it: what it read, what came of it, and what the scheduler did."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from agentvm.views.jsonable import jsonable
from agentvm.views.nodes import NodeView, served_of
from agentvm.views.operands import Operands, Unknown, read_by
from agentvm.views.prompts import prompt_of
from agentvm.views.values import Values, clean, values_of
from agentvm.views.why import why
from agentvm_compiler.errors import AgentVMError
from agentvm_compiler.ir import Kind, Module, Node, base
from agentvm_runtime.records import RunRecord
from agentvm_runtime.revision import MODULE, NAMES, module_of

from . import models
from .reading import Reader, node

if TYPE_CHECKING:
    from agentvm.vm import AgentVM
    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import Digest

logger = logging.getLogger(__name__)

SCHEDULER_SECONDS = 2.0
"""How long the engine is waited for when its account of a call is wanted."""
_ROUNDS = 50
_TOLD = ("input_tokens", "output_tokens", "cached_tokens", "ttft", "deadline", "why", "hints")
"""Of an event's detail, what the node says elsewhere."""


async def detail_of(vm: AgentVM, reader: Reader, run_id: str, path: str) -> models.NodeDetail:
    """Raises Refused if there is no such run or node."""
    record = await reader.record(run_id)
    views = await reader.views(record)
    view = await reader.view(record, path)
    event = view.event
    values = await values_of(vm.store, [event.value, *(each.value for each in view.attempts)])
    found = models.NodeDetail(
        **node(view, values).model_dump(),
        key=event.key,
        output=values.output(event) if view.state in ("done", "given") else None,
        why=await _why(vm.store, record, path),
        attempts=[
            {"error": values.error(each.value), "at": each.finished_at, **jsonable(each.detail)}
            for each in view.attempts
        ],
        detail={name: jsonable(each) for name, each in event.detail.items() if name not in _TOLD},
        hints=_hints(view),
        schedule=await schedule_of(vm, event.detail.get("key") or f"{record.id}/{path}")
        if event.node == "llm"
        else [],
    )
    if event.node == "llm" and not found.served:
        inherited = [] if view.own else await served_of(vm.store, view.run, path)
        found.served = [models.Served.model_validate(each) for each in inherited] or _told_now(found.schedule)
    module = await program_of(vm.store, record)
    if module is not None:
        await _with_program(found, vm.store, record, module, views, path)
    return found


async def program_of(store: Store, record: RunRecord) -> Module | None:
    """The program a run was executed with, as it was recorded."""
    return await module_of(store, record.meta[MODULE]) if MODULE in record.meta else None


async def _why(store: Store, record: RunRecord, path: str) -> str:
    try:
        return next((str(each["why"]) for each in await why(store, record, path) if each["path"] == path), "")
    except AgentVMError:
        return ""  # it has no result yet


def _hints(view: NodeView) -> dict[str, Any] | None:
    detail = view.event.detail
    if view.event.node != "llm":
        return None
    told = {name: detail[name] for name in ("key", "deadline") if detail.get(name) is not None}
    return {**told, **detail.get("hints", {})} or None


async def schedule_of(vm: AgentVM, key: str) -> list[dict[str, Any]]:
    """The scheduler's account of a call, while it keeps it; empty where there is no scheduler of ours."""
    scheduler = getattr(vm.backend, "scheduler", None)
    if scheduler is None:
        return []
    try:
        with anyio.move_on_after(SCHEDULER_SECONDS):
            return [dict(jsonable(each)) for each in await scheduler.records(key)]
    except AgentVMError as error:
        logger.info("the scheduler's account of %s cannot be had: %s", key, error)
    return []


_ENGINES = {"queued_at": "arrival", "started_at": "first_scheduled_at"}
"""Names that the engine has for what the journal calls otherwise."""


def _told_now(schedule: list[dict[str, Any]]) -> list[models.Served]:
    """What the journal does not have yet, from what the engine says."""
    fields = {name: _ENGINES.get(name, name) for name in models.Served.model_fields}
    return [
        models.Served.model_validate({name: each[there] for name, there in fields.items() if there in each})
        for each in schedule
        if each.get("arrival") is not None
    ]


class _Missing(Exception):
    """A value has to be read first."""

    def __init__(self, name: Digest) -> None:
        super().__init__(name)
        self.name = name


async def _with_program(
    found: models.NodeDetail,
    store: Store,
    record: RunRecord,
    module: Module,
    views: dict[str, NodeView],
    path: str,
) -> None:
    """Add what the program says of a node, and the values it read."""
    read: dict[Digest, Any] = {}
    inputs = (await values_of(store, [record.inputs])).raw(record.inputs)

    def load(name: Digest) -> Any:
        if name not in read:
            raise _Missing(name)
        return read[name]

    results = {each: view.event for each, view in views.items()}
    given = inputs if isinstance(inputs, dict) else {}
    operands = Operands(module, record.meta.get(NAMES, {}), results, load, given)
    place = operands.place(path)
    if place is None:
        return
    here, spot = place
    found.code, found.line, found.effect = here.code, here.span.line or None, here.effect.value
    known: dict[str, Any] = {}
    for operand in read_by(here):
        for _ in range(_ROUNDS):
            try:
                known[base(operand)] = operands.value(here, operand, spot)
            except Unknown:
                pass
            except _Missing as missing:
                values: Values = await values_of(store, [missing.name])
                read[missing.name] = values.raw(missing.name)
                continue
            break
    found.inputs = [_operand(base(each), known) for each in read_by(here)]
    found.prompt = _prompt(here, known)


def _operand(name: str, known: dict[str, Any]) -> models.Operand:
    return models.Operand(name=name, known=name in known, value=jsonable(known.get(name)))


def _prompt(here: Node, known: dict[str, Any]) -> str | None:
    text = prompt_of(here.code, known) if here.kind in (Kind.LLM, Kind.HUMAN) else None
    return None if text is None else clean(text)
