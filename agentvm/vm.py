"""`AgentVM`: runs agents, and finds, resumes and forks their runs (`handle.Run`).

It joins the layers: the compiler's programs, the runtime's executor, a store
and a model backend. Runs live in the task group of the machine they were
started on (`attempts`), so leaving `async with AgentVM()` leaves none behind:
those not done are stopped and can be resumed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio

from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.errors import ConfigError, InternalError
from agentvm_runtime.budgets import BUDGET, Budget
from agentvm_runtime.control import OPEN
from agentvm_runtime.opening import preview
from agentvm_runtime.questions import Human
from agentvm_runtime.records import RunRecord, RunStatus
from agentvm_runtime.rehearsal import Preview
from agentvm_runtime.takeovers import Claim

from .attempts import Attempts, ended
from .creating import NewRun, Terms, new_fork, new_run
from .durations import Duration
from .handle import Run
from .loading import find_agent, require_agent
from .overseeing import Overseer, id_of

if TYPE_CHECKING:
    from agentvm_runtime.ports import ModelBackend, Store
    from agentvm_runtime.store import Place


class AgentVM(Overseer):
    """A machine that runs agents. An async context manager.

    Args:
        store: where runs are kept: a SQLAlchemy URL, `memory`, a path (of an SQLite file), or a
            store object. By default the environment's `AGENTVM_STORE`, else a file of the user's.
        llm: who answers model calls: a spec (`vllm:MODEL`, `openai:URL#MODEL`) or a
            backend. By default `AGENTVM_LLM`, else the small model on a local engine.
        human: who answers `ask_human` in this process, a function of the request or a
            coroutine function. Without it a run that asks is suspended, and `answer`
            gives the answer.
        durability: `strict`, `group` or `exit`: how much may be lost with the process
            (docs/durability.md). By default what the store's URL says, else `group`.
    """

    def __init__(
        self,
        *,
        store: Place | Store | None = None,
        llm: str | ModelBackend | None = None,
        durability: str | None = None,
        human: Human | None = None,
    ) -> None:
        self._store_option = _checked(store, durability)
        self._llm_option = llm
        self._durability = durability
        self._human = human
        self._stack = AsyncExitStack()
        self._attempts: Attempts | None = None

    async def __aenter__(self) -> AgentVM:
        from agentvm_runtime.store import open_store

        from .backends import open_llm
        from .config import default_llm, default_store
        from .telemetry import observe

        observed = observe()
        llm = self._llm_option if self._llm_option is not None else default_llm()
        backend = open_llm(llm) if isinstance(llm, str) else llm
        store = self._store_option if self._store_option is not None else default_store()
        self._spec = llm if isinstance(llm, str) else ""
        async with AsyncExitStack() as stack:
            if isinstance(llm, str):
                stack.push_async_callback(backend.aclose)
            if isinstance(store, str | os.PathLike):
                self.store = open_store(store, durability=self._durability)
                stack.push_async_callback(self.store.aclose)
            else:
                self.store = store
            await self.store.open()
            self._stack = stack.pop_all()
        tasks = await anyio.create_task_group().__aenter__()
        self._attempts = Attempts(self.store, backend, observed, self._human, tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempts = self._entered
        attempts.halt()
        attempts.tasks.cancel_scope.cancel()
        try:
            await attempts.tasks.__aexit__(None, None, None)
        finally:
            self._attempts = None
            with anyio.CancelScope(shield=True):
                await self._stack.aclose()

    async def run(
        self,
        agent: Any,
        /,
        *args: Any,
        deadline: Duration | None = None,
        on_deadline: str | None = None,
        budget: Budget | None = None,
        concurrency: int | None = None,
        run_id: str | None = None,
        memo: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Start a run and wait for its result; see `start` and `Run.result`."""
        options: dict[str, Any] = {"deadline": deadline, "on_deadline": on_deadline, "budget": budget}
        options |= {"concurrency": concurrency, "run_id": run_id, "memo": memo}
        return await (await self.start(agent, *args, **options, **kwargs)).result()

    async def start(
        self,
        agent: Any,
        /,
        *args: Any,
        deadline: Duration | None = None,
        on_deadline: str | None = None,
        budget: Budget | None = None,
        concurrency: int | None = None,
        run_id: str | None = None,
        memo: bool = True,
        **kwargs: Any,
    ) -> Run:
        """Start a run of an agent; returns once it is durably recorded.

        Args:
            deadline: time from now to the run's end, by default the agent's own.
            on_deadline: `cancel` the run when that is missed, or go on as `best_effort`; by default
                what the agent says.
            budget: tokens, calls, seconds and cost it may use.
            concurrency: how many of its calls may be under way at once.
            run_id: a name for the run; by default a new one.
            memo: whether it uses, and leaves, results that runs share.

        Raises:
            InputError: the inputs do not fit the agent, or the id is taken.
        """
        terms = Terms(deadline, on_deadline, budget, concurrency, memo, self._spec)
        return await self._entered.start(new_run(require_agent(agent), args, kwargs, terms, run_id))

    async def enqueue(
        self,
        agent: Any,
        /,
        *args: Any,
        deadline: Duration | None = None,
        on_deadline: str | None = None,
        budget: Budget | None = None,
        concurrency: int | None = None,
        run_id: str | None = None,
        memo: bool = True,
        **kwargs: Any,
    ) -> str:
        """Leave a run to a worker (`agentvm worker`); returns its id once it is durably recorded.

        The options are those of `start`; a deadline counts from now, not from when the run is taken.
        """
        terms = Terms(deadline, on_deadline, budget, concurrency, memo, self._spec)
        new = new_run(require_agent(agent), args, kwargs, terms, run_id)
        await self.store.create_run(replace(new.record, status=RunStatus.QUEUED), new.values)
        return new.record.id

    async def resume(
        self, run_id: str | Run, *, agent: Any = None, retry: bool = False, budget: Budget | None = None
    ) -> Run:
        """Go on with a run; what its journal has is not executed again.

        A run that has ended executes nothing: its result, or error, is that of the
        first time, unless `retry` is given for a failed one.

        Args:
            agent: the agent, if its module or name has changed.
            budget: another budget from now on; what the run has used of it counts.

        Raises:
            InputError: no such run, or its agent cannot be found.
            RunLeased: another process is driving it.
        """
        record = await self.get(id_of(run_id))
        retry = retry or budget is not None
        if _resumable(record, retry):
            program = self._agent_of(record, agent)
            attempts = self._entered
            async with attempts.leased(record.id) as lease:
                record = await self.get(record.id)  # another process may have driven it until now
                if _resumable(record, retry):
                    if budget is not None:
                        record = replace(record, meta={**record.meta, BUDGET: budget.to_json()})
                    return await attempts.resume(record, program, lease, retry=retry)
                await attempts.release(lease)
        return await ended(self.store, record)

    async def go_on(self, claim: Claim, agent: Any = None) -> Run:
        """Drive a run that waited for a process, and that this one has claimed (`takeovers`)."""
        return await self._entered.go_on(claim, self._agent_of(claim.record, agent))

    async def preview(self, run_id: str, *, agent: Any = None, retry: bool = False) -> Preview | None:
        """What `resume` would keep and do again, without doing it; None for a run that has ended.

        Raises:
            InputError: no such run, or its agent cannot be found.
        """
        record = await self.get(run_id)
        if not _resumable(record, retry):
            return None
        compiled = compile_agent(self._agent_of(record, agent))
        return await preview(record, compiled, self.store, self.backend, retry=retry)

    async def fork(
        self,
        run_id: str,
        *,
        at: str | None = None,
        set: Mapping[str, Any] | None = None,
        agent: Any = None,
        deadline: Duration | None = None,
        on_deadline: str | None = None,
        budget: Budget | None = None,
        concurrency: int | None = None,
        name: str | None = None,
        memo: bool = True,
    ) -> Run:
        """Start a run that differs from another one; returns once it is durably recorded.

        It inherits all results that do not depend on the difference, also of writes,
        and those that do where their inputs come out equal. A run that is still going
        on is forked as far as it is durable.

        Args:
            at: a place that is done again: a path, or the variable, tool or agent it is
                known by. If `set` gives its result, it is not done at all.
            set: values in place of results, or of the run's inputs, by name. Names are
                those of places; where `at` is given, first the variables there.
            agent: the agent as edited, if its code is to be another.
            deadline: time from now to the fork's end, by default the agent's own.
            on_deadline, budget, concurrency: of the fork, as for `start`.
            name: an id for the fork; by default a new one.
            memo: whether it uses, and leaves, results that runs share.

        Raises:
            InputError: no such run or place, a name of several places, or a value of
                another type.
        """
        from .forks import Planner

        parent = await self.get(run_id)
        program = self._agent_of(parent, agent)
        terms = Terms(deadline, on_deadline, budget, concurrency, memo, self._spec)
        record = new_fork(parent, program, terms, name)
        plan = await Planner(self.store, parent, program).plan(record, at, set or {})
        return await self._entered.start(NewRun(plan.record, program, plan.values))

    def driven(self, run_id: str) -> Run | None:
        """The run, if this machine drives it now."""
        return None if self._attempts is None else self._attempts.live.get(run_id)

    @property
    def backend(self) -> ModelBackend:
        """Who answers model calls."""
        return self._entered.backend

    @property
    def _entered(self) -> Attempts:
        if self._attempts is None:
            raise InternalError("AgentVM was used outside `async with AgentVM() as vm:`; enter it first.")
        return self._attempts

    def _agent_of(self, record: RunRecord, agent: Any) -> Agent:
        if agent is not None:
            return require_agent(agent)
        return find_agent(record.agent, record.meta.get("file"))


