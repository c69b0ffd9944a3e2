"""Compile an agent: source -> IR -> verified -> passes -> verified."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .calls import Agent, Effect, joined
from .codegen import Namespace
from .explain import explain
from .frontend.fingerprint import fingerprint
from .frontend.groups import without_groups
from .frontend.kept import without_kept
from .frontend.lifted import with_lifted
from .frontend.lower import Decision, Lowering
from .frontend.meanwhile import compiling
from .frontend.scope import Scope
from .frontend.source import Source, source_of
from .frontend.summary import analysis_of, summarise_callee
from .ir import Kind, Module, Node, Program, Region
from .passes import optimise
from .passes.fold import Constant, module_constants


@dataclass(eq=False)
class Compiled:
    """An agent's program, ready to run."""

    agent: Agent
    program: Program
    namespace: Namespace
    source: Source | None
    decisions: tuple[Decision, ...]
    callees: tuple[Agent, ...]
    """The agents its code calls by name."""

    @cached_property
    def effect(self) -> Effect:
        """The effect of the whole program."""
        return joined(node.effect for node in self.program.body.nodes)

    @cached_property
    def hash(self) -> str:
        return self.program.hash

    @cached_property
    def module(self) -> Module:
        """This program and those of all agents it may call."""
        return Module(tuple(self._programs.values()))

    def find(self, name: str) -> Program | None:
        """The program of that name, if it is this one or one that it may call."""
        return self._programs.get(name)

    @cached_property
    def _programs(self) -> dict[str, Program]:
        return {each.program.name: each.program for each in self._reachable()}

    def _reachable(self) -> Iterator[Compiled]:
        seen: dict[str, Compiled] = {}
        pending = [self]
        while pending:
            here = pending.pop(0)
            if here.program.name not in seen:
                seen[here.program.name] = here
                pending += [compile_agent(each) for each in here.callees]
        yield from seen.values()

    def explain(self) -> str:
        """What was compiled, what is traced and why, with file, line and caret."""
        return explain(self.program, self.source, self.decisions, self.find)


_CACHE = "_agentvm_compiled"
_PLAIN = "_agentvm_plain"
SKIP_VARIABLE = "AGENTVM_SKIP_PASSES"
"""Environment variable: names of passes to leave out, with commas between."""
_under_way: set[int] = set()
"""Agents that are being compiled."""
_made: dict[int, Compiled] = {}
"""What was compiled with the agent that was asked for, and holds if what was assumed does."""
_assumed: dict[int, Effect] = {}
"""What the effect of an agent was taken to be while it was under way, as it calls itself in some way."""


def compile_agent(agent: Agent) -> Compiled:
    """Compile an agent, or return what was compiled before.

    Raises:
        InternalError: a bug of the compiler; nothing a program says is an error here.
    """
    cached: Compiled | None = agent.__dict__.get(_CACHE)
    if cached is not None:
        return cached
    with compiling():
        if _under_way:
            return _made.get(id(agent)) or _compiled(agent)
        return agent.__dict__.get(_CACHE) or _settled(agent)  # another thread may have been quicker


def _settled(agent: Agent) -> Compiled:
    """Compile an agent and all that it calls.

    Agents that call each other in a circle have the least effects that agree with each other: each is
    taken to be pure until what it calls says otherwise, and all are compiled again with what was found.
    """
    _assumed.clear()
    try:
        while True:
            compiled = _compiled(agent)
            found = {each: _made[each].effect for each in _assumed}
            if all(found[each].rank <= _assumed[each].rank for each in _assumed):
                break
            _assumed.update((each, joined((_assumed[each], found[each]))) for each in found)
            _made.clear()
        for each in _made.values():
            adopt(each)
        return compiled
    finally:
        _made.clear()


def _compiled(agent: Agent) -> Compiled:
    _under_way.add(id(agent))
    try:
        compiled = _made[id(agent)] = _compile(agent)
    finally:
        _under_way.discard(id(agent))
    return compiled


def is_under_way(agent: Agent) -> bool:
    """Whether the agent is being compiled: what asks is called by it."""
    return id(agent) in _under_way


def called_from_traced(agent: Agent) -> Compiled:
    """What traced code runs to call an agent.

    A node that changes something works on a copy, so a program's result need not be made of the
    very objects it was given, as Python's would be; traced code could tell. Where it may, the
    function itself runs, and on resume again, rather than its result being read back.
    """
    found = summarise_callee(agent)
    if not (found.returns or found.raises):
        return compile_agent(agent)
    cached: Compiled | None = agent.__dict__.get(_PLAIN)
    if cached is None:
        cached = _opaque(agent, "its result may share something with its arguments", shares=True)
        agent.__dict__[_PLAIN] = cached
    return cached


def adopt(compiled: Compiled) -> None:
    """Take a program that was compiled elsewhere, as one from an artifact, for its agent's."""
    compiled.agent.__dict__[_CACHE] = compiled


def _compile(agent: Agent) -> Compiled:
    source = source_of(agent.fn)
    if source is None:
        return _opaque(agent, "its source is not to be had")
    if hasattr(agent.fn, "__wrapped__"):
        return _opaque(agent, "another decorator stands between it and @agent")
    scope, lowering, program = _lowered(agent, source)
    program = optimise(Module((program,)), _left_out(), _constants(scope)).main
    namespace = Namespace(agent.fn, scope.globals, scope.cells, source.file)
    return Compiled(
        agent, program, namespace, source, tuple(lowering.decisions), tuple(dict.fromkeys(lowering.callees))
    )


def _left_out() -> frozenset[str]:
    names = os.environ.get(SKIP_VARIABLE, "").split(",")
    return frozenset(name for each in names if (name := each.strip()))


def _lowered(agent: Agent, source: Source) -> tuple[Scope, Lowering, Program]:
    scope = without_kept(without_groups(with_lifted(source.fn) or source), _effect_of)
    lowering = Lowering(analysis_of(agent, scope), _effect_of)
    return scope, lowering, lowering.program(agent.ref)


def _constants(scope: Scope) -> dict[str, Constant]:
    return module_constants(scope.globals, scope.shadowed | scope.rebound | frozenset(scope.cells))


def lowered(agent: Agent) -> tuple[Module, dict[str, Constant]]:
    """An agent's own program before any pass, and the module constants that `fold` may use."""
    compiled = compile_agent(agent)
    if compiled.source is None:
        return Module((compiled.program,)), {}
    with compiling():
        scope, _, program = _lowered(agent, compiled.source)
        return Module((program,)), _constants(scope)


def _effect_of(agent: Agent) -> Effect:
    """The effect of a called agent; of one that is under way, what it is taken to be."""
    if is_under_way(agent):
        return _assumed.setdefault(id(agent), Effect.PURE)
    return compile_agent(agent).effect


def _opaque(agent: Agent, reason: str, *, shares: bool = False) -> Compiled:
    """A program of one traced node that calls the function itself."""
    fn = agent.fn
    params = tuple(agent.signature.parameters)
    values = tuple(f"{each}.0" for each in params)
    node = Node(
        Kind.TRACED,
        "traced#1",
        values,
        ("_value.0",),
        effect=Effect.WRITE,
        attrs={"whole": True, "reason": reason, **({"shares": True} if shares else {})},
        code_hash=fingerprint(fn),
    )
    program = Program(agent.ref, params, Region(values, (node,), ("_value.0",)))
    namespace = Namespace(fn, fn.__globals__, {}, fn.__code__.co_filename)
    return Compiled(agent, program, namespace, None, (), ())
