"""Execution keys: the hash of everything the result of some work depends on.

Equal keys mean equal work, so a recorded result may stand for it. The code
counts by its hash, values by content; dict order and object identity do not
matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from agentvm_compiler.calls import LlmRequest, Tool
from agentvm_compiler.frontend.fingerprint import fingerprint
from agentvm_compiler.wire import Message

from .errors import UnstorableValue
from .structured import schema_of, type_name
from .values import call_digest, digest, key_digest, list_token, token, tuple_key


def python_key(code_hash: str, operands: Sequence[Any]) -> str:
    """Key of plain Python code on its operands; empty if one of them has no content to hash."""
    try:
        return key_digest(("python", code_hash, *operands))
    except UnstorableValue:
        return ""


def tool_key(tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Key of a tool call.

    Raises:
        UnstorableValue: an argument has no codec.
    """
    return call_digest(_tool_tokens(tool), args, kwargs)


@lru_cache(maxsize=4096)
def _tool_tokens(tool: Tool) -> bytes:
    """What of a key says which tool: its code does not change while it is there, and it is called often."""
    return token("tool") + token(fingerprint(tool))


def idempotency_key(run_id: str, path: str, key: str) -> str:
    """What a tool may tell a service to be known by: the same for all attempts at one call."""
    return digest(f"idempotency\0{run_id}\0{path}\0{key}".encode("utf-8", "surrogatepass"))


def agent_key(program: str, args: dict[str, Any]) -> str:
    """Key of a call of another agent.

    Raises:
        UnstorableValue: an argument has no codec.
    """
    return key_digest(("agent", program, args))


def model_key(request: LlmRequest, identity: str, path: str) -> str:
    """Key of a model call.

    A sampled call is told apart by its place in the run, so that equal calls
    stay several draws; a greedy or seeded one is the same wherever it stands.
    """
    sampling = request.sampling
    drawn = "" if sampling.deterministic else path
    turns = list_token(map(_turn, request.messages)) if request.messages else token([])
    how = [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, sampling.stop]
    answer = None if request.returns is str else (type_name(request.returns), schema_of(request.returns))
    parts = (token("llm"), token(identity), turns, token(how), token(answer), token(drawn))
    return tuple_key(parts)


_SHORT = 1000
"""Characters up to which a turn is remembered: it is asked for again with each that follows."""


def _turn(turn: Message) -> bytes:
    if type(turn.content) is str and type(turn.role) is str and len(turn.content) <= _SHORT:
        return _short_turn(turn.role, turn.content)
    return token((turn.role, turn.content))


@lru_cache(maxsize=16_384)
def _short_turn(role: str, content: str) -> bytes:
    return token((role, content))
