"""Expressions that certainly evaluate: moving one before or after a call cannot be told.

What is not known to be certain may raise, so it must stand where Python has it.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin

from .infer import Types
from .kinds import Type, certainly, element, plain
from .records import has_value, is_record
from .scope import UNKNOWN

_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
"""Types whose values compare for equality, have a truth value and can be shown, whatever they are."""

_SIZED = (str, bytes, list, tuple, dict, set, frozenset, range)


class Certainty:
    """Says what certainly evaluates where it stands.

    Args:
        is_bound: whether a local name has a value there.
    """

    def __init__(self, types: Types, is_bound: Callable[[str], bool]) -> None:
        self._types = types
        self._is_bound = is_bound

    def of(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant():
                return True
            case ast.Name(name):
                scope = self._types.scope
                return self._is_bound(name) if name in scope.shadowed else scope.lookup(name) is not UNKNOWN
            case ast.JoinedStr(parts):
                return all(self._is_shown(each) for each in parts)
            case ast.Tuple(parts) | ast.List(parts):
                return all(map(self.of, parts))
            case ast.Dict(keys, values):
                return all(isinstance(each, ast.Constant) for each in keys) and all(map(self.of, values))
            case ast.Attribute(owner, name):
                kind = self._types.of(owner)
                kept = name not in self._types.scope.source.deleted
                return kept and is_record(kind) and has_value(kind, name) and self.of(owner)
            case ast.Compare():
                return self._compares(node)
            case ast.BoolOp(values=parts):
                return all(self.of(each) and self._has_truth(each) for each in parts)
            case ast.UnaryOp(ast.Not(), operand):
                return self.of(operand) and self._has_truth(operand)
            case ast.IfExp(test, then, otherwise):
                return self._has_truth(test) and all(map(self.of, (test, then, otherwise)))
            case ast.BinOp(left, ast.Add(), right):
                kinds = {self._types.of(left), self._types.of(right)}
                return (kinds == {str} or kinds == {int}) and self.of(left) and self.of(right)
            case ast.Call(function, [argument], []) if self._types.scope.resolve(function) in (len, str):
                fits = _SIZED if self._types.scope.resolve(function) is len else tuple(_PLAIN)
                return certainly(self._types.of(argument)) in fits and self.of(argument)
        return False

    def _is_shown(self, part: ast.expr) -> bool:
        if not isinstance(part, ast.FormattedValue):
            return isinstance(part, ast.Constant)
        return part.format_spec is None and _is_plain(self._types.of(part.value)) and self.of(part.value)

    def _has_truth(self, node: ast.expr) -> bool:
        kind = self._types.of(node)
        return _is_plain(kind) or plain(kind) in _SIZED

    def _compares(self, node: ast.Compare) -> bool:
        sides = [node.left, *node.comparators]
        kinds = [self._types.of(each) for each in sides]
        if not all(map(self.of, sides)):
            return False
        return all(_fits(op, *kinds[number : number + 2]) for number, op in enumerate(node.ops))


def _fits(op: ast.cmpop, left: Type, right: Type) -> bool:
    """Whether values of the two types can be compared that way."""
    if isinstance(op, ast.Is | ast.IsNot):
        return True
    if isinstance(op, ast.Eq | ast.NotEq):
        return _is_plain(left) and _is_plain(right)
    if isinstance(op, ast.In | ast.NotIn):
        if certainly(right) in (list, tuple, dict, set, frozenset):
            return _is_plain(left) and _is_plain(element(right))
        return left is str and right is str
    numbers = (int, float, bool)
    return (left is str and right is str) or (left in numbers and right in numbers)


def _is_plain(kind: Any) -> bool:
    if get_origin(kind) in (Union, types.UnionType):
        return all(_is_plain(each) for each in get_args(kind))
    try:
        return kind in _PLAIN
    except TypeError:
        return False
