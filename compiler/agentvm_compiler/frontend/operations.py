"""The types that operations on values of known types give."""

from __future__ import annotations

import ast
import datetime
import decimal
import enum
import pathlib
from typing import Any

from .kinds import Type, element, holding, join, members, parts, plain
from .library import NUMBERS
from .records import is_named_tuple, record_fields
from .scope import member_of
from .source import is_users


def combined(op: ast.operator, left: Type, right: Type) -> Type:
    """The type of a binary operation."""
    if all(each in NUMBERS for each in (*members(left), *members(right))):
        return float if isinstance(op, ast.Div) or float in (*members(left), *members(right)) else int
    one, other = plain(left), plain(right)
    if isinstance(op, ast.Mod) and one in (str, bytes):
        return one
    if isinstance(op, ast.Add) and one is other and one in (list, tuple, str, bytes):
        if one in (str, bytes):
            return one
        both = join((element(left), element(right)))
        return holding(list, both) if one is list else holding(tuple, both, ...)
    if isinstance(op, ast.Mult) and other in (int, bool) and one in (list, tuple, str, bytes):
        return left if one is not tuple else holding(tuple, element(left), ...)
    if isinstance(op, ast.Mult) and one in (int, bool) and other is str:
        return str
    if (
        isinstance(op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor)
        and one is other
        and one in (set, frozenset)
    ):
        return join((left, right))
    if isinstance(op, ast.BitOr) and one is other is dict:
        return join((left, right))
    if isinstance(op, ast.Div) and isinstance(one, type) and issubclass(one, pathlib.PurePath):
        return left
    if {one, other} <= {decimal.Decimal, int} and not isinstance(op, ast.Pow):
        return decimal.Decimal
    if isinstance(op, ast.Sub) and one is other is datetime.datetime:
        return datetime.timedelta
    moved = (datetime.datetime, datetime.date, datetime.timedelta)
    return left if isinstance(op, ast.Add | ast.Sub) and one in moved and other is datetime.timedelta else Any


def elements(kind: Type) -> tuple[Type, ...]:
    """The types of the elements of a tuple of known length; else nothing."""
    cls, arguments = plain(kind), parts(kind)
    if is_named_tuple(cls):
        fields = record_fields(cls)
        return tuple(fields.get(name, Any) for name in cls._fields)
    return arguments if cls is tuple and Ellipsis not in arguments else ()


def is_fixed(kind: Type) -> bool:
    return plain(kind) is tuple and Ellipsis not in parts(kind)


def sliced(kind: Type) -> Type:
    return holding(tuple, element(kind), ...) if plain(kind) is tuple else Any


def constant(index: ast.expr) -> Any:
    match index:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
            return -value
    return None


def of_enum(cls: type[enum.Enum], name: str) -> Type:
    if is_users(getattr(member_of(cls, name), "fget", None)):
        return Any
    values = [each.value for each in cls]
    return str if name == "name" else join(map(type_of, values)) if name == "value" and values else Any


def type_of(value: Any) -> Type:
    """The type of an object that is known now; of what may change, only its class."""
    if type(value) is tuple:
        return holding(tuple, *tuple(map(type_of, value)))
    if type(value) is frozenset and value:
        return holding(frozenset, join(map(type_of, value)))
    return type(value)
