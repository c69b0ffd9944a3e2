"""Planning a fork: from the names and values a user gives to the row that is written."""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import Compiled, compile_agent
from agentvm_compiler.errors import InputError
from agentvm_compiler.frontend.callees import agent_of
from agentvm_compiler.ir import Kind, Node
from agentvm_compiler.parsing import parse
from agentvm_runtime.changes import settable
from agentvm_runtime.forking import FORK, Fork
from agentvm_runtime.lineage import lineage_of
from agentvm_runtime.records import Digest, RunRecord, RunStatus
from agentvm_runtime.revision import MODULE, NAMES, code_of, revise
from agentvm_runtime.structured import adapter_of, problems
from agentvm_runtime.targets import Places, Target, paths_of
from agentvm_runtime.values import decode, digest, encode

from .inputs import refit

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store


@dataclass(frozen=True, slots=True)
class Plan:
    """A fork that can be written."""

    record: RunRecord
    values: dict[Digest, bytes]
    """What the record names and its parent does not have."""


class Planner:
    """Finds out what a fork of one run overrides."""

    def __init__(self, store: Store, parent: RunRecord, agent: Agent) -> None:
        self._store = store
        self._parent = parent
        self._agent = agent
        self._compiled = compile_agent(agent)
        self._values: dict[Digest, bytes] = {}
        self._given: dict[str, dict[int, Digest]] = {}
        self._inputs: dict[str, Any] = {}

    async def plan(self, record: RunRecord, at: str | None, changes: Mapping[str, Any]) -> Plan:
        """The row of a fork.

        Args:
            record: the fork, with what does not depend on the parent.
            at: the place that is done again, or gets a value if `changes` names it.
            changes: values, by the name of a place, of a variable or of an input.

        Raises:
            InputError: a name means nothing or several places, or a value does not fit.
        """
        revision = await revise(self._parent, self._compiled, self._store)
        self._places = Places(self._compiled.module, revision.names)
        self._values |= revision.values
        place = None if at is None else await self._find(at)
        for name, value in changes.items():
            await self._change(name, value, place)
        again = (place.path,) if place is not None and place.path not in self._given else ()
        failed = self._parent.error if self._parent.status is RunStatus.FAILED else None
        seq = await self._store.last_seq(self._parent.id)
        fork = Fork(seq, self._given, again, failed)
        meta = {**self._code(), **revision.meta, **record.meta, FORK: fork.to_json()}
        if self._inputs:
            meta["inputs_set"] = list(self._inputs)  # for whoever looks at the fork
        return Plan(replace(record, inputs=await self._new_inputs(), meta=meta), self._values)

    def _code(self) -> dict[str, Any]:
        """What the parent's `meta` says of its code."""
        name, data = code_of(self._compiled)
        if MODULE not in self._parent.meta:
            self._values[name] = data
        return {MODULE: name} | {key: self._parent.meta[key] for key in (NAMES,) if key in self._parent.meta}

    async def _find(self, text: str) -> Target:
        found = self._places.called(text)
        if len(found) == 1:
            return found[0]
        return self._places.require(text, paths_of(await self._recorded()), self._parent.id)

    async def _recorded(self) -> list[str]:
        """The paths that the parent has results for, its own and inherited ones."""
        lineage = await lineage_of(self._store, self._parent)
        inherited = [] if lineage is None else [*await lineage.results(), *lineage.given]
        return [*inherited, *(each.path for each in await self._store.events(self._parent.id) if each.path)]

    async def _change(self, name: str, value: Any, place: Target | None) -> None:
        target = None
        if place is not None:
            target = self._places.named_at(place, name)
        if target is None and name in self._agent.signature.parameters and self._places.at(name) is None:
            self._inputs[name] = value
            return
        target = target or await self._find(name)
        if (
            target.node is not None
            and target.node.regions
            and len(target.results) < len(settable(target.node))
        ):
            raise InputError(
                f"{name!r} is one of several results of {target.path}, which can only be set together. "
                "Set a node within it."
            )
        data = encode(self._typed(target, name, value), name=f"the value for {name}")
        self._values[digest(data)] = data
        self._given.setdefault(target.path, {}).update({each: digest(data) for each in target.results})

    def _typed(self, target: Target, name: str, value: Any) -> Any:
        """The value as the program expects it there, converted as inputs are."""
        expected = self._expected(target)
        if expected is None:
            return value
        try:
            adapter = adapter_of(expected)
        except InputError:
            return value
        from pydantic import ValidationError

        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise InputError(f"{name}: {value!r:.80} does not fit {target.path}: {problems(error)}") from None

    def _expected(self, target: Target) -> Any:
        """The type of a place's result; None if it is not known."""
        node, program = target.node, target.program
        if node is None or program is None:
            return None
        try:
            compiled = (
                self._compiled if program.name == self._compiled.program.name else self._called(program.name)
            )
            return None if compiled is None else _returns(node, compiled)
        except Exception:  # whatever the user's annotations do when they are evaluated
            return None

    def _called(self, name: str) -> Compiled | None:
        """The called agent of that name."""
        pending, seen = [self._compiled], set()
        while pending:
            here = pending.pop()
            if here.program.name == name:
                return here
            if here.program.name not in seen:
                seen.add(here.program.name)
                pending += [compile_agent(each) for each in here.callees]
        return None

    async def _new_inputs(self) -> Digest:
        """The parent's inputs with the changed ones in their place."""
        parent = self._parent.inputs
        if not self._inputs and self._compiled.hash == self._parent.program:
            return parent
        old: dict[str, Any] = decode((await self._store.values([parent]))[parent])
        given = refit(self._agent, {**old, **self._inputs})
        data = encode(given, name="the agent's inputs")
        self._values[digest(data)] = data
        return digest(data)


def _returns(node: Node, compiled: Compiled) -> Any:
    """What a call's result is declared to be; None if it is not."""
    if node.kind is Kind.LLM:
        call = parse(node.code, mode="eval").body
        call = call.value if isinstance(call, ast.Await) else call
        assert isinstance(call, ast.Call)
        wanted = [each.value for each in call.keywords if each.arg == "returns"]
        if not wanted:
            return None if any(each.arg is None for each in call.keywords) else str
        code = compile(ast.Expression(wanted[0]), compiled.namespace.file, "eval")
        return eval(code, {**compiled.namespace.globals, **compiled.namespace.cells})
    if node.kind not in (Kind.TOOL, Kind.AGENT):
        return None
    name = parse(node.code, mode="eval").body
    name = name.value if isinstance(name, ast.Await) else name
    assert isinstance(name, ast.Call)
    code = compile(ast.Expression(name.func), compiled.namespace.file, "eval")
    callee = eval(code, {**compiled.namespace.globals, **compiled.namespace.cells})
    callee = agent_of(callee) or callee
    return typing.get_type_hints(callee.fn, include_extras=True).get("return")
