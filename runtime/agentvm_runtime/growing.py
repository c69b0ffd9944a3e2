"""Growing in place: what known code changes of a large value is changed there, not in a copy.

Value semantics gives each version of a container to whoever reads it. But in a loop
that gathers, hardly anybody reads the older ones, and copying each takes the square
of the loop's length. So a fold whose container nobody holds but the slot of its
older version changes it where it is, and leaves there what takes the change back.

Who holds it is what Python counts anyway. If anything else does (another name, an
object that it lies in, a call under way), the fold is done on a copy as any code.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from agentvm_compiler.codegen import Namespace
from agentvm_compiler.ir import UNBOUND, Node, base

from .doing import Doing, Grown, Part, Root, taken_back
from .holding import Held, is_alone
from .known import DO, rewritten
from .objects import is_record
from .slots import CHANGEABLE, Slot, Undo, is_large

Left: TypeAlias = "tuple[str | None, Any, dict[str, Any]]"
"""How code was left, what with, and its variables then."""


def grow(node: Node, env: Mapping[str, Slot], namespace: Namespace) -> list[Any] | None:
    """Do known code in place. Returns its results, or None if somebody else holds what it changes.

    The slots of versions that were made in place hold these when it returns; who waits for them
    has not been told.

    Raises:
        Exception: the code is for ordinary Python to run.
    Whether it raises or returns None: then nothing has happened.
    """
    doing = Doing(free=False)
    roots = {name: Root(env[name].holder()) for name in node.operands if _may_change(env[name].value)}
    if len({id(root.holder) for root in roots.values()}) < len(roots):
        return None
    try:
        given = [roots[name] if name in roots else env[name].value for name in node.operands]
        left = _code(node, namespace)(doing, *given)
        del given
        return _handed_on(node, env, roots, doing, left)
    except Held:
        doing.take_back()
        return None
    except BaseException:
        doing.take_back()
        raise


def do_again(node: Node, namespace: Namespace, inputs: Sequence[Any]) -> list[Any]:
    """The results of known code on copies. Raises what makes it one for ordinary Python to run."""
    return _results(node, _code(node, namespace)(Doing(free=True), *inputs))


def _code(node: Node, namespace: Namespace) -> Callable[..., Left]:
    def build() -> types.FunctionType:
        given = [base(each) for each in node.operands]
        return namespace.function(node, [DO, *given], rewritten(node.code, given))

    return namespace.once(f"known {node.site}", build)


def _may_change(value: Any) -> bool:
    cls = type(value)
    return cls in CHANGEABLE or (cls is str and is_large(value)) or is_record(cls)


def _results(node: Node, left: Left) -> list[Any]:
    reason, value, variables = left
    exits = 2 if node.attrs.get("exits") else 0
    named = [variables.get(base(each), UNBOUND) for each in node.results[exits:]]
    return [reason, value, *named] if exits else named


def _handed_on(
    node: Node, env: Mapping[str, Slot], roots: Mapping[str, Root], doing: Doing, left: Left
) -> list[Any]:
    """The results, with what was changed held by the slots of the new versions."""
    results = _results(node, left)
    del left
    _check(results, doing)
    order = sorted(range(len(results)), key=lambda place: type(results[place]) is Grown)
    for place in order:
        result, newer = results[place], env[node.results[place]]
        if type(result) is Root:
            results[place] = _hand_on(result, newer)
        elif type(result) is Grown:
            if result.root.undone:
                _hand_on(result.root, Slot())
            results[place] = _grow(result.root.holder, newer, result.added)
        del result
    for root in roots.values():
        if root.undone:  # nobody reads the new version
            _hand_on(root, Slot())
    return results


def _check(results: Sequence[Any], doing: Doing) -> None:
    """Raises Held unless all that is left can be handed on."""
    grown = [each for each in results if type(each) is Grown]
    roots = [id(each.root) for each in grown] + list({id(each) for each in results if type(each) is Root})
    if any(type(each) is Part for each in results) or len(set(roots)) < len(roots):
        raise Held  # the version before it has got longer is a result, too
    for each in grown:
        if each.changes != doing.changes or not is_alone(each.root.holder):
            raise Held


def _hand_on(root: Root, newer: Slot) -> Any:
    """Let the slot of the new version hold it."""
    value, holder = root.holder.value, root.holder
    holder.hand_on(newer, partial(taken_back, root.undone) if root.undone else None)
    newer.value = value
    root.holder, root.undone = newer, []
    return value


def _grow(holder: Slot, newer: Slot, added: Sequence[Any]) -> Any:
    """Let the slot of a new version hold what has something at its end."""
    value, length = holder.value, len(holder.value)
    holder.hand_on(newer, _cut(type(value), length))
    if type(value) is str:
        for part in added:
            # No other reference is left: Python makes this one longer where it is.
            value += part
    else:
        for part in added:
            value.extend(part)
    newer.value = value
    return value


def _cut(cls: type, length: int) -> Undo:
    def undo(newer: Any) -> Any:
        if cls is str:
            return newer[:length]
        del newer[length:]
        return newer

    return undo
