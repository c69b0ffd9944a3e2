"""Owners: where in another frame a frame stands, and what an effect within it waits for there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import Node

from .ordered import OrderedGroup

if TYPE_CHECKING:
    from .frames import Frame

WRITE = Effect.WRITE  # bound once: to look a member of an enum up takes as long as to call a function


class Owner:
    """The place a frame has in another one: a node, and perhaps an iteration of it."""

    def __init__(
        self, frame: Frame, index: int, iterations: OrderedGroup | None = None, iteration: int = 0
    ) -> None:
        self.frame = frame
        self.index = index
        self.iterations = iterations
        self.iteration = iteration

    @property
    def node(self) -> Node:
        return self.frame.region.nodes[self.index]

    async def reached(self, effect: Effect) -> None:
        """Wait until an effect within may happen, as far as what is around it is concerned."""
        if self.orders(effect):
            assert self.iterations is not None
            await self.iterations.reached(self.iteration)
        await self.frame.reached(self.index, effect)

    def orders(self, effect: Effect) -> bool:
        """Whether an effect within waits for the iterations before."""
        return self.iterations is not None and (effect is WRITE or self.node.effect is WRITE)
