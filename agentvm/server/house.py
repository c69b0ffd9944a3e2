"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from .metrics import Metrics
from .model_api import ModelApi
from .models import Model
from .reading import Reader
from .registry import Registry
from .runner import Runner
from .settings import Settings

if TYPE_CHECKING:
    from agentvm.vm import AgentVM
    from agentvm_compiler.calls import Agent

T = TypeVar("T")


def model_of(vm: AgentVM) -> ModelApi | None:
    """The model API over the machine's engine, if the machine has one of its own."""
    from agentvm_serving.backends.vllm import VllmBackend

    return ModelApi(vm.backend) if isinstance(vm.backend, VllmBackend) else None


class House:
    """One server: its machine, its agents, the runs it drives.

    Args:
        vm: entered.
    """

    def __init__(self, vm: AgentVM, agents: Sequence[Agent], settings: Settings) -> None:
        self.vm = vm
        self.settings = settings
        self.registry = Registry(agents)
        self.reader = Reader(vm, self.registry)
        self.runner = Runner(vm, self.registry, settings.concurrency, settings.poll)
        self.metrics = Metrics()
        self.model = model_of(vm)
        self.streams = 0
        """Event streams that are open."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Drive runs, and start the engine, while inside."""
        async with (
            nullcontext() if self.model is None else self.model.running(self.settings.starts_engine),
            self.runner.running(),
        ):
            yield

    def model_state(self) -> Model:
        """How the model API stands."""
        return "none" if self.model is None else self.model.state

    async def model_metrics(self) -> bytes:
        """The engine's own metrics."""
        return b"" if self.model is None else await self.model.metrics()

    async def counted(self, stream: AsyncIterator[T]) -> AsyncIterator[T]:
        """The stream, counted among those that are open."""
        self.streams += 1
        try:
            async with aclosing(stream) as items:  # type: ignore[type-var]
                async for each in items:
                    yield each
        finally:
            self.streams -= 1
