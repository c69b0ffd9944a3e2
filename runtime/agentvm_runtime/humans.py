"""Asking people: from an `ask_human(...)` call to its answer, journaled.

A question is put by journaling it. If somebody is at hand in this process they
are asked; otherwise the call waits for a message in the run's mailbox, and when
nothing else of the run goes on, the run is suspended (`attending`).
"""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from agentvm_compiler.errors import InputError
from agentvm_compiler.human import HumanRequest, human_request

from .questions import accepted
from .records import Event, EventKind, Source
from .session import Session
from .structured import schema_of, type_name
from .values import key_digest
from .work import Outcome, Work

if TYPE_CHECKING:
    from .asking import Place


def human_key(args: tuple[Any, ...], kwargs: dict[str, Any], path: str) -> str:
    """Execution key of a question: each is put once in a run."""
    request = human_request(*args, **kwargs)
    wanted = (type_name(request.returns), schema_of(request.returns))
    return key_digest(("human", request.question, wanted, path))


async def ask_person(session: Session, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Carry out an `ask_human(*args, **kwargs)` call, or use what is recorded of it."""
    request = human_request(*args, **kwargs)
    key = human_key(args, kwargs, place.path)
    work = Work(place.path, place.site, "human", key, ticket=place.ticket)

    async def execute() -> Outcome:
        if session.human is not None:
            return await _ask_at_hand(session, work, request)
        with session.activity:
            return await _wait(session, work, request)

    return await session.perform(work, execute)


async def _ask_at_hand(session: Session, work: Work, request: HumanRequest) -> Outcome:
    assert session.human is not None
    await _put(session, work, request)
    given = session.human(HumanRequest(request.question, request.returns, work.path))
    if inspect.isawaitable(given):
        given = await given
    return Outcome(accepted(given, request.returns), source=Source.PERSON)


async def _wait(session: Session, work: Work, request: HumanRequest) -> Outcome:
    put = session.history.asked.get(work.path)
    refused = 0
    if put is None or put.key != work.key:
        await _put(session, work, request)
    else:
        refused = put.detail.get("refused", 0)
    while True:
        message = await session.activity.answer(work.path, work.key, after=refused)
        assert message.value is not None
        value = await session.fetch(message.value)
        try:
            return Outcome(accepted(value, request.returns), {"message": message.seq}, Source.PERSON)
        except InputError as error:
            refused = message.seq
            await _put(session, work, request, refused=refused, problem=str(error))


async def _put(session: Session, work: Work, request: HumanRequest, **more: Any) -> None:
    """Journal a question; returns when it is durable.

    Args:
        more: of an answer that was refused, its number and why.
    """
    now = time.time()
    detail = {"question": request.question, "schema": schema_of(request.returns), **more}
    event = Event(
        EventKind.ASKED,
        work.path,
        work.site,
        work.node,
        work.key,
        started_at=now,
        finished_at=now,
        detail=detail,
    )
    session.history.add(event)
    await session.durable(session.append(event))
    session.events.tell(event)
