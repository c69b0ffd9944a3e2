"""Opaque code: what the runtime cannot do again by itself, since it does not know what is done.

It knows operations on builtin containers, texts and numbers, and plain dataclasses; calls of the
user's functions, of most constructors and of libraries, comprehensions and unpacking are opaque to it.
"""

from __future__ import annotations

import ast
import dataclasses
import heapq
from collections import deque
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Agent, Tool, llm
from agentvm_compiler.human import is_human

from .kinds import plain
from .records import has_fields, is_generated, is_record
from .scope import UNKNOWN, member_of

if TYPE_CHECKING:
    from .lower import Lowering

_KNOWN: tuple[Any, ...] = (
    *(len, bool, isinstance, set, dict, str, repr, int, float, abs, round),
    *(min, max, sum, sorted, list, tuple, deque, range, heapq.heappush, heapq.heappop),
)
_OPTIONS = ("reverse", "default", "start")
"""Options of known functions that are known, too."""
_TEXTS = (str, repr)


def is_opaque(node: ast.AST, lowering: Lowering) -> bool:
    """Whether the runtime cannot know what this very node does, not counting those in it."""
    match node:
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return True
        case ast.Call():
            return _is_opaque_call(node, lowering)
        case ast.Dict(keys):
            return None in keys
        case ast.FormattedValue(value):
            return has_fields(plain(lowering.analysis.types.of(value)))
        case ast.Attribute(owner, name):
            cls = plain(lowering.analysis.types.of(owner))
            return has_fields(cls) and isinstance(member_of(cls, name), property)
    return False


def _is_opaque_call(call: ast.Call, lowering: Lowering) -> bool:
    types, callee = lowering.analysis.types, lowering.scope.resolve(call.func)
    if callee is llm or isinstance(callee, Tool | Agent) or is_human(callee):
        return False
    if callee is UNKNOWN:  # a method: of an object, or of a class
        return isinstance(call.func, ast.Attribute) and (
            has_fields(plain(types.of(call.func.value)))
            or isinstance(lowering.scope.resolve(call.func.value), type)
        )
    if any(callee is each for each in _KNOWN):
        shown = any(callee is each for each in _TEXTS) and call.args
        return any(each.arg not in _OPTIONS for each in call.keywords) or bool(
            shown and has_fields(plain(types.of(call.args[0])))
        )
    return not (
        isinstance(callee, type)
        and dataclasses.is_dataclass(callee)
        and is_record(callee)
        and is_generated(vars(callee).get("__init__"))
    )
