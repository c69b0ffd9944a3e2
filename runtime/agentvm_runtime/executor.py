"""The executor: walks the IR and runs every node as soon as its operands are known.

A *frame* executes one region once: the body of a program, a side of a branch,
one iteration of a loop or of a map. Values travel in slots, so a region that
only passes a value on does not wait for it, and the iterations of a loop
overlap as far as the values they carry allow.

What a node may do to the world waits, beyond that, for the nodes named by its
dependence edges, in its own frame and in all frames around it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import Any

import anyio

from agentvm_compiler.calls import Agent, Effect, Tool
from agentvm_compiler.codegen import Kept, Namespace
from agentvm_compiler.compile import Compiled, called_from_traced, compile_agent
from agentvm_compiler.errors import InternalError
from agentvm_compiler.frontend.callees import agent_of
from agentvm_compiler.ir import CONTROL_OPERANDS, LITERALS, UNBOUND, Kind, Node, Region, base
from agentvm_compiler.wire import Stage

from .asking import Place, ask_model
from .chains import takes_no_time
from .changes import settable
from .deadlines import agent_limit
from .errors import Halt, UnstorableValue, is_failure
from .folding import fold_key
from .humans import ask_person
from .keys import agent_key, python_key
from .ordered import OrderedGroup
from .ports import Commit
from .profiling import Notes
from .restoring import objects
from .session import Outcome, Session, Work
from .slots import Slot
from .tools import bind, call_tool
from .tracing import Tracer, pure, tracing
from .values import copy_value, digest, encode

DEEPEST = 8
"""Frames that run in one task, each within the one before: Python nests no calls for ever."""
WINDOW = 1024
"""Iterations of one loop or map that may be under way at a time."""

_LITERALS = {name: Slot(value) for name, value in LITERALS.items()}


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
        if self.iterations is not None and (effect is Effect.WRITE or self.node.effect is Effect.WRITE):
            await self.iterations.reached(self.iteration)
        await self.frame.reached(self.index, effect)


class Frame:
    """One execution of a region."""

    def __init__(
        self,
        session: Session,
        program: Compiled,
        region: Region,
        params: Sequence[Slot],
        path: str,
        owner: Owner | None = None,
        siblings: int = 1,
    ) -> None:
        self.session = session
        self.program = program
        self.region = region
        self.path = path
        self.owner = owner
        self.siblings = siblings
        """How many model calls are joined with each call in here."""
        self._env = dict(_LITERALS)
        self._env.update(zip(region.params, params, strict=True))
        self._env.update((name, Slot()) for node in region.nodes for name in node.results)
        self._names = session.revision.names.get(program.program.name, {})
        self._inline: list[int] = []
        """Nodes that are ready and need no task."""
        self._draining = False
        self.depth = 0
        """How many frames run in one task with this one, around it."""
        self._chain: deque[int] | None = None
        """Of a chain: nodes that are ready and run in the frame's task."""
        self._stirred: asyncio.Event | None = None
        """Set when there is one, if somebody waits for it."""
        around = None if owner is None or region is program.program.body else owner.frame
        if around is not None and around.depth < DEEPEST and session.chains.within(region):
            self._chain, self.depth = deque(), around.depth + 1
        self._halfway: dict[int, Mapping[str, Slot]] = {}
        """Of nodes that failed: what they had made of the names until then."""
        self.names: Mapping[str, Slot] = {}
        """The names that the frame was given or assigned, as they were where it failed."""
        self.results = [self._env[each] for each in region.results]
        """Slots of the region's results; filled as the frame executes."""

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {node.site: number for number, node in enumerate(self.region.nodes)}

    @property
    def namespace(self) -> Namespace:
        return self.program.namespace

    async def execute(self) -> None:
        """Run all nodes. Raises what the first node in program order that failed raised."""
        if self._chain is not None:
            await self._one_by_one(self._chain)
        else:
            async with anyio.create_task_group() as tasks:
                self._group = OrderedGroup(tasks)
                self._begin()
                await self._group.before(len(self.region.nodes))
        at = self._group.failed_at
        if at is not None and at >= 0:
            before = self.region.nodes[at].attrs.get("before", {})
            here = {name: self._env[each] for name, each in before.items()}
            self.names = {**here, **self._halfway.get(at, {})}
        self._group.raise_failure()

    def _begin(self) -> None:
        for index, node in enumerate(self.region.nodes):
            self._when_ready(index, node)

    async def _one_by_one(self, ready: deque[int]) -> None:
        """Run the nodes of a chain, of which one at a time is ready, in this task."""
        self._group = group = OrderedGroup(None)
        self._begin()
        while not group.settled(len(self.region.nodes)):
            if ready:
                index = ready.popleft()
                await group.run(index, partial(self._run, index, self.region.nodes[index]))
            else:
                self._stirred = asyncio.Event()
                group.wake(len(self.region.nodes), self._stirred)
                await self._stirred.wait()

    async def _within(self, index: int, frame: Frame, ended: str = "") -> None:
        """Execute a frame that is part of a node: where it fails, the node has failed.

        Args:
            ended: a name that is not bound any more after the frame.
        """
        try:
            await frame.execute()
        except BaseException:
            self._halfway[index] = {**frame.names, **({ended: _LITERALS["$unbound"]} if ended else {})}
            raise

    async def reached(self, index: int, effect: Effect) -> None:
        """Wait until control has certainly come to a node, as far as the effect requires it."""
        if effect is Effect.PURE or self.session.rehearsing:
            return
        await self._earlier(self.region.nodes[index])
        if self.owner is not None:
            await self.owner.reached(effect)

    async def _earlier(self, node: Node) -> None:
        for site in node.after:
            await self._group.ended(self._index[site]).wait()

    # -- starting nodes ----------------------------------------------------------------

    def _when_ready(self, index: int, node: Node) -> None:
        if self.session.lineage is not None and self._given(index, node):
            return
        needed = node.operands[: CONTROL_OPERANDS.get(node.kind, len(node.operands))]
        missing = {id(slot): slot for slot in map(self._env.__getitem__, needed) if not slot.ready}
        left = len(missing)
        if not left:
            self._start(index, node)
            return

        def arrived() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._start(index, node)

        for slot in missing.values():
            slot.then(arrived)

    def _given(self, index: int, node: Node) -> bool:
        """Use what a fork sets instead of the node's results, if that is all of them."""
        given = self.session.given(self._path(node))
        if not given or not given.keys() >= set(settable(node)):
            return False
        self._give(node, [given.get(number) for number in range(len(node.results))])
        self._group.start(index, partial(self._earlier, node))
        return True

    def _start(self, index: int, node: Node) -> None:
        if takes_no_time(node):
            self._inline.append(index)
            self._drain()
        elif self._chain is not None:
            self._chain.append(index)
            if self._stirred is not None:
                self._stirred.set()
        else:
            self._group.start(index, partial(self._run, index, node))

    def _drain(self) -> None:
        """Run what needs no task of its own, one after the other."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._inline:
                index = self._inline.pop(0)
                if self._group.failed_at is not None and index > self._group.failed_at:
                    continue
                node = self.region.nodes[index]
                try:
                    with pure(node.site):
                        self._python(index, node)
                except Halt as halt:
                    self._group.fail(-1, halt)
                except BaseException as error:
                    if not is_failure(error):
                        raise
                    self._group.fail(index, error)
                else:
                    self._group.succeed(index)
        finally:
            self._draining = False

    async def _run(self, index: int, node: Node) -> None:
        match node.kind:
            case Kind.LLM | Kind.TOOL | Kind.AGENT | Kind.HUMAN:
                await self._call(index, node)
            case Kind.PYTHON:
                await self.reached(index, node.effect)
                if self.session.rehearsing:
                    await self.session.admit(self._code_work(node))
                with tracing(self._tracer(node)):
                    self._python(index, node)
            case Kind.TRACED:
                await self._traced(index, node)
            case Kind.BRANCH:
                await self._branch(index, node)
            case Kind.LOOP:
                await self._loop(index, node)
            case Kind.TRY:
                await self._try(index, node)
            case Kind.MAP:
                await self._map(index, node)
            case _:
                raise InternalError(f"The executor cannot run a {node.kind} node yet ({node.site})")
        # What stands after this node counts on what it comes after to be done, too: that must
        # hold even if no effect within it was reached, as in a branch not taken.
        await self._earlier(node)

    # -- nodes that run code -----------------------------------------------------------

    def _path(self, node: Node) -> str:
        name = self._names.get(node.site, node.site)
        return f"{self.path}/{name}" if self.path else name

    def _operands(self, node: Node) -> list[Any]:
        return [self._env[each].value for each in node.operands]

    def _inputs(self, node: Node) -> list[Any]:
        """The operands as the node gets them: copies of what it changes, with all that shares with it."""
        values = self._operands(node)
        if not node.attrs.get("mutates"):
            return values
        uncopied = node.attrs.get("uncopied", ())
        places = [n for n, name in enumerate(node.operands) if base(name) not in uncopied]
        copies = copy_value(tuple(values[n] for n in places))
        for place, copied in zip(places, copies, strict=True):
            values[place] = copied
        return values

    def _give(self, node: Node, results: Sequence[Any]) -> None:
        for name, value in zip(node.results, results, strict=True):
            self._env[name].set(value)

    def _python(self, index: int, node: Node) -> None:
        """Run plain Python, or take its results from the journal."""
        fold = fold_key(node, self._operands(node))
        work = self._code_work(node, fold)
        results = None if fold else self._replayed(node, work)
        if results is None:
            started = time.time()
            evaluate, inputs, kept = self.namespace.evaluator(node), self._inputs(node), Kept()
            try:
                results = evaluate(inputs, kept)
            except BaseException:
                self._halfway[index] = _changed(node, kept)
                raise
            if fold:
                self.session.folded(work, started)
            else:
                self._keep(node, work, results, started)
        self._give(node, self._overridden(work, results))

    async def _traced(self, index: int, node: Node) -> None:
        """Run ordinary asynchronous Python, with its effects recorded."""
        await self.reached(index, node.effect)
        work = self._code_work(node)
        if self.session.rehearsing:
            await self.session.admit(work)
        found = self._replayed(node, work)
        if found is None:
            started = time.time()
            tracer = self._tracer(node)
            evaluate, inputs, kept = self.namespace.evaluator(node), self._inputs(node), Kept()
            try:
                with tracing(tracer):
                    found = await evaluate(inputs, kept)
            except BaseException:
                self._halfway[index] = _changed(node, kept)
                raise
            self._seen(node).times.append(tracer.calls)
            await self.session.accepted(self._keep(node, work, found, started))
        self._give(node, self._overridden(work, found))

    def _tracer(self, node: Node) -> Tracer:
        remaining = partial(self.remaining, node.site)
        return Tracer(self.session, self.program, node, self._path(node), run_agent, remaining)

    def _overridden(self, work: Work, results: Sequence[Any]) -> Sequence[Any]:
        """The results, with those that a fork sets in their place."""
        if self.session.lineage is None:
            return results
        return list((dict(enumerate(results)) | self.session.given(work.path)).values())

    def _code_work(self, node: Node, key: str = "") -> Work:
        key = key or python_key(node.code_hash, [_stored(value) for value in self._operands(node)])
        return Work(self._path(node), node.site, node.kind.value, key, looks=node.effect is not Effect.PURE)

    def _replayed(self, node: Node, work: Work) -> list[Any] | None:
        """The results from the journal; None if they are not there."""
        event = self.session.recorded(work) if work.key else None
        if event is None or event.value is None:
            return None
        kept = self.session.replay(event)
        return [kept.get(number, UNBOUND) for number in range(len(node.results))]

    def _keep(self, node: Node, work: Work, results: Sequence[Any], started: float) -> Commit:
        """Journal the results; what cannot be stored, or shares with others, is computed again on resume."""
        if node.attrs.get("shares") and (node.effect is Effect.PURE or node.attrs.get("whole")):
            return self.session.volatile(work, started)
        kept = {number: value for number, value in enumerate(results) if value is not UNBOUND}
        try:
            data = encode(kept)
        except UnstorableValue:
            return self.session.volatile(work, started)
        return self.session.computed(work, digest(data), data, started)

    # -- calls -------------------------------------------------------------------------

    async def _call(self, index: int, node: Node) -> None:
        callee, args, kwargs = self.namespace.evaluator(node)(self._inputs(node), Kept())
        if node.kind is Kind.HUMAN or (node.kind is not Kind.LLM and agent_of(callee) is None):
            await self.reached(index, node.effect)
        # After all else it waits for: what is before it in the program may have to pass the same gates.
        call = partial(self._called, index, node, callee, args, kwargs)
        value = await _through(self._gates(node), call)
        self._give(node, [value])

    def _gates(self, node: Node) -> list[Any]:
        """The semaphores and locks around a call, each once, in one order everywhere: no ring waits."""
        gates = [self._env[each].value for each in node.attrs.get("gates", ())]
        return sorted({id(each): each for each in gates}.values(), key=id) if gates else gates

    async def _called(
        self, index: int, node: Node, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        place = self._place(node)
        if node.kind is Kind.LLM:
            return await ask_model(self.session, place, args, kwargs)
        if node.kind is Kind.HUMAN:
            return await ask_person(self.session, place, args, kwargs)
        if isinstance(callee, Tool):
            return await call_tool(self.session, place, callee, copy_value(args), copy_value(kwargs))
        owner = Owner(self, index)
        if isinstance(callee, Agent):
            return await run_agent(
                self.session, place, callee, args, kwargs, owner=owner, siblings=self.siblings
            )
        helper = agent_of(callee)
        if helper is None:  # the table it was chosen from has changed since the program was compiled
            with tracing(self._tracer(node)):
                return await callee(*copy_value(args), **copy_value(kwargs))
        # A helper of the user's is part of the program around it: what it does is recorded, it is not.
        values = bind(helper, args, kwargs)
        return await run_program(
            self.session, compile_agent(helper), values, place.path, owner, self.siblings
        )

    def _place(self, node: Node) -> Place:
        return Place(
            path=self._path(node),
            site=node.site,
            program=self.program.hash,
            name=self.program.program.name,
            siblings=self.siblings,
            prefix_group=self._prefix_group(node),
            remaining=partial(self.remaining, node.site),
        )

    def remaining(self, site: str) -> tuple[Stage, ...]:
        """Forecast of the stages that wait for a node of this frame, in what called the program too."""
        rounds: dict[str, int] = {}
        owner = self.owner
        while owner is not None and owner.node.kind is not Kind.AGENT:
            if owner.iterations is not None:
                rounds[owner.node.site] = owner.iteration
            owner = owner.frame.owner
        stages = self.session.forecasts.after(self.program.program, site, rounds)
        return stages if owner is None else (*stages, *owner.frame.remaining(owner.node.site))

    def _seen(self, node: Node) -> Notes:
        """Where to note what a node does, for later forecasts."""
        return self.session.observed.at(self.program.program.name, node.site)

    def _prefix_group(self, node: Node) -> str:
        """The group of calls whose prompts begin alike: by code, and by the values that stand in it."""
        group: str = node.attrs.get("prefix_group", "")
        values = [self._env[each].value for each in node.attrs.get("prefix_values", ())]
        return python_key(group, values) if group and values else group

    # -- regions -----------------------------------------------------------------------

    def _inner(
        self, region: Region, params: Sequence[Slot], owner: Owner, path: str, siblings: int = 0
    ) -> Frame:
        return Frame(self.session, self.program, region, params, path, owner, siblings or self.siblings)

    async def _branch(self, index: int, node: Node) -> None:
        condition, *captures = (self._env[each] for each in node.operands)
        taken = condition.value is None if node.attrs.get("on") == "exit" else condition.value
        region = node.regions[0 if taken else 1]
        self._seen(node).taken.append(1 if taken else 0)
        # Sites are unique in a program, so a branch needs no place of its own in a path.
        frame = self._inner(region, captures, Owner(self, index), self.path)
        for result, name in zip(frame.results, node.results, strict=True):
            result.feed(self._env[name])
        await self._within(index, frame)

    async def _try(self, index: int, node: Node) -> None:
        kept = node.attrs["kept"]
        slots = [self._env[each] for each in node.operands]
        fallbacks, captures = slots[: len(kept)], slots[len(kept) :]
        owner = Owner(self, index)
        final = bool(node.attrs.get("final"))
        frame = body = self._inner(node.regions[0], captures, owner, self.path)
        raised: BaseException | None = None
        handler: int | None = 0
        try:
            await self._within(index, body)
        except BaseException as error:
            handler = self._handler(node, error)
            if handler is None:
                raise
            raised = error
        # Outside the `except`, which would become the context of what a handler raises.
        if raised is not None:
            names = self._halfway.pop(index)
            seen = [names.get(name, fallback) for name, fallback in zip(kept, fallbacks, strict=True)]
            first = [_LITERALS["$none"], _LITERALS["$none"]] if final else [Slot(raised)]
            assert handler is not None
            frame = self._inner(node.regions[1 + handler], [*first, *seen, *captures], owner, self.path)
            name = "" if final else node.attrs["names"][handler]
            await _handling(raised, self._within(index, frame, name))
            if final and frame.results[0].value is None:
                self._halfway[index] = _named(node.results[2:], frame.results[2:])
                raise raised
        elif final:
            frame = self._inner(node.regions[1], [*body.results, *captures], owner, self.path)
            await self._within(index, frame)
        for result, wanted in zip(frame.results, node.results, strict=True):
            result.feed(self._env[wanted])  # what it only passes on may still be on its way

    def _handler(self, node: Node, error: BaseException) -> int | None:
        """The first handler for an exception; None if there is none, or it is a signal to stop."""
        if not is_failure(error):
            return None
        if node.attrs.get("final"):
            return 0
        for number, types in enumerate(self.namespace.handled(node)):
            if isinstance(error, types):
                return number
        return None

    async def _loop(self, index: int, node: Node) -> None:
        iterable, *slots = (self._env[each] for each in node.operands)
        count = node.attrs["carried"]
        carried, captures = slots[:count], slots[count:]
        region = node.regions[0]
        may_leave = region.results[0] != "$none"
        chained = self.session.chains.around(node)
        items = None if iterable.value is None else iter(iterable.value)
        left: tuple[Any, Slot] = (None, _LITERALS["$none"])
        frames: dict[int, Frame] = {}
        room = anyio.Semaphore(WINDOW)
        async with anyio.create_task_group() as tasks:
            group = OrderedGroup(tasks)
            skipped, values = self.session.skipped(self._path(node))
            carried = [new or old for new, old in zip(values, carried, strict=True)] if skipped else carried
            if items is not None:
                items = islice(items, skipped, None)
            number = skipped
            while group.failed_at is None:
                at = number - skipped
                try:
                    item = None if items is None else next(items)
                except StopIteration:
                    break
                except Exception as error:
                    group.fail(at, error)
                    break
                owner = Owner(self, index, group, at)
                frame = self._inner(
                    region, [Slot(item), *carried, *captures], owner, f"{self._path(node)}[{number}]"
                )
                if chained:
                    await group.run(at, partial(_iterate, frames, at, frame))
                    await asyncio.sleep(0)  # others have their turn, as between tasks
                else:
                    await room.acquire()
                    group.start(at, partial(_release_after, room, partial(_iterate, frames, at, frame)))
                carried = frame.results[2:]
                number += 1
                if may_leave:
                    reason = await _first(frame.results[0], group.changed)
                    if reason in ("return", "break"):
                        told = reason == "return" or node.attrs.get("tells_break")
                        left = (reason if told else None, frame.results[1])
                        break
                elif items is None:
                    await group.before(number - skipped)
            for slot, name in zip(carried, node.results[2:], strict=True):
                slot.feed(self._env[name])
            if left[0] is None:
                self._give_exit(node, None, _LITERALS["$none"])
            else:
                self._give_exit(node, left[0], left[1])
            self._seen(node).times.append(number)
            await group.before(number - skipped)
        if group.failed_at in frames:
            self._halfway[index] = frames[group.failed_at].names
        elif group.failed_at is not None:  # no item could be had: the names are what the last iteration left
            self._halfway[index] = _named(node.results[2:], carried)
        group.raise_failure()

    def _give_exit(self, node: Node, reason: str | None, value: Slot) -> None:
        self._env[node.results[0]].set(reason)
        value.feed(self._env[node.results[1]])

    async def _map(self, index: int, node: Node) -> None:
        items, *captures = (self._env[each] for each in node.operands)
        values, failure = _taken(items.value)
        frames: list[Frame] = []
        self._seen(node).times.append(len(values))
        room = anyio.Semaphore(WINDOW, fast_acquire=True)
        async with anyio.create_task_group() as tasks:
            group = OrderedGroup(tasks)
            for number, item in enumerate(values):
                if group.failed_at is not None:
                    break
                frame = self._inner(
                    node.regions[0],
                    [Slot(item), *captures],
                    Owner(self, index, group, number),
                    f"{self._path(node)}[{number}]",
                    siblings=self.siblings * len(values),
                )
                frames.append(frame)
                await room.acquire()
                group.start(number, partial(_release_after, room, frame.execute))
            if failure is not None:
                group.fail(len(values), failure)
            await group.before(len(frames))
        group.raise_failure()
        self._give(node, [[await frame.results[0].wait() for frame in frames]])


def _taken(items: Iterable[Any]) -> tuple[list[Any], Exception | None]:
    """All items, or those before the one that cannot be had, and why: Python asks for one after the other."""
    taken: list[Any] = []
    try:
        taken.extend(iter(items))
    except Exception as error:
        return taken, error
    return taken, None


async def _through(gates: Sequence[Any], call: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call within all gates.

    Not with an exit stack, which assigns to the exceptions that pass through it: one may refuse.
    """
    if not gates:
        return await call()
    async with gates[0]:
        return await _through(gates[1:], call)


