"""Workers: processes that drive whatever run of a store waits for one.

A worker takes a run under its lease, so of several workers on one store exactly
one drives it; and it looks again, by the clock and when one of its runs has
ended. A run it cannot drive (its code is not here, it cannot be replayed) it
reports once and leaves to others. When it is stopped, its runs wait again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.abc
import anyio.to_thread

from agentvm_compiler.calls import Agent
from agentvm_compiler.errors import InputError
from agentvm_runtime.errors import RunCancelled, RunLeased, RunSetAside, StoreError
from agentvm_runtime.records import Lease, RunRecord, RunStatus
from agentvm_runtime.takeovers import DEATHS, claimed, kept
from agentvm_runtime.waiting import Lookout

from .handle import Run
from .loading import agents_of, find_agent, load_file, outdated
from .vm import AgentVM

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

SLOWEST = 8
"""A worker that finds nothing looks less and less often, down to one in so many intervals."""


class Finder(Protocol):
    """Knows the code of runs."""

    def find(self, record: RunRecord) -> Agent:
        """The agent of a run. Raises InputError if its code cannot be had in this process."""
        ...


class Agents:
    """Finds the code of runs: in the given files by `module:name`, else where it was when they began."""

    def __init__(self, files: list[Path]) -> None:
        self._given: dict[str, Agent] = {}
        for file in files:
            for each in agents_of(load_file(file)).values():
                self._given[each.ref] = each

    def find(self, record: RunRecord) -> Agent:
        """The agent of a run. Raises InputError if its code, as it is now, cannot be had in this process."""
        given = self._given.get(record.agent)
        if given is not None:
            return given
        file = record.meta.get("file")
        # One process has one module of a name: another file's, or an older one, is not what was meant.
        problem = outdated(record.agent.partition(":")[0], file)
        if problem is not None:
            raise InputError(f"{problem} Start another worker for it.")
        return find_agent(record.agent, file)


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker works."""

    llm: str | None = None
    """Model of all runs; by default each has its own."""
    concurrency: int = 8
    """Runs driven at once."""
    interval: float = 0.5
    """Seconds between two looks while there is work."""
    deaths: int = DEATHS
    """Processes that may die in a row driving one run before it is set aside; 0 is no limit."""
    once: bool = False
    """End when no run waits any more."""


class Worker:
    """Drives the runs of one store that wait.

    Args:
        store: open.
        say: called with a line for the log.
    """

    owns_machines = True
    """Whether its machines end with it, and their runs with them."""

    def __init__(self, store: Store, agents: Finder, options: Options, say: Callable[[str], None]) -> None:
        self._store = store
        self._agents = agents
        self._options = options
        self._say = say
        self._lookout = Lookout(store)
        self._left: set[str] = set()
        """Runs this worker cannot drive."""
        self._mine: dict[str, Run] = {}
        self._ended = anyio.Event()
        self._nudged = False
        self._tasks: anyio.abc.TaskGroup
        self._machines: dict[str, AgentVM] = {}
        """By the model's spec."""
        self._failure: StoreError | None = None

    async def work(self) -> None:
        """Until cancelled, or with `once` until nothing waits.

        Raises:
            StoreError: the store cannot be read or written any more.
        """
        async with anyio.create_task_group() as self._tasks:
            try:
                async with AsyncExitStack() as machines:  # closing one lets go of its runs
                    await self._work(machines)
            except StoreError as error:
                self._failure = error
        if self._failure is not None:
            raise self._failure

    async def _work(self, machines: AsyncExitStack) -> None:
        patience = self._options.interval
        while self._failure is None:
            taken = 0
            self._nudged = False
            for record in await self._look():
                await self._room()
                if self._failure is None:
                    taken += await self._take(record, machines)
            if taken:
                patience = self._options.interval
                continue
            if self._options.once and not self._mine:
                return
            await self._sleep(patience)
            patience = min(patience * 2, self._options.interval * SLOWEST)

    async def _look(self) -> list[RunRecord]:
        found = await self._lookout.look()
        return [each for each in found if each.id not in self._left and each.id not in self._mine]

    async def _room(self) -> None:
        """Return when another run may be driven."""
        while len(self._mine) >= self._options.concurrency:
            await self._ended.wait()

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until a run has ended, which may have left something to do."""
        if not self._nudged:
            with anyio.move_on_after(seconds):
                await self._ended.wait()

    def nudge(self) -> None:
        """Look for waiting runs now, or once more if that is under way."""
        self._nudged = True
        self._ended.set()
        self._ended = anyio.Event()

    async def _take(self, record: RunRecord, machines: AsyncExitStack) -> bool:
        """Drive a run, if it still waits and can be driven here."""
        try:
            # First the lease: a file that ends the process that loads it counts as a death.
            async with claimed(self._store, record.id, self._options.deaths) as claim:
                if claim is None:
                    return False
                async with kept(self._store, claim):
                    # In a thread: what a file does when it is loaded must not keep leases from being renewed.
                    agent = await anyio.to_thread.run_sync(self._agents.find, claim.record)
                machine = await self._machine(claim.record, machines)
                run = await machine.go_on(claim, agent)
        except RunLeased:
            return False
        except RunSetAside as error:
            self._say(f"{record.id} failed{_because(error)}")
            return False
        except Exception as error:  # whatever is wrong with one run, others wait
            await self._leave(record.id, error)
            return False
        self._say(f"{run.id} taken ({record.status}): {record.agent}")
        self.follow(run)
        return True

    def follow(self, run: Run) -> None:
        """Count a run among those driven, until its end."""
        self._mine[run.id] = run
        self._tasks.start_soon(self._follow, run)

    async def _machine(self, record: RunRecord, machines: AsyncExitStack) -> AgentVM:
        """The machine for the run's model."""
        spec = self._options.llm or record.meta.get("llm") or ""
        if spec not in self._machines:
            machine = AgentVM(store=self._store, llm=spec or None)
            self._machines[spec] = await machines.enter_async_context(machine)
        return self._machines[spec]

    async def _follow(self, run: Run) -> None:
        error: Exception | None = None
        try:
            # A worker that stops closes the run's machine, which ends the run.
            with anyio.CancelScope(shield=self.owns_machines):
                await run.result()
        except Exception as raised:
            error = raised
        try:
            if run.record.status is not RunStatus.RUNNING:
                self._say(f"{run.id} {run.record.status}{_because(error)}")
            elif isinstance(error, RunCancelled | RunLeased):
                self._say(f"{run.id} let go{_because(error)}")
            else:
                assert error is not None
                await self._leave(run.id, error)
        finally:
            self._mine.pop(run.id, None)
            self.nudge()

    async def _leave(self, run_id: str, error: Exception) -> None:
        """Leave a run to others, after an error that is not its end."""
        self._left.add(run_id)
        self._say(f"{run_id} left alone{_because(error)}")
        if isinstance(error, StoreError):
            # Is it the run's, or does the store take nothing any more? A write that changes nothing tells.
            try:
                await self._store.release_lease(Lease(run_id, "", 0.0))
            except StoreError as failure:
                self._failure = failure


def _because(error: Exception | None) -> str:
    """The error in the line of a log."""
    return "" if error is None else ": " + " ".join(str(error).split())
