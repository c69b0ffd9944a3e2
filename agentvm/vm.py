"""`AgentVM`: runs agents, and finds, resumes and lists their runs (`handle.Run`).

It joins the layers: the compiler's programs, the runtime's executor, a store
and a model backend. Runs live in the task group of the machine they were
started on, so leaving `async with AgentVM()` leaves none behind: those not
done are stopped and can be resumed.
"""

from __future__ import annotations

import asyncio
import builtins
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc

from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.errors import ConfigError, InputError, InternalError
from agentvm_runtime import control
from agentvm_runtime.budgets import BUDGET, Budget
from agentvm_runtime.control import OPEN, Settlement
from agentvm_runtime.deadlines import ON_DEADLINE
from agentvm_runtime.driver import LEASE_SECONDS, drive, ended_result, open_session, preview
from agentvm_runtime.errors import RunCancelled, RunLeased, StoreError
from agentvm_runtime.flights import Flights
from agentvm_runtime.questions import Human, Question
from agentvm_runtime.records import FORGETS, Digest, Event, EventKind, Lease, RunRecord, RunStatus
from agentvm_runtime.rehearsal import Preview
from agentvm_runtime.revision import MEMO, MODULE, code_of
from agentvm_runtime.rooms import CONCURRENCY
from agentvm_runtime.takeovers import DEATHS, DIED, refuse_deadly
from agentvm_runtime.values import digest, encode
from agentvm_runtime.waiting import waits

from .durations import Duration, optional_seconds, seconds
from .handle import Run
from .inputs import validate_inputs
from .loading import find_agent, require_agent
from .sdk import deadline_policy, positive

if TYPE_CHECKING:
    from agentvm_runtime.ports import ModelBackend, Store

_ABSENT: Any = object()


