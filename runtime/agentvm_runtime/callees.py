"""The callees of agent calls: which program it is, with which arguments, under which execution key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import Compiled, called_from_traced, compile_agent

from .errors import UnstorableValue
from .keys import agent_key


def bind(agent: Agent, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All parameters of an agent by name, defaults applied; raises TypeError as a call would."""
    try:
        bound = agent.signature.bind(*args, **kwargs)
    except TypeError:
        agent.fn(*args, **kwargs).close()  # type: ignore[attr-defined]  # Python says it in its own words
        raise
    bound.apply_defaults()
    return dict(bound.arguments)


def called(
    agent: Agent, args: Sequence[Any], kwargs: dict[str, Any], *, traced: bool
) -> tuple[Compiled, dict[str, Any], str]:
    """The program that a call runs, its parameters, and the key.

    Args:
        traced: the call is from traced code, and must have a key. From elsewhere it has an
            empty one if an argument cannot be stored: what it does is recorded, that it was called is not.

    Raises:
        UnstorableValue: a call from traced code has an argument that has no codec.
        TypeError: as a call of a function, for arguments that do not fit.
    """
    values = bind(agent, args, kwargs)
    compiled = called_from_traced(agent) if traced else compile_agent(agent)
    try:
        return compiled, values, agent_key(compiled.hash, values)
    except UnstorableValue:
        if traced:
            raise
        return compiled, values, ""
