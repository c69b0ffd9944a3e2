"""Traced regions: ordinary Python whose calls are recorded and replayed in order.

Calls are numbered within the asyncio task that makes them, and tasks within the
task that started them, by the order of their first call. A region that does the
same again therefore asks for the same under the same path; on resume what the
journal has there must be the same call, or the run stops (`ReplayMismatch`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from agentvm_compiler.calls import Agent, LlmRequest, Tool, serving
from agentvm_compiler.compile import Compiled
from agentvm_compiler.errors import InternalError
from agentvm_compiler.human import is_human
from agentvm_compiler.ir import Node
from agentvm_compiler.wire import Stage

from .asking import Place, ask_request
from .errors import is_failure
from .humans import ask_person
from .session import Session
from .tools import attempts_of, call_here, call_tool, tool_work, within_tool
from .work import Outcome, Work

RunAgent = Callable[..., Awaitable[Any]]


class _Scope:
    """The calls of one task within a traced region."""

    def __init__(self, prefix: str) -> None:
        self.task = _task()
        self.failed: BaseException | None = None
        """What the last call raised, until the task makes another: then it has handled that."""
        self._prefix = prefix
        self._calls = 0
        self._tasks = 0

    def next_call(self) -> str:
        self._calls += 1
        return f"{self._prefix}{self._calls}"

    def child(self) -> _Scope:
        self._tasks += 1
        return _Scope(f"{self._prefix}t{self._tasks}.")

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
        self.calls = 0
        """Calls made so far, in all tasks."""

    async def llm(self, request: LlmRequest) -> Any:
        place = self._place("llm")
        with _scope.get():
            return await ask_request(self._session, place, request, traced=True)

    async def tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = self._place(tool.name)
        with _scope.get():
            if is_human(tool):
                return await ask_person(self._session, place, args, kwargs, traced=True)
            return await call_tool(self._session, place, tool, args, kwargs, traced=True)

    async def agent(self, agent: Agent, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = self._place(agent.name)
        with _scope.get():
            return await self._run_agent(self._session, place, agent, args, kwargs, traced=True)

    def sync_tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a synchronous tool where it stands; a write blocks until it is durable."""
        place = self._place(tool.name)
        with _scope.get():
            return self._sync_tool(place, tool, args, kwargs)

    def _sync_tool(self, place: Place, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session = self._session
        work = tool_work(place, tool, args, kwargs, traced=True)
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

    def _place(self, site: str) -> Place:
        scope = _scope.get()
        if scope.task is not _task():
            scope = scope.child()
            _scope.set(scope)
        self.calls += 1
        if scope.failed is not None:
            self._session.failures.handled(scope.failed)
            scope.failed = None
        return Place(
            path=f"{self._path}/{scope.next_call()}",
            site=site,
            program=self._program.hash,
            name=self._program.program.name,
            within=self._site,
            remaining=self._remaining,
        )


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


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # in a thread
        return None