async def run_agent(
    session: Session,
    place: Place,
    agent: Agent,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    owner: Owner | None = None,
    siblings: int = 1,
    traced: bool = False,
) -> Any:
    """Call an agent from within a run: its program in a frame of its own."""
    values = bind(agent, args, kwargs)
    arguments = (tuple(args), kwargs) if traced else None
    compiled = called_from_traced(agent) if arguments and objects(arguments) else compile_agent(agent)
    try:
        key = agent_key(compiled.hash, values)
    except UnstorableValue:
        if traced:
            raise
        key = ""  # what it does is recorded; that it was called with a lock, say, cannot be
    looks = compiled.effect is not Effect.PURE
    work = Work(place.path, place.site, "agent", key, traced=traced, arguments=arguments, looks=looks)

    async def execute() -> Outcome:
        body = partial(run_program, session, compiled, values, place.path, owner, siblings)
        return Outcome(await agent_limit(session, work, agent, body))

    return await session.perform(work, execute) if key else (await execute()).value


async def run_program(
    session: Session,
    compiled: Compiled,
    values: dict[str, Any],
    path: str = "",
    owner: Owner | None = None,
    siblings: int = 1,
) -> Any:
    """Execute a program's body. Returns what the agent returns, raises what it raises."""
    params = [Slot(values[each]) for each in compiled.program.params]
    frame = Frame(session, compiled, compiled.program.body, params, path, owner, siblings)
    await frame.execute()
    return frame.results[0].value


