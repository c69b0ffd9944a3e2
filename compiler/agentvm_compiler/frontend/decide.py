"""What cannot be lowered, and why: the reasons for tracing.

A *traced* function runs as ordinary Python with its effects recorded. That is
always right, so every doubt ends here.
"""

from __future__ import annotations

import ast
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from .alias import Analysis
from .callees import effect_call, is_async_call, is_gather
from .gates import is_gate
from .kinds import is_immutable
from .scope import Scope
from .tree import walk

_FRAME_BUILTINS = frozenset(map(id, (locals, globals, vars, dir, eval, exec, super)))
"""By identity, since what a name stands for need not have a hash."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is traced."""

    node: ast.AST
    what: str
    """What stands there."""
    advice: str = ""
    """What to do for it to be compiled."""


class Unsupported(Exception):
    """This statement cannot be lowered; it becomes a traced region."""

    def __init__(self, node: ast.AST, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.reason = Reason(node, what, advice)


def why_whole(analysis: Analysis) -> Reason | None:
    """Why the whole function must be traced; None if it need not be."""
    scope = analysis.scope
    tree = scope.source.tree
    reason = _structural(scope) or _closures(analysis) or _gates(analysis)
    if reason is not None:
        return reason
    if analysis.noticed is not None:
        node, name = analysis.noticed
        advice = "have special methods change nothing"
        return Reason(node, f"Python may call `{name}`, which does something, where nothing shows it", advice)
    if analysis.computed is not None:
        node, name = analysis.computed
        what = f"`{name}` is computed once for an object, and again for a copy"
        return Reason(node, what, "make it a property, or compute it where it is used")
    if analysis.told is not None:
        what = "the result may be an argument, and the function tells objects from their copies"
        return Reason(
            analysis.told, what, "compare with `==`, and have dataclasses that compare by their fields"
        )
    for node, held in analysis.late:
        return Reason(node, f"this may change what {held}", "change it before")
    for node, found in analysis.conflicts:
        names = [name for name in found if name not in analysis.items] or ["what the loop goes over"]
        if effect_call(node, scope):
            advice = "return the new value instead of changing the argument"
            return Reason(node, f"the callee may change what `{names[0]}` refers to", advice)
        if len(names) > 1:
            listed = " and ".join(f"`{name}`" for name in names)
            return Reason(
                node,
                f"this may change what {listed} both refer to",
                "copy one of them first (`list(...)`, `copy.deepcopy(...)`), or build a new value",
            )
        return Reason(
            node,
            f"`{names[0]}` and a module-level object may be the same, and this may change it",
            "annotate what the call returns, copy it, or make the call a @tool",
        )
    for name in scope.params:
        if analysis.parameter_mutated(name) and not is_immutable(analysis.types.names.get(name, Any)):
            what = f"it may change its argument `{name}`, which its caller can see"
            advice = "annotate the argument if it is immutable, or return a new value instead"
            return Reason(tree.args, what, advice)
    return None


def _structural(scope: Scope) -> Reason | None:
    """What stands in the function that makes it no agent to lower; of several, the first by depth."""
    tree = scope.tree
    awaited = [node.value for node in tree.every(ast.Await)]
    gathered = [
        part
        for each in awaited
        if isinstance(each, ast.Call) and is_gather(each, scope)
        for argument in each.args
        for part in (argument, *_elements(argument))
    ]
    used = {id(each) for each in (*awaited, *gathered)}
    doubtful: list[ast.AST] = tree.every(*_DOUBTFUL)
    names = {each.id for each in tree.every(ast.Name)} | {each.attr for each in tree.every(ast.Attribute)}
    if any(_is_doubtful(name, scope) for name in names):
        doubtful += tree.every(ast.Name, ast.Attribute)
    found = {
        id(node): reason
        for node in doubtful
        if node is not tree.root and (reason := _reason(node, scope, used)) is not None
    }
    return next((found[id(node)] for node in walk(tree.root) if id(node) in found), None) if found else None


_DOUBTFUL = (
    ast.Yield,
    ast.YieldFrom,
    ast.Global,
    ast.Nonlocal,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Call,
)
"""Nodes that `_reason` looks at, beside names."""


def _reason(node: ast.AST, scope: Scope, used: Set[int]) -> Reason | None:
    """Why this very node cannot be lowered.

    Args:
        used: what is awaited or gathered.
    """
    match node:  # what there is most of comes first
        case ast.Call():
            if id(node) in used or not is_async_call(node, scope):
                return None
            what = f"the coroutine `{ast.unparse(node.func)}(...)` is kept instead of awaited"
            return Reason(node, what, "await it where it is called, or inside asyncio.gather(...)")
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if _is_private(name, scope):
                return Reason(node, f"`{name}` is a private name of a class")
            if isinstance(node, ast.Name) and _is_frame_builtin(node, scope):
                return Reason(node, f"`{name}` looks at the function's own frame")
        case ast.Yield() | ast.YieldFrom():
            return Reason(node, "a generator gives values one at a time", "return a list instead")
        case ast.Global() | ast.Nonlocal():
            return Reason(node, "a name outside the function is rebound", "return the value instead")
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return Reason(node, f"`{node.name}` is defined inside the agent", "move it to the module")
    return None


def _gates(analysis: Analysis) -> Reason | None:
    """A semaphore or lock of which more is asked than `async with`."""
    for node in analysis.scope.tree.every(ast.Attribute):
        if is_gate(analysis.types.of(node.value)):
            return Reason(node, f"`{ast.unparse(node)}` is used by hand", "use `async with`")
    return None


def _elements(argument: ast.expr) -> list[ast.AST]:
    """The element expression of a starred comprehension in a gather."""
    if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.ListComp | ast.GeneratorExp):
        return [argument.value.elt]
    return []


def _is_doubtful(name: str, scope: Scope) -> bool:
    """Whether there may be a reason not to lower what has the name."""
    return _is_private(name, scope) or id(scope.lookup(name)) in _FRAME_BUILTINS


def _is_private(name: str, scope: Scope) -> bool:
    """Whether Python mangles the name."""
    if not name.startswith("__") or name.endswith("__"):
        return False
    return "." in scope.source.fn.__qualname__.rpartition("<locals>.")[2]


def _is_frame_builtin(node: ast.Name, scope: Scope) -> bool:
    return isinstance(node.ctx, ast.Load) and id(scope.lookup(node.id)) in _FRAME_BUILTINS


def _closures(analysis: Analysis) -> Reason | None:
    for node in analysis.outliving:
        kind = "lambda" if isinstance(node, ast.Lambda) else "generator"
        what = f"a {kind} may be used after the names it reads have changed"
        return Reason(node, what, "use it where it is made")
    return None
