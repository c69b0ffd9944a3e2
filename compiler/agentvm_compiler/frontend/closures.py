"""Functions and generators made in an expression that may outlive it: they see later assignments.

A node of the graph has the names as they were. So a lambda must have been called, and
a generator read, for the last time before the statement that makes it is done.
"""

from __future__ import annotations

import ast
import collections
import functools
import heapq
import itertools
import json
import re
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import known
from .callees import is_gather
from .kinds import plain
from .scope import Scope, parameters
from .source import is_users, source_of
from .tree import NESTED_SCOPES, children, loaded_names, walk

if TYPE_CHECKING:
    from .infer import Types

_BY_KEY = (sorted, min, max, heapq.nlargest, heapq.nsmallest)
_FIRST = (map, filter, itertools.takewhile, itertools.dropwhile, itertools.filterfalse, itertools.starmap)
_READERS = known.PURE_BUILTINS - known.ITERATORS - {getattr, type, slice, object}
_METHODS = ("join", "extend", "extendleft", "update", "sort", "union", "difference", "intersection")


def outliving(scope: Scope, types: Types) -> Iterator[ast.Lambda | ast.GeneratorExp]:
    """The lambdas and generators of which it is not known that they are used at once."""
    yield from _Visit(scope, types).visit(scope.tree.root, at_once=False)


class _Visit:
    def __init__(self, scope: Scope, types: Types) -> None:
        self._scope = scope
        self._types = types

    def visit(self, node: ast.AST, at_once: bool) -> Iterator[ast.Lambda | ast.GeneratorExp]:
        """Go through the tree; `at_once` says that what reads or calls the node's value does it now."""
        if isinstance(node, ast.Lambda | ast.GeneratorExp) and not at_once:
            yield node
        for child in children(node):
            if not self._scope.tree.within(child, ast.Lambda, ast.GeneratorExp):
                continue
            if isinstance(child, NESTED_SCOPES) and not isinstance(child, ast.Lambda):
                continue
            if isinstance(child, ast.keyword):
                yield from self.visit(child.value, self._hands_on(node, child, at_once))
            else:
                yield from self.visit(child, self._hands_on(node, child, at_once))

    def _hands_on(self, node: ast.AST, child: ast.AST, at_once: bool) -> bool:
        match node:
            case ast.Call():
                return child is not node.func and self._uses(node, child, at_once)
            case ast.Starred() | ast.IfExp():
                return at_once
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return at_once and isinstance(child, ast.comprehension)
            case ast.comprehension():
                return at_once and child is node.iter
        return False

    def _uses(self, call: ast.Call, argument: ast.AST, at_once: bool) -> bool:
        """Whether the callee is done with the argument when it returns, or when its result is read."""
        callee = self._scope.resolve(call.func)
        if isinstance(argument, ast.Starred):
            return is_gather(call, self._scope)
        value = argument.value if isinstance(argument, ast.keyword) else argument
        if isinstance(value, ast.Lambda):
            return self._calls(callee, call, argument, at_once)
        if isinstance(argument, ast.keyword):
            return False
        module = getattr(callee, "__module__", "")
        if _among(callee, known.ITERATORS) or module == "itertools" or callee is heapq.merge:
            return at_once
        if _among(callee, known.KEEPS_FUNCTIONS):
            return False
        if _among(callee, _READERS) or module in known.EAGER_MODULES:
            return True
        return self._is_builtin_method(call)

    def _calls(self, callee: Any, call: ast.Call, argument: ast.AST, at_once: bool) -> bool:
        """Whether a lambda is called there, and not kept."""
        if isinstance(argument, ast.keyword):
            sorts = self._is_builtin_method(call) and getattr(call.func, "attr", "") == "sort"
            keyed = argument.arg == "key" and (_among(callee, _BY_KEY) or sorts)
            if keyed or (argument.arg == "default" and callee is json.dumps):
                return True
            return argument.arg == "key" and callee is itertools.groupby and at_once
        place = call.args.index(argument)  # type: ignore[arg-type]
        if _among(callee, _FIRST):
            return place == 0 and at_once
        if callee is functools.reduce or callee in (re.sub, re.subn):
            return True
        if callee is collections.defaultdict:
            return place == 0 and not self._reads_locals(call.args[0])
        if callee is itertools.groupby:
            return at_once
        if isinstance(callee, types.FunctionType) and is_users(callee):
            return _only_calls(callee, place)
        method = getattr(call.func, "attr", "")
        return method in ("sub", "subn") and self._kind(call) is re.Pattern

    def _is_builtin_method(self, call: ast.Call) -> bool:
        known_class = self._kind(call) in (str, bytes, *known.MUTATORS)
        return known_class and isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS

    def _kind(self, call: ast.Call) -> Any:
        return plain(self._types.of(call.func.value)) if isinstance(call.func, ast.Attribute) else None

    def _reads_locals(self, function: ast.expr) -> bool:
        own = set(parameters(function)) if isinstance(function, ast.Lambda) else set()
        return bool((set(loaded_names(function)) - own) & self._scope.shadowed)


@functools.lru_cache(maxsize=4096)
def _only_calls(fn: types.FunctionType, place: int) -> bool:
    """Whether a function does nothing with this positional argument but call it."""
    source = source_of(fn)
    if source is None or not isinstance(source.tree, ast.FunctionDef):
        return False
    tree = source.tree
    positional = [*tree.args.posonlyargs, *tree.args.args]
    if place >= len(positional) or hasattr(fn, "__wrapped__"):
        return False
    name = positional[place].arg
    called = {id(node.func) for node in _at_once(tree) if isinstance(node, ast.Call)}
    uses = [node for node in walk(tree) if isinstance(node, ast.Name) and node.id == name]
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in walk(tree))
    return not yields and all(id(node) in called for node in uses)


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the function runs, not later."""
    yield node
    for child in children(node):
        if not isinstance(child, (*NESTED_SCOPES, ast.GeneratorExp)):
            yield from _at_once(child)


def _among(value: Any, options: Any) -> bool:
    return any(value is each for each in options)
