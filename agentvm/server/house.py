"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from .reading import Reader
from .registry import Registry
from .runner import Runner
from .settings import Settings

if TYPE_CHECKING:
    from agentvm.vm import AgentVM
    from agentvm_compiler.calls import Agent

T = TypeVar("T")


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
        self.streams = 0
        """Event streams that are open."""

    async def counted(self, stream: AsyncIterator[T]) -> AsyncIterator[T]:
        """The stream, counted among those that are open."""
        self.streams += 1
        try:
            async with aclosing(stream) as items:  # type: ignore[type-var]
                async for each in items:
                    yield each
        finally:
            self.streams -= 1
