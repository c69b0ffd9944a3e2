"""Traced regions: ordinary Python whose calls are recorded and replayed in order.

Calls are numbered within the asyncio task that makes them, and tasks within the
task that started them, by the order of their first call. A region that does the
same again therefore asks for the same under the same path; on resume what the
journal has there must be the same call, or the run stops (`ReplayMismatch`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from agentvm_compiler.calls import Agent, Effect, LlmRequest, Tool, serving
from agentvm_compiler.compile import Compiled
from agentvm_compiler.errors import InternalError
from agentvm_compiler.human import is_human
from agentvm_compiler.ir import Node
from agentvm_compiler.wire import Stage

from .asking import Place, ask_request
from .callees import called
from .errors import Halt, is_failure
from .humans import ask_person, human_key
from .keys import model_key, tool_key
from .numbering import Identify, Tasks
from .records import Event
from .sequencing import Sequencer, Ticket
from .session import Session
from .tools import attempts_of, call_here, call_tool, tool_work, within_tool
from .work import Outcome, Work

RunAgent = Callable[..., Awaitable[Any]]


class _Scope:
    """The calls of one task within a traced region."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.task = _task()
        self.failed: BaseException | None = None
        """What the last call raised, until the task makes another: then it has handled that."""
        self._calls = 0

    def next_call(self) -> str:
        self._calls += 1
        return f"{self.prefix}{self._calls}"

    def __enter__(self) -> None:
        """Around a call: notes what it raises."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.failed = error


_scope: ContextVar[_Scope] = ContextVar("agentvm_traced_scope")


class Tracer:
    """Dispatcher of a traced region."""

    def __init__(
        self,
        session: Session,
        program: Compiled,
        node: Node,
        path: str,
        run_agent: RunAgent,
        remaining: Callable[[], tuple[Stage, ...]],
    ) -> None:
        self._session = session
        self._program = program
        self._site = node.site
        self._path = path
        self._run_agent = run_agent
        self._remaining = remaining
        recorded = () if session.revision.edited else session.history.within(path)
        self._sequencer = Sequencer(path, recorded)
        self._tasks = Tasks(path, recorded)
        self._doubtful: list[tuple[str, Ticket]] = []
        """Calls made, with their sites, that fit nothing recorded."""
        self.calls = 0
        """Calls made so far, in all tasks."""

    async def llm(self, request: LlmRequest) -> Any:
        backend = self._session.backend
        place, ticket = self._place(
            "llm", lambda path: model_key(request, backend.identity(request.model), path)
        )
        return await self._made(place, ticket, partial(ask_request, self._session, place, request))

    async def tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_human(tool):
            place, ticket = self._place(tool.name, lambda path: human_key(args, kwargs, path))
            return await self._made(place, ticket, partial(ask_person, self._session, place, args, kwargs))
        place, ticket = self._place(tool.name, lambda _: tool_key(tool, args, kwargs))
        call = partial(call_tool, self._session, place, tool, args, kwargs)
        return await self._made(place, ticket, call, writes=tool.effect is Effect.WRITE)

    async def agent(self, agent: Agent, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place, ticket = self._place(agent.name, lambda _: called(agent, args, kwargs, traced=True)[2])
        return await self._made(
            place, ticket, partial(self._run_agent, self._session, place, agent, args, kwargs)
        )

    def sync_tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a synchronous tool where it stands; a write blocks until it is durable."""
        place, ticket = self._place(tool.name, lambda _: tool_key(tool, args, kwargs))
        ticket.blocks = True
        with _scope.get(), ticket:
            self._check(place, ticket, writes=tool.effect is Effect.WRITE)
            return self._sync_tool(place, tool, args, kwargs)

    async def _made(
        self, place: Place, ticket: Ticket, call: Callable[[], Awaitable[Any]], *, writes: bool = False
    ) -> Any:
        """What comes of a call, when it is due."""
        session = self._session
        with _scope.get(), ticket:
            try:
                if ticket.skipped:
                    with session.activity:
                        await ticket.after_skipped()
                    self._check(place, ticket, writes=writes)
                result = await call()
            except Exception:
                await self._behind(ticket)
                raise
            except Halt as halt:
                _quiet()
                if session.halted and not ticket.name.isdecimal():
                    session.stop(halt.error)  # who waits for this task may not hear of it
                raise
            await self._behind(ticket)
            return result

    def _check(self, place: Place, ticket: Ticket, *, writes: bool) -> None:
        """Before a call that fits nothing recorded: the program may be another than it was.

        Raises:
            Halt: it writes, and recorded calls have not been made, which may be the same.
        """
        skipped = ticket.skipped
        if skipped and writes:
            raise self._session.mismatch(place.site, skipped[0])
        if skipped:
            self._doubtful.append((place.site, ticket))

    def conclude(self) -> None:
        """At the region's end. Raises Halt if it made other calls than those that are recorded."""
        for site, ticket in self._doubtful:
            if ticket.skipped:
                raise self._session.mismatch(site, ticket.skipped[0])

    async def _behind(self, ticket: Ticket) -> None:
        """Let recorded results come before new ones, and one new one after the other."""
        if ticket.noted:
            with self._session.activity:
                if self._sequencer.owes:
                    await ticket.behind()
                await ticket.apart()

    def _sync_tool(self, place: Place, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session = self._session
        work = tool_work(place, tool, args, kwargs)
        found = session.look_up(work)
        if found is not None:
            return session.replay(found, work)
        if session.store.full:
            session.block_to_keep_step()
        if work.write:
            session.block(session.intend(work))
        started = time.time()
        before = session.look_at(work)
        try:
            value = _attempt_here(session, work, tool, args, kwargs)
        except BaseException as error:
            if not is_failure(error):
                raise
            session.block(session.failed(work, error, started, before))
            raise
        outcome = Outcome(value, work.usage.taken() if work.usage else {})
        commit = session.finished(work, outcome, started, before)
        session.block(commit, accepted=not work.write)
        return value

    def _place(self, site: str, identify: Identify) -> tuple[Place, Ticket]:
        scope = _scope.get()
        skipped: Sequence[Event] = ()
        if scope.task is not _task():
            number, skipped = self._tasks.number(scope.prefix, identify)
            scope = _Scope(f"{scope.prefix}t{number}.")
            _scope.set(scope)
        self.calls += 1
        if scope.failed is not None:
            self._session.failures.handled(scope.failed)
            scope.failed = None
        name = scope.next_call()
        ticket = self._sequencer.call(name, skipped)
        place = Place(
            path=f"{self._path}/{name}",
            site=site,
            program=self._program.hash,
            name=self._program.program.name,
            within=self._site,
            remaining=self._remaining,
            ticket=ticket,
        )
        return place, ticket


def _attempt_here(
    session: Session, work: Work, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a synchronous tool until it succeeds or its policy says that it is enough."""
    attempts = attempts_of(session, work, tool)
    while True:
        if attempts.pause:
            time.sleep(attempts.pause)
        started = time.time()
        try:
            with within_tool(session, work, session.context(work)):
                return call_here(tool, args, kwargs)
        except Exception as error:
            attempts.failed(error, started)


class Forbidden:
    """Dispatcher of code that the compiler took for pure: a call is a bug, and must not go unnoticed."""

    def __init__(self, site: str) -> None:
        self._site = site

    def _refuse(self, what: str) -> InternalError:
        return InternalError(
            f"{self._site} called {what}, and the compiler did not see that it would. "
            "This is a bug in AgentVM: please report it with the source of the agent. "
            "To go round it, call the tool by its name in the agent itself."
        )

    async def llm(self, request: LlmRequest) -> Any:
        raise self._refuse("the model")

    async def tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise self._refuse(f"tool {tool.name}")

    def sync_tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise self._refuse(f"tool {tool.name}")

    async def agent(self, agent: Agent, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise self._refuse(f"agent {agent.name}")


class tracing:
    """Within it, calls go to the tracer, numbered from one."""

    __slots__ = ("_serving", "_token")

    def __init__(self, tracer: Tracer) -> None:
        self._serving = serving(tracer)

    def __enter__(self) -> None:
        self._serving.__enter__()
        self._token = _scope.set(_Scope(""))

    def __exit__(self, *raised: object) -> None:
        _scope.reset(self._token)
        self._serving.__exit__(*raised)


def pure(site: str) -> serving:
    """Within it, no call of ours may happen."""
    return serving(Forbidden(site))


def _quiet() -> None:
    """Let the current task end with what stops the run though nobody waits for it: that is told elsewhere."""
    task = _task()
    if task is not None:
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # in a thread
        return None
