"""The agents that a server runs: those it was started with, and no others.

What a request names is looked up here; it never becomes a path or a module to
import.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from agentvm.inputs import adapter_of_parameter, described
from agentvm_compiler.calls import Agent
from agentvm_compiler.errors import ConfigError, InputError
from agentvm_runtime.records import RunRecord

from .models import AgentInfo
from .problems import not_found


class Registry:
    """Agents by name and by `module:name`."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._by_ref: dict[str, Agent] = {}
        self._by_name: dict[str, Agent] = {}
        for each in agents:
            known = self._by_name.get(each.name)
            if known is not None and known.ref != each.ref:
                raise ConfigError(
                    f"Two agents are called {each.name!r}: {known.ref} and {each.ref}. "
                    "Give one of them another name: @agent(name=...)."
                )
            self._by_ref[each.ref] = self._by_name[each.name] = each

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._by_ref.values())

    def __contains__(self, ref: str) -> bool:
        return ref in self._by_ref

    def named(self, name: str) -> Agent:
        """Raises Refused if there is none."""
        found = self._by_name.get(name) or self._by_ref.get(name)
        if found is None:
            known = ", ".join(self._by_name) or "none"
            raise not_found("agent", name, f"Registered: {known}.")
        return found

    def ref_of(self, name: str | None) -> str | None:
        """What runs of an agent are recorded under; a name that is not registered is taken for that."""
        found = None if name is None else self._by_name.get(name)
        return name if found is None else found.ref

    def find(self, record: RunRecord) -> Agent:
        """The agent of a run. Raises InputError if it is not registered."""
        found = self._by_ref.get(record.agent)
        if found is None:
            raise InputError(
                f"The agent {record.agent} of run {record.id} is not registered with this server. "
                "Start the server with its file, or go on with the run from the command line."
            )
        return found


def info_of(agent: Agent) -> AgentInfo:
    return AgentInfo(
        name=agent.name,
        ref=agent.ref,
        doc=inspect.getdoc(agent.fn) or "",
        signature=described(agent),
        input_schema=input_schema(agent),
        deadline=agent.deadline,
    )


def input_schema(agent: Agent) -> dict[str, Any]:
    """JSON Schema of an agent's inputs, by name. A type that has none is left open."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    definitions: dict[str, Any] = {}
    more = False
    for name, each in agent.signature.parameters.items():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            more = more or each.kind is each.VAR_KEYWORD
            continue
        schema = _schema(each)
        definitions |= schema.pop("$defs", {})
        if each.default is each.empty:
            required.append(name)
        else:
            schema |= _default(each.default)
        properties[name] = schema
    result: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": more,
    }
    return result | ({"$defs": definitions} if definitions else {})


def _schema(parameter: inspect.Parameter) -> dict[str, Any]:
    adapter = adapter_of_parameter(parameter)
    if adapter is None:
        return {}
    try:
        return dict(adapter.json_schema())
    except Exception:  # whatever a type's own hooks raise: then it is not described
        return {}


def _default(value: Any) -> dict[str, Any]:
    return {"default": value} if isinstance(value, str | int | float | bool | None) else {}
