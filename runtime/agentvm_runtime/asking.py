"""Asking the model: from an `llm(...)` call to a backend's answer, journaled."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import LlmRequest, llm_request
from agentvm_compiler.errors import AgentVMError, BackendError
from agentvm_compiler.passes.stages import summarised
from agentvm_compiler.wire import Hints, ModelCall, ModelResult, Stage

from .budgets import Usage
from .dependence import shared_key
from .drafts import Draft
from .keys import model_key
from .limits import due
from .profiling import place as place_name
from .retrying import Attempts, attempt
from .sequencing import Ticket
from .session import Session
from .siblings import Siblings
from .streams import Text
from .structured import ask, schema_of
from .updates import Asked
from .work import Outcome, Work

if TYPE_CHECKING:
    from .frames import Frame


@dataclass(slots=True)
class Place:
    """Where in the run and in the program a call stands. Never changed, as `Work`."""

    path: str
    site: str
    program: str = ""
    """Hash of the program."""
    name: str = ""
    """`module:qualname` of the agent."""
    siblings: Siblings | None = None
    frame: Frame | None = None
    """What the call is part of."""
    prefix_group: str = ""
    within: str = ""
    """Site of the traced part that makes the call, if one does."""
    ticket: Ticket | None = None
    """Among the calls of that part."""
    remaining: Callable[[], tuple[Stage, ...]] = tuple
    """Forecasts the stages of the run that wait for the call."""


async def ask_model(session: Session, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Carry out an `llm(*args, **kwargs)` call, or use what is recorded of it."""
    return await ask_request(session, place, llm_request(*args, **kwargs))


async def ask_request(session: Session, place: Place, request: LlmRequest) -> Any:
    """The same for a request that was checked already."""
    key = model_key(request, session.backend.identity(request.model), place.path)
    may_share = request.sampling.deterministic or request.share
    shared = shared_key(key, request.returns) if may_share else ""
    usage = Usage()
    work = Work(place.path, place.site, "llm", key, shared=shared, ticket=place.ticket, usage=usage)

    async def execute() -> Outcome:
        model = request.model or ""
        if model not in session.flights.met:
            await session.meet(model)
        attempts = Attempts(session, work, request.retry, _may_pass)
        return await attempt(attempts, request.timeout, partial(complete, session, request, place, usage))

    return await session.perform(work, execute)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or (isinstance(error, BackendError) and error.transient)


async def complete(session: Session, request: LlmRequest, place: Place, usage: Usage) -> Outcome:
    """Ask the backend, with one repair attempt where the answer has a type.

    Args:
        usage: of the work that the call is made for; what is used is added.

    Raises:
        Halt: the budget is used up.
    """
    model = session.backend.identity(request.model)
    until = None if request.timeout is None else time.time() + request.timeout
    hints = hints_of(session, request, place, until)
    asked = Asked(place, hints, request.slo, until)
    call = ModelCall(
        messages=request.messages,
        model=request.model,
        sampling=request.sampling,
        schema=schema_of(request.returns),
        returns=request.returns,
        prompt=request.prompt,
        path=place.path,
        hints=hints,
        trace=session.observer.headers(),
    )
    counted = 0
    draft = Draft(0)

    def progress(tokens: int, text: str) -> None:
        """Count tokens as they come; a repair attempt counts from the start again."""
        nonlocal counted
        session.progress.output_tokens += tokens - counted if tokens > counted else tokens
        counted = tokens
        session.texts.tell(Text(place.path, text))
        draft.add(text)

    async def once(one: ModelCall) -> ModelResult:
        nonlocal counted, draft
        counted = 0
        draft = session.drafts.begin(place.path)
        try:
            session.account.begin(model)
        except AgentVMError as error:
            await session.account.idle()
            raise session.halt(error) from None
        usage.calls += 1
        try:
            result = await session.backend.complete(replace(one, hints=asked.hints), progress)
        finally:
            session.account.end()
        session.progress.output_tokens += result.usage.output_tokens - counted
        session.progress.input_tokens += result.usage.input_tokens
        session.account.pay(model, result, usage)
        return result

    try:
        with nullcontext() if session.updates is None else session.updates.about(asked):
            value, results = await ask(once, call)
    finally:
        session.drafts.end(place.path)
    if place.name:
        _observe(session, place, results)
    return Outcome(value, {**_account(results, hints), **usage.taken()})


def hints_of(session: Session, request: LlmRequest, place: Place, until: float | None = None) -> Hints:
    """What the scheduler is told with this call.

    Args:
        until: of the call's own timeout, Unix seconds.
    """
    deadline = min((each for each in (due(), until) if each is not None), default=None)
    slo = request.slo or ("deadline" if deadline is not None else "best_effort")
    return Hints.model_validate(
        {
            "key": f"{session.record.id}/{place.path}",
            "program": place.program,
            "run": session.record.id,
            "path": place.path,
            "site": place_name(place.name, place.site),
            "slo": slo,
            "deadline": deadline,
            "run_deadline": session.record.deadline_at,
            "remaining": summarised(place.remaining()),
            "siblings": 1 if place.siblings is None else place.siblings.count,
            "prefix_group": place.prefix_group,
        }
    )


def _observe(session: Session, place: Place, results: tuple[ModelResult, ...]) -> None:
    notes = session.observed.at(place.name, place.within or place.site)
    notes.input_tokens.extend(each.usage.input_tokens for each in results)
    notes.output_tokens.extend(each.usage.output_tokens for each in results)


_KEPT = {"slo", "run_deadline", "siblings", "prefix_group", "remaining"}
"""Of the hints, what the journal keeps where it says something."""


def _account(results: tuple[ModelResult, ...], hints: Hints) -> dict[str, Any]:
    """What the journal keeps of a call: tokens, times, and what the scheduler was told."""
    first, last = results[0], results[-1]
    told = hints.model_dump(mode="json", include=_KEPT, exclude_defaults=True)
    return {
        "input_tokens": sum(each.usage.input_tokens for each in results),
        "output_tokens": sum(each.usage.output_tokens for each in results),
        "cached_tokens": sum(each.usage.cached_tokens for each in results),
        "ttft": first.timing.ttft,
        "ttlt": last.timing.finished_at - first.timing.sent_at,
        "finish_reason": last.finish_reason,
        "repaired": len(results) > 1,
        "model": last.model,
        "deadline": hints.deadline,
        "key": hints.key,
        **({"hints": told} if told else {}),
    }