class AgentVM:
    """A machine that runs agents. An async context manager.

    Args:
        store: where runs are kept: a SQLAlchemy URL, a path, `memory`, or a store object.
            By default the environment's `AGENTVM_STORE`, else a file of the user's.
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
        store: str | Path | Store | None = None,
        llm: str | ModelBackend | None = None,
        durability: str | None = None,
        human: Human | None = None,
    ) -> None:
        self._human = human
        if durability is not None and not isinstance(store, str | Path | None):
            raise ConfigError("A store object has its own durability: give it where it is made.")
        self._durability = durability
        self._store_option = store
        self._llm_option = llm
        self._flights = Flights()
        self._live: dict[str, Run] = {}
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> AgentVM:
        from agentvm_runtime.store import open_store

        from .backends import open_llm
        from .config import default_llm, default_store
        from .telemetry import observe

        self._observe = observe()
        llm = self._llm_option if self._llm_option is not None else default_llm()
        self._backend = open_llm(llm) if isinstance(llm, str) else llm
        store = self._store_option if self._store_option is not None else default_store()
        self._spec = llm if isinstance(llm, str) else ""
        async with AsyncExitStack() as stack:
            if isinstance(llm, str):
                stack.push_async_callback(self._backend.aclose)
            if isinstance(store, str | Path):
                self.store = open_store(store, durability=self._durability)
                stack.push_async_callback(self.store.aclose)
            else:
                self.store = store
            await self.store.open()
            self._stack = stack.pop_all()
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        for each in self._live.values():
            each._session.halt(_Stopped(str(_stopped(each.record))))  # type: ignore[union-attr]
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._tasks = None
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
        limits = deadline, on_deadline, budget, concurrency
        record, program, values = self._new(agent, args, kwargs, limits, run_id, memo)
        return await self._start(record, program, values)

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
        limits = deadline, on_deadline, budget, concurrency
        record, _, values = self._new(agent, args, kwargs, limits, run_id, memo)
        await self.store.create_run(replace(record, status=RunStatus.QUEUED), values)
        return record.id

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
        record = await self.get(_id_of(run_id))
        retry = retry or budget is not None
        if _resumable(record, retry):
            program = self._agent_of(record, agent)
            async with self._taking(record.id) as lease:
                record = await self.get(record.id)  # another process may have driven it until now
                if _resumable(record, retry):
                    if budget is not None:
                        record = replace(record, meta={**record.meta, BUDGET: budget.to_json()})
                    return await self._begin(record, program, lease, resumed=True, retry=retry)
                await self._release(lease)
        return await self._ended(record)

    async def take(self, run_id: str, *, agent: Any = None, deaths: int = DEATHS) -> Run | None:
        """Go on with a run if it waits for a process (`agentvm_runtime.waiting`); None if it does not.

        Unlike a run that somebody resumes, it has no time left when its deadline has passed, unless
        it was suspended: then it is finished all the same.

        Args:
            deaths: how many processes in a row may have died driving it without a new result; 0 is no limit.

        Raises:
            InputError: no such run, or its agent cannot be found.
            RunLeased: another process is driving it.
            RunSetAside: too many have died; it has failed now.
        """
        record = await self.get(run_id)
        if not await waits(self.store, record):
            return None
        program = self._agent_of(record, agent)
        async with self._taking(run_id) as lease:
            record = await self.get(run_id)  # another process may have driven it until now
            if await waits(self.store, record):
                await refuse_deadly(self.store, record, lease, deaths)
                asked = record.status is RunStatus.SUSPENDED
                died = {DIED: lease.after} if lease.after else {}
                return await self._begin(record, program, lease, resumed=True, asked_for=asked, why=died)
            await self._release(lease)
        return None

    async def preview(self, run_id: str, *, agent: Any = None, retry: bool = False) -> Preview | None:
        """What `resume` would keep and do again, without doing it; None for a run that has ended.

        Raises:
            InputError: no such run, or its agent cannot be found.
        """
        record = await self.get(run_id)
        if not _resumable(record, retry):
            return None
        compiled = compile_agent(self._agent_of(record, agent))
        return await preview(record, compiled, self.store, self._backend, retry=retry)

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
        seconds = optional_seconds(deadline, what="deadline")
        seconds = program.deadline if seconds is None else seconds
        now = time.time()
        record = RunRecord(
            id=name or _new_id(now),
            agent=program.ref,
            program=compile_agent(program).hash,
            inputs=parent.inputs,
            created_at=now,
            deadline_at=None if seconds is None else now + seconds,
            parent=parent.id,
            meta=self._meta(program, memo, on_deadline, budget, concurrency),
        )
        plan = await Planner(self.store, parent, program).plan(record, at, set or {})
        return await self._start(plan.record, program, plan.values)

    async def resolve(
        self,
        run: str | Run,
        node: str | None = None,
        *,
        value: Any = _ABSENT,
        retry: bool = False,
        abort: bool = False,
    ) -> None:
        """Say what became of a write that an `UncertainWrite` names; `resume` then goes on.

        Args:
            node: the write's path; may be left out if it is the only one.
            value: it happened, and this is its result.
            retry: it did not happen: start it again.
            abort: give the run up.

        Raises:
            InputError: there is no such write, or not exactly one of the three was given.
            RunLeased: a process is driving the run.
        """
        settlements = {
            Settlement.DONE: value is not _ABSENT,
            Settlement.RETRY: retry,
            Settlement.ABORT: abort,
        }
        given = [each for each, meant in settlements.items() if meant]
        if len(given) != 1:
            raise InputError("resolve() takes one of value=..., retry=True and abort=True.")
        record = await self.get(_id_of(run))
        await control.resolve(self.store, record, node, given[0], None if value is _ABSENT else value)

    async def questions(self, run: str | Run) -> builtins.list[Question]:
        """The questions of a run that nobody has answered yet."""
        return await control.questions(self.store, await self.get(_id_of(run)))

    async def answer(self, run: str | Run, node: str | None = None, value: Any = _ABSENT) -> None:
        """Answer a question of a run, whichever process drives it; if none does, `resume` goes on.

        Args:
            node: the question's path; may be None if it is the only one.

        Raises:
            InputError: there is no such question, or the value is not of its type.
        """
        if value is _ABSENT:
            raise InputError("answer() takes a run, the question's path (or None) and the answer.")
        await control.answer(self.store, await self.get(_id_of(run)), node, value)
        self._nudge(_id_of(run))

    async def cancel(self, run: str | Run) -> None:
        """Stop a run for good, whichever process drives it; returns when it has stopped.

        Nothing is journaled after that, and a run that has ended stays as it is.
        """
        driven = self._live.get(_id_of(run))
        if driven is not None:
            await driven.cancel()
            return
        await control.cancel(self.store, await self.get(_id_of(run)))

    async def tighten(self, run: str | Run, deadline: Duration) -> None:
        """Bring a run's deadline forward, whichever process drives it; see `Run.tighten`.

        Another process hears of it within a second.
        """
        driven = self._live.get(_id_of(run))
        if driven is not None:
            await driven.tighten(deadline)
            return
        at = time.time() + seconds(deadline, what="deadline")
        await control.tighten(self.store, await self.get(_id_of(run)), at)

    def driven(self, run_id: str) -> Run | None:
        """The run, if this machine drives it now."""
        return self._live.get(run_id)

    @property
    def backend(self) -> ModelBackend:
        """Who answers model calls."""
        return self._backend

    def _nudge(self, run_id: str) -> None:
        run = self._live.get(run_id)
        if run is not None and run._session is not None:
            run._session.activity.nudge()

    async def get(self, run_id: str) -> RunRecord:
        """The record of a run. Raises InputError if there is none."""
        record = await self.store.get_run(run_id)
        if record is None:
            raise InputError(
                f"There is no run {run_id!r} in this store. `agentvm runs` lists those there are."
            )
        return record

    async def list(
        self, *, agent: str | None = None, status: RunStatus | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """Runs, newest first."""
        return await self.store.list_runs(agent=agent, status=status, limit=limit)

    # -- internals ---------------------------------------------------------------------

    def _meta(
        self,
        agent: Agent,
        memo: bool,
        on_deadline: str | None,
        budget: Budget | None,
        concurrency: int | None,
    ) -> dict[str, Any]:
        """What a run keeps of its options."""
        policy = deadline_policy(on_deadline or agent.on_deadline)
        options: dict[str, Any] = {
            MEMO: None if memo else False,
            BUDGET: None if budget is None else budget.to_json(),
            CONCURRENCY: positive(concurrency, "concurrency"),
        }
        given = {name: option for name, option in options.items() if option is not None}
        return {"file": agent.fn.__code__.co_filename, "llm": self._spec, ON_DEADLINE: policy, **given}

    def _agent_of(self, record: RunRecord, agent: Any) -> Agent:
        if agent is not None:
            return require_agent(agent)
        return find_agent(record.agent, record.meta.get("file"))

    def _new(
        self,
        agent: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        limits: tuple[Duration | None, str | None, Budget | None, int | None],
        run_id: str | None,
        memo: bool,
    ) -> tuple[RunRecord, Agent, dict[Digest, bytes]]:
        """The record of a new run, its agent, and the values the record names."""
        deadline, on_deadline, budget, concurrency = limits
        program: Agent = require_agent(agent)
        data = encode(validate_inputs(program, args, kwargs), name="the agent's inputs")
        seconds = optional_seconds(deadline, what="deadline")
        seconds = program.deadline if seconds is None else seconds
        now = time.time()
        compiled = compile_agent(program)
        code, source = code_of(compiled)
        record = RunRecord(
            id=run_id or _new_id(now),
            agent=program.ref,
            program=compiled.hash,
            inputs=digest(data),
            created_at=now,
            deadline_at=None if seconds is None else now + seconds,
            meta={**self._meta(program, memo, on_deadline, budget, concurrency), MODULE: code},
        )
        return record, program, {record.inputs: data, code: source}

    async def _start(self, record: RunRecord, agent: Agent, values: Mapping[Digest, bytes]) -> Run:
        """Write a new run and drive it."""
        try:
            # First its lease: a run that is running and has none is any worker's to take.
            async with self._taking(record.id) as lease:
                await self.store.create_run(record, values)
                return await self._begin(record, agent, lease)
        except RunLeased:
            raise InputError(f"run {record.id} exists already; choose another id") from None

    @asynccontextmanager
    async def _taking(self, run_id: str) -> AsyncIterator[Lease]:
        """The run's lease, which is given back if what is done with it fails. Raises RunLeased."""
        from agentvm_runtime.store import this_holder

        if self._tasks is None:
            raise InternalError("AgentVM was used outside `async with AgentVM() as vm:`; enter it first.")
        lease = await self.store.acquire_lease(run_id, this_holder(), LEASE_SECONDS)
        try:
            yield lease
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._release(lease)
            raise

    async def _begin(
        self,
        record: RunRecord,
        agent: Agent,
        lease: Lease,
        *,
        resumed: bool = False,
        retry: bool = False,
        asked_for: bool = True,
        why: Mapping[str, Any] | None = None,
    ) -> Run:
        """Drive a run whose lease is held.

        Args:
            asked_for: whether it is to be finished even if its deadline has passed.
            why: what the journal is to say of the resumption.
        """
        assert self._tasks is not None
        compiled = compile_agent(agent)
        session = await open_session(
            record, compiled, self.store, self._backend, self._flights, retry=retry, human=self._human
        )
        session.holder = lease.holder
        record = session.record  # with the deadline that its journal has
        if not resumed or not asked_for:
            session.progress.started_at = record.created_at  # its deadline may pass while it is compiled
        if resumed:
            now, revision = time.time(), session.revision
            detail = dict(why or {})
            if retry and record.error is not None:
                detail[FORGETS] = record.error
            event = Event(EventKind.RESUMED, "", started_at=now, finished_at=now, detail=detail)
            session.append(event, revision.values)
            if revision.meta:
                record = replace(record, program=compiled.hash, meta={**record.meta, **revision.meta})
            self.store.revise_run(record)
            commit = self.store.set_status(record.id, RunStatus.RUNNING, holder=lease.holder)
            await commit.wait()
            session.record = replace(record, status=RunStatus.RUNNING, error=None, finished_at=None)
        session.observer = self._observe(session.record, resumed)
        handle = Run(session.record, session)

        async def work() -> None:
            value, error = None, None
            try:
                value = await drive(session, compiled, lease)
            except Exception as raised:
                error = raised
            finally:
                self._live.pop(record.id, None)
                with anyio.CancelScope(shield=True):
                    await self._release(lease)
                if session.record.status is not RunStatus.COMPLETED:
                    error = error or _stopped(session.record)
                session.observer.end(session.record, error)
                handle._end.set((value, error))

        self._live[record.id] = handle
        self._tasks.start_soon(work)
        return handle

    async def _release(self, lease: Lease) -> None:
        with suppress(StoreError):  # where the store cannot be written, the lease ends with the process
            await self.store.release_lease(lease)

    async def _ended(self, record: RunRecord) -> Run:
        events = await self.store.events(record.id)
        reused = sum(each.kind is EventKind.DONE for each in events)
        handle = Run(record, None, reused)
        try:
            handle._end.set((await ended_result(self.store, record), None))
        except Exception as error:
            handle._end.set((None, error))
        return handle


def _resumable(record: RunRecord, retry: bool) -> bool:
    return record.status in OPEN or (retry and record.status is RunStatus.FAILED)


def _id_of(run: str | Run) -> str:
    return run if isinstance(run, str) else run.id


def _stopped(record: RunRecord) -> RunCancelled:
    """What waiters learn of a run that was stopped with its machine."""
    return RunCancelled(
        f"Run {record.id} was stopped because its AgentVM was closed. "
        f"It can go on: agentvm resume {record.id}"
    )


class _Stopped(RunCancelled):
    """Halts the session of a run that stays resumable."""


def _new_id(now: float) -> str:
    """A run id: sorts by time, and is short enough to type."""
    return time.strftime("%m%d-%H%M%S-", time.localtime(now)) + secrets.token_hex(3)


def run(
    agent: Any,
    /,
    *args: Any,
    deadline: Duration | None = None,
    on_deadline: str | None = None,
    budget: Budget | None = None,
    store: str | Path | Store | None = None,
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