async def _handling(error: BaseException, handler: Awaitable[None]) -> None:
    """Wait for a handler; what it raises has the handled exception as context, as in Python."""
    try:
        await handler
    except BaseException as another:
        if another is not error and another.__context__ is None:
            BaseException.__setattr__(another, "__context__", error)  # its class may refuse assignments
        raise


async def _release_after(room: anyio.Semaphore, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    finally:
        room.release()


async def _iterate(frames: dict[int, Frame], number: int, frame: Frame) -> None:
    """Execute an iteration, which is among the frames while it goes on and if it fails."""
    frames[number] = frame
    await frame.execute()
    del frames[number]


def _named(values: Sequence[str], slots: Sequence[Slot]) -> dict[str, Slot]:
    """The slots by the names that the values have in source code."""
    return {base(each): slot for each, slot in zip(values, slots, strict=True)}


def _changed(node: Node, kept: Kept) -> dict[str, Slot]:
    """What the node's code, which raised, had made of the names it assigns or changes."""
    if not kept:  # it did not begin
        return {}
    given = {base(each) for each in node.operands}
    names = [name for name in map(base, node.results) if name in kept or name in given]
    return {name: Slot(kept.get(name, UNBOUND)) for name in names}


async def _first(wanted: Slot, failure: Slot) -> Any:
    """The value, or None if a failure comes before it."""
    event = asyncio.Event()
    wanted.then(event.set)
    failure.then(event.set)
    await event.wait()
    return wanted.value if wanted.ready else None


def _stored(value: Any) -> Any:
    """An operand as execution keys see it."""
    return ("unbound",) if value is UNBOUND else value
