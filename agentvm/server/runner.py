"""The runs that a server drives: those it starts, and those of its agents that wait in the store.

It is a worker of the store that also takes runs at once. A run over the limit
is queued, durably; when the server stops, its runs wait again, and whoever
serves the same agents next goes on with them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from agentvm.inputs import as_call, bind_json
from agentvm.worker import Options, Worker
from agentvm_compiler.calls import Agent
from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentvm.handle import Run
    from agentvm.vm import AgentVM

    from .registry import Registry

logger = logging.getLogger(__name__)


class Runner(Worker):
    """Starts runs, and drives what waits.

    Args:
        vm: entered; its store and model serve all runs.
    """

    owns_machines = False

    def __init__(self, vm: AgentVM, registry: Registry, concurrency: int, poll: float) -> None:
        super().__init__(vm.store, registry, Options(concurrency=concurrency, interval=poll), logger.info)
        self._vm = vm
        self._registry = registry
        self.closing = anyio.Event()
        """Set when the server stops: streams end then."""
        self.ended: Counter[str] = Counter()
        """Runs that came to an end here, by status."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Drive runs while inside."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._drive)
            yield
            self.closing.set()
            self._tasks.cancel_scope.cancel()

    @property
    def failure(self) -> StoreError | None:
        """Why no runs are taken any more, if so."""
        return self._failure

    async def _drive(self) -> None:
        try:
            async with AsyncExitStack() as none:
                await self._work(none)
        except StoreError as error:
            self._failure = error
            logger.error("no runs are taken any more: %s", error)

    @property
    def driven(self) -> int:
        """How many runs are under way here."""
        return len(self._mine)

    async def start(self, agent: Agent, inputs: Mapping[str, Any], options: dict[str, Any]) -> RunRecord:
        """Start a run, or queue it if too many are under way; returns once it is durably recorded.

        Args:
            inputs: JSON values by name.
            options: those of `AgentVM.start`.

        Raises:
            InputError: the inputs do not fit the agent, or the id is taken.
        """
        args, kwargs = as_call(agent, bind_json(agent, inputs))
        if self.driven >= self._options.concurrency:
            run_id = await self._vm.enqueue(agent, *args, **options, **kwargs)
            return await self._vm.get(run_id)
        run = await self._vm.start(agent, *args, **options, **kwargs)
        self.follow(run)
        return run.record

    def adopt(self, run: Run) -> RunRecord:
        """Drive a run that was started or resumed otherwise."""
        if self._vm.driven(run.id) is run:
            self.follow(run)
        return run.record

    async def _look(self) -> list[RunRecord]:
        return [each for each in await super()._look() if each.agent in self._registry]

    async def _machine(self, record: RunRecord, machines: AsyncExitStack) -> AgentVM:
        return self._vm

    async def _follow(self, run: Run) -> None:
        await super()._follow(run)
        self.ended[str(run.record.status)] += 1
