"""Frames: executions of regions, whose nodes start as soon as their operands are known.

A *frame* executes one region once: the body of a program, a side of a branch,
one iteration of a loop or of a map. Values travel in slots, so a region that
only passes a value on does not wait for it, and the iterations of a loop
overlap as far as the values they carry allow.

What a node may do to the world waits, beyond that, for the nodes named by its
dependence edges, in its own frame and in all frames around it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Self

import anyio

from agentvm_compiler.calls import Effect
from agentvm_compiler.codegen import Namespace
from agentvm_compiler.compile import Compiled
from agentvm_compiler.ir import LITERALS, Node, Region, base
from agentvm_compiler.passes.stages import SiteProfile

from .changes import settable
from .errors import Halt, is_failure
from .ordered import OrderedGroup
from .owners import Owner
from .plans import Step
from .session import Session
from .siblings import Siblings
from .slots import Slot
from .tracing import Tracer, pure
from .values import copy_value

PURE = Effect.PURE  # bound once: to look a member of an enum up takes as long as to call a function
DEEPEST = 8
"""Frames that run in one task, each within the one before: Python nests no calls for ever."""

NOTHING_UNFOLDED: dict[str, SiteProfile] = {}
NO_NAMES: Mapping[str, Slot] = {}
_UNRENAMED: Mapping[str, str] = {}
LITERAL_SLOTS = {name: Slot(value) for name, value in LITERALS.items()}


class Frame(ABC):
    """One execution of a region."""

    unfolded: dict[str, SiteProfile] = NOTHING_UNFOLDED
    """By site, what is known of nodes of this frame that hold regions."""
    depth = 0
    """How many frames run in one task with this one, around it."""
    names: Mapping[str, Slot] = NO_NAMES
    """The names that the frame was given or assigned, as they were where it failed."""
    joined: Mapping[str, Siblings] = MappingProxyType({})
    """By where they are joined, calls that wait for no more than each other."""
    _draining = False
    _chain: deque[int] | None = None
    """Of a chain: nodes that are ready and run in the frame's task."""
    _stirred: asyncio.Event | None = None
    """Set when there is one, if somebody waits for it."""

    def __init__(
        self,
        session: Session,
        program: Compiled,
        region: Region,
        params: Sequence[Slot],
        path: str,
        owner: Owner | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        self.session = session
        self.program = program
        self.region = region
        self.path = path
        self.owner = owner
        self.siblings = siblings
        """The iterations that are joined with the one this is in."""
        self.plan = plan = session.plans.of(region)
        self.env = env = LITERAL_SLOTS.copy()
        env.update(zip(region.params, params, strict=True))
        for name in plan.made:
            env[name] = Slot()
        renamed = session.revision.names
        self._names = renamed.get(program.program.name, _UNRENAMED) if renamed else _UNRENAMED
        self._inline: list[int] = []
        """Nodes that are ready and need no task."""
        if plan.chain and owner is not None and region is not program.program.body:
            around = owner.frame.depth
            if around < DEEPEST:
                self._chain, self.depth = deque(), around + 1
        self.halfway: dict[int, Mapping[str, Slot]] = {}
        """Of nodes that failed: what they had made of the names until then."""
        self.results = list(map(env.__getitem__, region.results))
        """Slots of the region's results; filled as the frame executes."""

    @property
    def namespace(self) -> Namespace:
        return self.program.namespace

    async def execute(self) -> None:
        """Run all nodes. Raises what the first node in program order that failed raised."""
        if self._chain is not None:
            await self._one_by_one(self._chain)
        else:
            async with anyio.create_task_group() as tasks:
                self.group = OrderedGroup(tasks)
                self._begin()
                await self.group.before(len(self.region.nodes))
        at = self.group.failed_at
        if at is not None and at >= 0:
            before = self.region.nodes[at].attrs.get("before", {})
            here = {name: self.env[each] for name, each in before.items()}
            self.names = {**here, **self.halfway.get(at, {})}
        if at is not None:
            self.group.raise_failure()

    def _begin(self) -> None:
        given = self.session.lineage is not None
        for step in self.plan.steps:
            if not given or not self._given(step.index, step.node):
                self._when_ready(step)

    async def _one_by_one(self, ready: deque[int]) -> None:
        """Run the nodes of a chain, of which one at a time is ready, in this task."""
        self.group = group = OrderedGroup(None)
        self._begin()
        nodes = self.region.nodes
        while ready or not group.settled(len(nodes)):
            if group.failed_at is not None and group.settled(len(nodes)):
                break
            if ready:
                index = ready.popleft()
                await group.run(index, self.run, index, nodes[index])
            else:
                self._stirred = asyncio.Event()
                group.wake(len(nodes), self._stirred)
                await self._stirred.wait()

    async def within(self, index: int, frame: Frame, ended: str = "") -> None:
        """Execute a frame that is part of a node: where it fails, the node has failed.

        Args:
            ended: a name that is not bound any more after the frame.
        """
        try:
            await frame.execute()
        except BaseException:
            self.halfway[index] = {**frame.names, **({ended: LITERAL_SLOTS["$unbound"]} if ended else {})}
            raise

    async def reached(self, index: int, effect: Effect) -> None:
        """Wait until control has certainly come to a node, as far as the effect requires it."""
        if effect is PURE or self.session.rehearsing:
            return
        node = self.region.nodes[index]
        if node.after:
            await self.earlier(node)
        if self.owner is not None:
            await self.owner.reached(effect)

    def is_free(self, index: int, effect: Effect) -> bool:
        """Whether `reached` has nothing to wait for, here and in all frames around: most have not."""
        frame: Frame = self
        while not frame.region.nodes[index].after:
            owner = frame.owner
            if owner is None:
                return True
            if owner.orders(effect):
                break
            frame, index = owner.frame, owner.index
        return False

    async def earlier(self, node: Node) -> None:
        for site in node.after:
            await self.group.ended(self.plan.index[site]).wait()

    # -- starting nodes ----------------------------------------------------------------

    def _when_ready(self, step: Step) -> None:
        env = self.env
        for name in step.needed:
            if not env[name].ready:
                break
        else:
            self._start(step)
            return
        missing = {id(slot): slot for name in step.needed if not (slot := env[name]).ready}
        left = len(missing)

        def arrived() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._start(step)

        for slot in missing.values():
            slot.then(arrived)

    def _given(self, index: int, node: Node) -> bool:
        """Use what a fork sets instead of the node's results, if that is all of them."""
        given = self.session.given(self.path_of(node))
        if not given or not given.keys() >= set(settable(node)):
            return False
        self.give(node, [given.get(number) for number in range(len(node.results))])
        self.group.start(index, partial(self.earlier, node))
        return True

    def _start(self, step: Step) -> None:
        if step.instant:
            self._inline.append(step.index)
            self._drain()
        elif self._chain is not None:
            self._chain.append(step.index)
            if self._stirred is not None:
                self._stirred.set()
        else:
            self.group.start(step.index, partial(self.run, step.index, step.node))

    def _drain(self) -> None:
        """Run what needs no task of its own, one after the other."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._inline:
                index = self._inline.pop(0)
                if self.group.failed_at is not None and index > self.group.failed_at:
                    continue
                node = self.region.nodes[index]
                try:
                    with pure(node.site):
                        self.compute(index, node)
                except Halt as halt:
                    self.group.fail(-1, halt)
                except BaseException as error:
                    if not is_failure(error):
                        raise
                    self.group.fail(index, error)
                else:
                    self.group.succeed(index)
        finally:
            self._draining = False

    @abstractmethod
    async def run(self, index: int, node: Node) -> None:
        """Run a node whose operands are there, and wait for all that it comes after."""

    @abstractmethod
    def compute(self, index: int, node: Node) -> None:
        """Run plain Python that waits for nothing but its operands."""

    @abstractmethod
    def tracer(self, node: Node) -> Tracer:
        """Who serves the calls that a node's ordinary Python makes."""

    # -- what nodes are given, and give ------------------------------------------------

    def path_of(self, node: Node) -> str:
        name = self._names.get(node.site, node.site)
        return f"{self.path}/{name}" if self.path else name

    def operands(self, node: Node) -> list[Any]:
        return [self.env[each].value for each in node.operands]

    def inputs(self, node: Node) -> list[Any]:
        """The operands as the node gets them: copies of what it changes, with all that shares with it."""
        env = self.env
        values = [env[each].value for each in node.operands]
        if not node.attrs.get("mutates"):
            return values
        uncopied = node.attrs.get("uncopied", ())
        places = [n for n, name in enumerate(node.operands) if base(name) not in uncopied]
        copies = copy_value(tuple(values[n] for n in places))
        for place, copied in zip(places, copies, strict=True):
            values[place] = copied
        return values

    def give(self, node: Node, results: Sequence[Any]) -> None:
        """Fill the slots of a node's results. Who waits for one finds that nothing but the slot holds it."""
        left = list(results)
        del results
        left.reverse()
        for name in node.results:
            self.env[name].set(left.pop())

    def inner(
        self,
        region: Region,
        params: Sequence[Slot],
        owner: Owner,
        path: str,
        siblings: Siblings | None = None,
    ) -> Self:
        return type(self)(self.session, self.program, region, params, path, owner, siblings or self.siblings)
