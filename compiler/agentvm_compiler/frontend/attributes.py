"""Attributes behind which there is more than the object: properties, and what all instances of a class share.

Reading or assigning one may run code of the user's, which counts as a call of it; what is
found on the class is the module's, and no part of the object that a copy has of its own.
"""

from __future__ import annotations

import ast
import enum
import functools
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Effect

from .callees import subclasses
from .declared import annotations_of
from .kinds import is_immutable, members, plain
from .meanwhile import held_while_compiling, is_compiling
from .objects import Obj, mark_effect
from .records import ATOMS, has_fields, has_value
from .scope import UNKNOWN, Scope, member_of
from .source import is_users
from .summary import Summary, is_under_way, summarise

if TYPE_CHECKING:
    from .alias import Analysis


class Attributes:
    """The attributes that the function under analysis reads and assigns."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    def read(self, kind: Any, name: str, held: Obj | None, node: ast.AST) -> Obj | None:
        """Count what reading it does. Returns what of the module's it may give.

        Args:
            kind: the type of what it is read from.
            held: that.
        """
        analysis, given = self._analysis, None
        for cls in _classes(kind, name, analysis.scope):
            for function in _accessors(cls, name, "fget"):
                if plain(kind) is Any and is_under_way(function):
                    continue  # it is being looked into: what it does shows there
                summary = self._counted(function, node)
                if summary.keeps:
                    analysis.unknown([held, analysis.outside], node, effect=summary.effect)
                if summary.mutates:
                    analysis.mutate(held, node)
                if summary.returns_outside:
                    given = analysis.outside
            member = _shared(cls, name)
            if isinstance(member, functools.cached_property):
                if has_fields(cls) and not _is_computed_alike(member, cls):
                    analysis.computed = analysis.computed or (node, name)
            elif is_users(type(member)) and hasattr(type(member), "__get__"):
                analysis.unknown([held, analysis.outside], node)
            elif _is_value(member):
                mark_effect(node, Effect.READ)  # somebody may assign it
                given = given if isinstance(member, ATOMS) else analysis.outside
        return given

    def assigned(self, kind: Any, name: str, held: Obj | None, value: Obj | None, node: ast.AST) -> None:
        """Count what assigning it does, or deleting it, beyond changing the object."""
        for cls in _classes(kind, name, self._analysis.scope):
            for accessor in ("fset", "fdel"):
                for function in _accessors(cls, name, accessor):
                    summary = self._counted(function, node)
                    if summary.keeps or len(summary.mutates) > 1:
                        outside = self._analysis.outside if summary.keeps else None
                        self._analysis.unknown([held, value, outside], node, effect=summary.effect)

    def _counted(self, function: types.FunctionType, node: ast.AST) -> Summary:
        summary = summarise(function)
        mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
        self._analysis.calls |= summary.calls
        return summary


_computing: dict[int, dict[str, list[type]]] = held_while_compiling()
"""By the identity of a module's names, those of attributes that its classes compute."""


def _classes(kind: Any, name: str, scope: Scope) -> list[Any]:
    """The classes that something with the attribute may be of: if its type is unknown, any in the module."""
    classes = [plain(each) for each in members(kind)]
    if Any not in classes:
        return classes
    computing = _computing.get(id(scope.globals))
    if computing is None:
        computing = _names_computed(scope)
        if is_compiling():
            _computing[id(scope.globals)] = computing
    return [*classes, *computing.get(name, ())]


def _names_computed(scope: Scope) -> dict[str, list[type]]:
    found: dict[str, list[type]] = {}
    for cls in list(scope.globals.values()):
        if isinstance(cls, type) and is_users(cls):
            for name in _computed(cls):
                found.setdefault(name, []).append(cls)
    return found


def _computed(cls: type) -> Iterator[str]:
    """Names of what a class computes when it is read."""
    for name in dict.fromkeys(name for base in cls.__mro__ if is_users(base) for name in vars(base)):
        if isinstance(member_of(cls, name), property | functools.cached_property):
            yield name


def _accessors(cls: Any, name: str, accessor: str) -> Iterator[types.FunctionType]:
    """The user's own functions behind an attribute, in the class and those derived from it."""
    if not isinstance(cls, type) or not is_users(cls):
        return
    for each in (cls, *subclasses(cls)):
        match member_of(each, name):
            case property() | types.DynamicClassAttribute() as member:
                function = getattr(member, accessor)
            case functools.cached_property(func=function) if accessor == "fget":
                pass
            case _:
                continue
        if isinstance(function, types.FunctionType) and is_users(function):
            yield function


def _shared(cls: Any, name: str) -> Any:
    """What a class of the user's has under a name; UNKNOWN for what each instance has of its own."""
    if not isinstance(cls, type) or not is_users(cls) or (has_fields(cls) and has_value(cls, name)):
        return UNKNOWN
    return UNKNOWN if issubclass(cls, enum.Enum) and name in cls.__members__ else member_of(cls, name)


def _is_value(member: Any) -> bool:
    """Whether it is neither a method nor computed."""
    return member is not UNKNOWN and not callable(member) and not hasattr(type(member), "__get__")


def _is_computed_alike(computed: functools.cached_property[Any], cls: type) -> bool:
    """Whether nobody can tell if it is computed again: a copy has not what was computed."""
    if not isinstance(computed.func, types.FunctionType) or not is_immutable(cls):
        return False
    given = annotations_of(computed.func).get("return", Any)
    return is_immutable(given) and summarise(computed.func).effect is Effect.PURE
