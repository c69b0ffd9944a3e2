"""Folds: Python code that is done again on resume, as that takes no longer than reading what it gave.

What a run gathers in a loop would, if each version of it were recorded, take the
square of the run's length to keep. So code on a large value is not recorded with
its results if it comes out the same in any process. That is so for *known* code:
a few operations on builtin containers and plain objects (`known`, `looking`, `undoing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import UNBOUND, Kind, Node

from .known import is_known
from .objects import is_record
from .slots import CONTAINERS, is_large
from .values import key_digest

_SMALL = frozenset({type(None), bool, int, float, complex})
DEEP = 2
"""How far within small containers and objects large ones are looked for."""


def fold_key(node: Node, values: Sequence[Any]) -> str:
    """Key of known code on a large value, which counts by its length alone; empty if it is none.

    Such a key tells what was done where; no result may be found by it.
    """
    if node.kind is not Kind.PYTHON or node.effect is not Effect.PURE or not is_known(node.code):
        return ""
    if not any(map(holds_large, values)) or any(each is UNBOUND for each in values):
        return ""
    short = [(type(each).__name__, len(each)) if is_large(each) else repr(type(each)) for each in values]
    return key_digest(("fold", node.code_hash, short))


def holds_large(value: Any, deep: int = DEEP) -> bool:
    """Whether a value is large, or a small one with a part that is."""
    cls = type(value)
    if cls in _SMALL:
        return False
    if is_large(value):
        return True
    if not deep or cls is str:
        return False
    if cls in CONTAINERS:
        parts = value.values() if isinstance(value, dict) else value
    elif is_record(cls):
        parts = getattr(value, "__dict__", {}).values()
    else:
        return False
    return any(holds_large(each, deep - 1) for each in parts)
