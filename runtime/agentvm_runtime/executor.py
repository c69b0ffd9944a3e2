"""The executor: walks the IR and runs every node as soon as its operands are known.

`frames` says when a node runs, `regions` and `computing` how those run that hold
others or Python code; here are the calls, and programs that call each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from agentvm_compiler.calls import Agent, Effect, Tool
from agentvm_compiler.codegen import Kept, Stopped
from agentvm_compiler.compile import Compiled, compile_agent
from agentvm_compiler.errors import InternalError
from agentvm_compiler.frontend.callees import agent_of
from agentvm_compiler.ir import Kind, Node

from . import computing, regions
from .asking import Place, ask_model
from .callees import bind, called
from .deadlines import agent_limit
from .foresight import remaining
from .frames import Frame
from .humans import ask_person
from .keys import python_key
from .owners import Owner
from .session import Session
from .siblings import Siblings
from .slots import Slot
from .tools import call_tool
from .tracing import Tracer, tracing
from .values import copy_value
from .work import Outcome, Work

# Bound once: to look a member of an enum up takes as long as to call a function.
LLM, TOOL, HUMAN, PURE = Kind.LLM, Kind.TOOL, Kind.HUMAN, Effect.PURE
CALLS = (LLM, TOOL, Kind.AGENT, HUMAN)


class Executor(Frame):
    """A frame that knows how each kind of node runs."""

    async def run(self, index: int, node: Node) -> None:
        if node.kind is TOOL or node.kind in CALLS:
            await self._call(index, node)
            if node.after:
                await self.earlier(node)
            return
        match node.kind:
            case Kind.PYTHON:
                await self.reached(index, node.effect)
                if self.session.rehearsing:
                    await self.session.admit(computing.code_work(self, node))
                with tracing(self.tracer(node)):
                    computing.python(self, index, node)
            case Kind.TRACED:
                await computing.traced(self, index, node)
            case Kind.BRANCH:
                await regions.branch(self, index, node)
            case Kind.LOOP:
                await regions.loop(self, index, node)
            case Kind.TRY:
                await regions.attempt(self, index, node)
            case Kind.MAP:
                await regions.fan_out(self, index, node)
            case _:
                raise InternalError(f"The executor cannot run a {node.kind} node yet ({node.site})")
        # What stands after this node counts on what it comes after to be done, too: that must
        # hold even if no effect within it was reached, as in a branch not taken.
        if node.after:
            await self.earlier(node)

    def compute(self, index: int, node: Node) -> None:
        computing.python(self, index, node)

    def tracer(self, node: Node) -> Tracer:
        stages = partial(remaining, self, node.site)
        return Tracer(self.session, self.program, node, self.path_of(node), run_agent, stages)

    async def _call(self, index: int, node: Node) -> None:
        kind = node.kind
        try:
            callee, args, kwargs = self.program.namespace.evaluator(node)(self.inputs(node), Kept())
        except StopIteration as error:
            raise Stopped(error) from None
        waits = node.effect is not PURE and kind is not LLM and not self.is_free(index, node.effect)
        if waits and (kind is HUMAN or isinstance(callee, Tool) or agent_of(callee) is None):
            await self.reached(index, node.effect)
        if node.attrs.get("gates"):
            # After all else it waits for: what is before it in the program may have to pass the same gates.
            call = partial(self._called, index, node, callee, args, kwargs)
            value = await _through(self._gates(node), call)
            del call
        elif kind is TOOL and isinstance(callee, Tool):
            value = await self._tool(node, callee, args, kwargs)
        else:
            value = await self._called(index, node, callee, args, kwargs)
        del args, kwargs  # what comes next may change in place what nobody holds any more
        self.env[node.results[0]].set(value)

    def _gates(self, node: Node) -> list[Any]:
        """The semaphores and locks around a call, each once, in one order everywhere: no ring waits."""
        gates = [self.env[each].value for each in node.attrs["gates"]]
        return sorted({id(each): each for each in gates}.values(), key=id)

    async def _called(
        self, index: int, node: Node, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if node.kind is TOOL and isinstance(callee, Tool):
            return await self._tool(node, callee, args, kwargs)
        if node.site not in self.plan.joins:
            return await self._asked(index, node, callee, args, kwargs, self.siblings)
        siblings = self._joined(node)
        try:
            return await self._asked(index, node, callee, args, kwargs, siblings)
        finally:
            siblings.ended()
            if self.session.updates is not None:
                self.session.updates.sibling_ended(self)

    def _joined(self, node: Node) -> Siblings:
        """The calls of this frame that are joined with this one."""
        where, count = self.plan.joins[node.site]
        if where not in self.joined:
            self.joined = {**self.joined, where: Siblings(count, self.siblings)}
        return self.joined[where]

    async def _asked(
        self,
        index: int,
        node: Node,
        callee: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        siblings: Siblings | None,
    ) -> Any:
        place = self._place(node, siblings)
        if node.kind is LLM:
            return await ask_model(self.session, place, args, kwargs)
        if node.kind is HUMAN:
            return await ask_person(self.session, place, args, kwargs)
        owner = Owner(self, index)
        if isinstance(callee, Agent):
            return await run_agent(self.session, place, callee, args, kwargs, owner=owner, siblings=siblings)
        helper = agent_of(callee)
        if helper is None:  # the table it was chosen from has changed since the program was compiled
            with tracing(self.tracer(node)):
                return await callee(*copy_value(args), **copy_value(kwargs))
        # A helper of the user's is part of the program around it: what it does is recorded, it is not.
        values = bind(helper, args, kwargs)
        return await run_program(self.session, compile_agent(helper), values, place.path, owner, siblings)

    def _tool(self, node: Node, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Awaitable[Any]:
        place = Place(self.path_of(node), node.site, name=self.program.program.name)
        copied = copy_value(kwargs) if kwargs else kwargs
        return call_tool(self.session, place, tool, copy_value(args), copied)

    def _place(self, node: Node, siblings: Siblings | None) -> Place:
        return Place(
            path=self.path_of(node),
            site=node.site,
            program=self.program.hash,
            name=self.program.program.name,
            siblings=siblings,
            frame=self,
            prefix_group=self._prefix_group(node),
            remaining=partial(remaining, self, node.site),
        )

    def _prefix_group(self, node: Node) -> str:
        """The group of calls whose prompts begin alike: by code, and by the values that stand in it."""
        group: str = node.attrs.get("prefix_group", "")
        values = [self.env[each].value for each in node.attrs.get("prefix_values", ())]
        return python_key(group, values) if group and values else group


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
    siblings: Siblings | None = None,
) -> Any:
    """Call an agent from within a run: its program in a frame of its own."""
    arguments = None if place.ticket is None else (tuple(args), kwargs)
    compiled, values, key = called(agent, args, kwargs, traced=arguments is not None)
    looks = compiled.effect is not Effect.PURE
    work = Work(place.path, place.site, "agent", key, ticket=place.ticket, arguments=arguments, looks=looks)

    async def execute() -> Outcome:
        if work.ticket is not None and work.ticket.begins_task:
            session.begin(work)
        body = partial(run_program, session, compiled, values, place.path, owner, siblings)
        return Outcome(await agent_limit(session, work, agent, body))

    return await session.perform(work, execute) if key else (await execute()).value


async def run_program(
    session: Session,
    compiled: Compiled,
    values: dict[str, Any],
    path: str = "",
    owner: Owner | None = None,
    siblings: Siblings | None = None,
) -> Any:
    """Execute a program's body. Returns what the agent returns, raises what it raises."""
    params = [Slot(values[each]) for each in compiled.program.params]
    frame = Executor(session, compiled, compiled.program.body, params, path, owner, siblings)
    stopped = None
    try:
        await frame.execute()
    except Stopped as error:
        stopped = error.error
    if stopped is not None:
        raise RuntimeError("coroutine raised StopIteration") from stopped  # as of any coroutine
    return frame.results[0].value