def _checked(store: Any, durability: str | None) -> Place | Store | None:
    """The store as it was given. Raises ConfigError if it is none."""
    if store is None or isinstance(store, str | os.PathLike):
        return store
    if not hasattr(store, "create_run"):
        raise ConfigError(
            f"store={store!r}: a {type(store).__name__} is no store. "
            "Give a URL such as sqlite:///runs.db, a path, `memory`, or a store object."
        )
    if durability is not None:
        raise ConfigError("A store object has its own durability: give it where it is made.")
    known: Store = store
    return known


def _resumable(record: RunRecord, retry: bool) -> bool:
    return record.status in OPEN or (retry and record.status is RunStatus.FAILED)


def run(
    agent: Any,
    /,
    *args: Any,
    deadline: Duration | None = None,
    on_deadline: str | None = None,
    budget: Budget | None = None,
    store: Place | Store | None = None,
    llm: str | ModelBackend | None = None,
    durability: str | None = None,
    **kwargs: Any,
) -> Any:
    """Run an agent to its result, from synchronous code; see `AgentVM` and `AgentVM.run`."""

    async def main() -> Any:
        async with AgentVM(store=store, llm=llm, durability=durability) as vm:
            options: dict[str, Any] = {"deadline": deadline, "on_deadline": on_deadline, "budget": budget}
            return await vm.run(agent, *args, **options, **kwargs)

    return asyncio.run(main())
