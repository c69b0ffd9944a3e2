"""A run's inputs, for the agent's code as it is now.

An edit may give the agent another signature. What was recorded is passed by
name: an input that the code no longer takes is left out, and one that is new
has its default. Without a default nobody knows it, and the run does not go on.
"""

from __future__ import annotations

from typing import Any

from agentvm_compiler.compile import Compiled
from agentvm_compiler.errors import InputError

from .session import Session
from .values import copy_value


def inputs_of(session: Session, compiled: Compiled) -> dict[str, Any]:
    """Values by parameter. Raises InputError if there is none for a parameter."""
    inputs: dict[str, Any] = session.load(session.record.inputs)
    new = [name for name in compiled.program.params if name not in inputs]
    return inputs | {name: _default(session, compiled, name) for name in new} if new else inputs


def _default(session: Session, compiled: Compiled, name: str) -> Any:
    parameter = compiled.agent.signature.parameters[name]
    if parameter.kind is parameter.VAR_POSITIONAL:
        return ()
    if parameter.kind is parameter.VAR_KEYWORD:
        return {}
    if parameter.default is parameter.empty:
        run, agent = session.record.id, compiled.agent.name
        raise InputError(
            f"Run {run} was started without {name!r}, which {agent} takes now. "
            f"Give it a default, or give it to a fork: agentvm fork {run} --set {name}=VALUE"
        )
    return copy_value(parameter.default)
