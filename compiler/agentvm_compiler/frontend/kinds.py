"""Types as the compiler sees them: `typing` forms and classes, `Any` for unknown.

What matters of a type is whether its values can change, what they hold, and
whether making one runs code of the user's.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import types
import typing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

Type = Any


class _Unseen:
    """The type of a name of which nothing has been seen yet: it does not count in a join."""


UNSEEN: Any = _Unseen()

ATOMS: tuple[type, ...] = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    type(None),
    range,
    enum.Enum,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    pathlib.PurePath,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    type,
)
"""Types whose instances cannot change."""


def is_immutable(kind: Type) -> bool:
    """Whether no value of the type can be mutated, nor anything reached from it."""
    origin: Any = get_origin(kind)
    if origin in (Union, types.UnionType):
        return all(is_immutable(each) for each in get_args(kind))
    if origin is Literal:
        return True
    if origin in (tuple, frozenset):
        arguments = [each for each in get_args(kind) if each is not Ellipsis]
        return bool(arguments) and all(is_immutable(each) for each in arguments)
    if origin is typing.Annotated:
        return is_immutable(get_args(kind)[0])
    if not isinstance(kind, type):
        return False
    return issubclass(kind, ATOMS) or _is_frozen(kind)  # type: ignore[arg-type]  # mypy on hashing a type


@functools.lru_cache(maxsize=4096)
def _is_frozen(cls: Any) -> bool:
    """Whether a class is a frozen dataclass of immutable fields, with no subclass that may be otherwise."""
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen or not is_record(cls) or cls.__subclasses__():
        return False
    fields = record_fields(cls)
    return all(is_immutable(fields.get(each.name, Any)) for each in dataclasses.fields(cls))


def plain(kind: Type) -> Type:
    """The class behind a type: `list[str]` -> `list`; Any if there is none."""
    origin: Any = get_origin(kind)
    if origin is typing.Annotated:
        return plain(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        classes = {plain(each) for each in get_args(kind)} - {type(None)}
        return classes.pop() if len(classes) == 1 else Any
    return origin or kind


def element(kind: Type) -> Type:
    """What iterating over a value of the type gives."""
    cls, arguments = plain(kind), get_args(kind)
    if kind is UNSEEN:
        return UNSEEN
    if cls is str:
        return str
    if cls is range:
        return int
    if cls is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    if cls is tuple and arguments:
        return join(arguments)
    if cls in (list, set, frozenset, Iterable, Sequence, dict, Mapping) and arguments:
        return arguments[0]
    return Any


def join(kinds: Iterable[Type]) -> Type:
    """A type that covers them all."""
    distinct: list[Type] = []
    given = list(kinds)
    for kind in given:
        if kind not in distinct and kind is not UNSEEN:
            distinct.append(kind)
    if given and not distinct:
        return UNSEEN
    if not distinct or Any in distinct:
        return Any
    if len(distinct) == 1:
        return distinct[0]
    if all(is_immutable(kind) for kind in distinct):
        return Union[tuple(distinct)]  # noqa: UP007 - built from a list
    return Any


def is_record(cls: Any) -> bool:
    """Whether the class is a dataclass or pydantic model without code of its own in construction."""
    return isinstance(cls, type) and _is_record(cls)


@functools.lru_cache(maxsize=4096)
def _is_record(cls: type) -> bool:
    own = [
        each for each in cls.__mro__ if each.__module__ not in ("builtins", "pydantic.main", "typing", "abc")
    ]
    if any(name in each.__dict__ for each in own for name in ("__new__", "__setattr__", "__post_init__")):
        return False
    if dataclasses.is_dataclass(cls):
        written = getattr(cls.__init__, "__code__", None)
        made = written is not None and not written.co_filename.endswith(".py")
        return made and all(_plain_factory(each.default_factory) for each in dataclasses.fields(cls))
    if not hasattr(cls, "__pydantic_fields__"):
        return False
    decorators: Any = cls.__pydantic_decorators__  # type: ignore[attr-defined]
    checks = [getattr(decorators, each.name) for each in dataclasses.fields(decorators)]
    fields = cls.__pydantic_fields__.values()
    return (
        not any(isinstance(each, dict) and each for each in checks)
        and not any(name in each.__dict__ for each in own for name in ("__init__", "model_post_init"))
        and all(_plain_factory(each.default_factory) for each in fields)
    )


def has_fields(cls: Any) -> bool:
    """Whether the class declares what its instances hold."""
    return isinstance(cls, type) and (dataclasses.is_dataclass(cls) or hasattr(cls, "__pydantic_fields__"))


def _plain_factory(factory: Any) -> bool:
    return factory in (None, dataclasses.MISSING, list, dict, set, tuple)


def record_fields(cls: type) -> Mapping[str, Type]:
    """Field types of a record; of its properties, none."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # a forward reference that cannot be resolved
        return {}
