"""Calling tools: in the loop or a thread, with timeout and retries."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from agentvm_compiler.calls import Agent, CallContext, Effect, LlmRequest, Tool, serving

from .asking import Place, complete
from .budgets import Usage
from .dependence import shared_key
from .keys import tool_key
from .retrying import Attempts, attempt
from .rooms import rooms_of, seats_of, turn_of
from .session import Session
from .work import Outcome, Work

# Bound once: to look a member of an enum up takes as long as to call a function.
PURE, READ, WRITE = Effect.PURE, Effect.READ, Effect.WRITE


def call_tool(
    session: Session,
    place: Place,
    tool: Tool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Awaitable[Any]:
    """Call a tool from within a run, or use what is recorded of the call."""
    work = tool_work(place, tool, args, kwargs)
    turn = turn_of(tool)
    work.rooms = rooms_of(tool)
    if turn is not None:
        work.rooms = (*work.rooms, turn)

    async def execute() -> Outcome:
        if tool.name not in session.flights.met:
            await session.meet(tool.name)
        started = time.monotonic()
        once = partial(_once, session.context(work), session, work, tool, args, kwargs)
        pause = None if turn is None else turn.pause
        value = await attempt(attempts_of(session, work, tool), tool.timeout, once, pause)
        notes = session.observed.at(place.name, place.within or place.site)
        notes.tool_seconds.append(time.monotonic() - started)
        return Outcome(value, work.usage.taken() if work.usage else {})

    return session.perform(work, execute)


def tool_work(place: Place, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Work:
    """The work of a tool call, as the session sees it."""
    key, effect, ttl = tool_key(tool, args, kwargs), tool.effect, tool.ttl
    return Work(
        place.path,
        place.site,
        "tool",
        key,
        shared_key(key, tool.fn) if effect is PURE or ttl is not None else "",
        ttl,
        effect is WRITE,
        tool.idempotent,
        place.ticket,
        effect is READ,
        None if place.ticket is None else (args, kwargs),
    )


def attempts_of(session: Session, work: Work, tool: Tool) -> Attempts:
    """The attempts at a tool call: it is tried again after any exception, unless its policy says which."""
    return Attempts(session, work, tool.retry, _any)


def _any(_: Exception) -> bool:
    return True


async def _once(
    context: CallContext,
    session: Session,
    work: Work,
    tool: Tool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    with within_tool(session, work, context):
        if tool.is_async:
            return await tool.fn(*args, **kwargs)
        if tool.inline:
            return tool.fn(*args, **kwargs)
        carried = contextvars.copy_context()
        call = partial(_seated, seats_of(tool), partial(carried.run, tool.fn, *args, **kwargs))
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=tool.timeout is not None)


def _seated(seats: threading.Semaphore | None, call: Callable[[], Any]) -> Any:
    if seats is None:
        return call()
    with seats:
        return call()


def call_here(tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a synchronous tool where the caller stands, within the tool's limit and timeout.

    As everywhere, a thread whose time is up is left alone, and keeps its seat until it ends.
    """
    seats, timeout = seats_of(tool), tool.timeout
    call = partial(tool.fn, *args, **kwargs)
    if timeout is None:
        return _seated(seats, call)
    if seats is not None and not seats.acquire(timeout=timeout):
        raise TimeoutError(f"not begun within {timeout:g} s")
    outcome: Future[Any] = Future()
    work = partial(_settle, outcome, seats, partial(contextvars.copy_context().run, call))
    threading.Thread(target=work, name=f"agentvm-{tool.name}", daemon=True).start()
    if wait([outcome], timeout).not_done:
        raise TimeoutError(f"not done within {timeout:g} s")
    return outcome.result()


def _settle(outcome: Future[Any], seats: threading.Semaphore | None, call: Callable[[], Any]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:
        outcome.set_exception(error)
    finally:
        if seats is not None:
            seats.release()


class Unrecorded:
    """Dispatcher inside a tool: calls are made, and nothing of them is recorded."""

    def __init__(self, session: Session, work: Work) -> None:
        """`work` is the tool's, which pays for what it asks the model."""
        self._session = session
        self._usage = work.usage = work.usage or Usage()

    async def llm(self, request: LlmRequest) -> Any:
        return (await complete(self._session, request, Place("", "llm"), self._usage)).value

    async def tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await tool.fn(*args, **kwargs)

    def sync_tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return tool.fn(*args, **kwargs)

    async def agent(self, agent: Agent, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await agent.fn(*args, **kwargs)


def within_tool(session: Session, work: Work, context: CallContext) -> serving:
    """What a tool's own code sees: its context, and a model it may ask.

    A tool is recorded as a whole, so what it calls in turn is not.
    """
    return serving(Unrecorded(session, work), context)
