"""Types as the compiler sees them: `typing` forms and classes, `Any` for unknown.

What matters of a type is whether its values can change, what they hold, and
whether making one runs code of the user's.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import types
import typing
from collections.abc import (
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Union, get_args, get_origin

from .records import ATOMS, is_named_tuple, is_record, record_fields

Type = Any

MAPPINGS: tuple[Any, ...] = (
    dict,
    collections.OrderedDict,
    collections.defaultdict,
    Mapping,
    MutableMapping,
)
"""Mappings whose arguments are the types of key and value."""

SERIES: tuple[Any, ...] = (
    list,
    set,
    frozenset,
    collections.deque,
    collections.Counter,
    Iterable,
    Iterator,
    Collection,
    Sequence,
    MutableSequence,
    AbstractSet,
    MutableSet,
    *MAPPINGS,
)
"""What gives values of its first argument's type when it is iterated over."""


class _Unseen:
    """The type of a name of which nothing has been seen yet: it does not count in a join."""


UNSEEN: Any = _Unseen()


def is_immutable(kind: Type) -> bool:
    """Whether no value of the type can be mutated, nor anything reached from it."""
    if isinstance(kind, type):
        return _is_atom(kind) or _is_frozen(kind)
    origin: Any = kind.__origin__ if type(kind) is types.GenericAlias else get_origin(kind)
    if origin in (Union, types.UnionType):
        return all(is_immutable(each) for each in get_args(kind))
    if origin is Literal:
        return True
    if origin in (tuple, frozenset):
        arguments = [each for each in get_args(kind) if each is not Ellipsis]
        return bool(arguments) and all(is_immutable(each) for each in arguments)
    if origin is typing.Annotated:
        return is_immutable(get_args(kind)[0])
    return False


@functools.lru_cache(maxsize=4096)
def _is_atom(cls: type) -> bool:
    return issubclass(cls, ATOMS)


@functools.lru_cache(maxsize=4096)
def _is_frozen(cls: Any) -> bool:
    """Whether a class is a frozen dataclass or named tuple of immutable fields, with no other subclass."""
    params = getattr(cls, "__dataclass_params__", None)
    frozen = _is_bare_tuple(cls) or (params is not None and params.frozen)
    if not frozen or not is_record(cls) or cls.__subclasses__() or cls in _under_way:
        return False  # of a type that holds itself nothing is said
    fields = record_fields(cls)
    names = cls._fields if is_named_tuple(cls) else [each.name for each in dataclasses.fields(cls)]
    _under_way.add(cls)
    try:
        return all(is_immutable(fields.get(each, Any)) for each in names)
    finally:
        _under_way.discard(cls)


_under_way: set[Any] = set()


def _is_bare_tuple(cls: Any) -> bool:
    """Whether the class is a named tuple itself: one derived from it has attributes of its own."""
    return is_named_tuple(cls) and cls.__bases__[0] is tuple


def unwrapped(kind: Type) -> Type:
    """The type without annotations, and without None if it is optional."""
    if isinstance(kind, type) or type(kind) is types.GenericAlias:
        return kind
    origin: Any = get_origin(kind)
    if origin is typing.Annotated:
        return unwrapped(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        some = [each for each in get_args(kind) if each is not type(None)]
        return unwrapped(some[0]) if len(some) == 1 else kind
    return kind


def members(kind: Type) -> tuple[Type, ...]:
    """The types that a union joins; of another type, itself."""
    if isinstance(kind, type) or type(kind) is types.GenericAlias:
        return (kind,)
    kind = unwrapped(kind)
    return get_args(kind) if _is_union(kind) else (kind,)


def _is_union(kind: Type) -> bool:
    origin: Any = get_origin(kind)
    return origin in (Union, types.UnionType)


def plain(kind: Type) -> Type:
    """The class behind a type: `list[str]` -> `list`; Any if there is none."""
    if isinstance(kind, type):
        return kind
    if type(kind) is types.GenericAlias:
        return kind.__origin__
    kind = unwrapped(kind)
    origin: Any = get_origin(kind)
    if _is_union(kind):
        classes = {plain(each) for each in get_args(kind)} - {type(None)}
        return classes.pop() if len(classes) == 1 else Any
    return origin or kind


def certainly(kind: Type) -> Type:
    """The class behind a type whose values are never None; Any if there is none."""
    return Any if type(None) in get_args(kind) and _is_union(kind) else plain(kind)


def parts(kind: Type) -> tuple[Type, ...]:
    """The arguments of a type: `dict[str, int] | None` -> `(str, int)`."""
    if isinstance(kind, type):
        return ()
    if type(kind) is types.GenericAlias:
        return kind.__args__
    kind = unwrapped(kind)
    return () if _is_union(kind) else get_args(kind)


def element(kind: Type) -> Type:
    """What iterating over a value of the type gives."""
    if kind is UNSEEN:
        return UNSEEN
    if len(members(kind)) > 1:
        return join(element(each) for each in members(kind) if each is not type(None))
    cls, arguments = plain(kind), parts(kind)
    if cls is str:
        return str
    if cls in (range, bytes):
        return int
    if cls is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    if cls is tuple and arguments:
        return join(arguments)
    if is_named_tuple(cls):
        fields = record_fields(cls)
        return join(fields.get(each, Any) for each in cls._fields) if cls._fields else Any
    if typing.is_typeddict(cls):
        return str
    if cls in SERIES and arguments:
        return arguments[0]
    return Any


def item(kind: Type) -> Type:
    """The type of a mapping's values."""
    if kind is UNSEEN:
        return UNSEEN
    cls, arguments = plain(kind), parts(kind)
    if cls in MAPPINGS and len(arguments) == 2:
        return arguments[1]
    return int if cls is collections.Counter and arguments else Any


def holding(cls: Any, *held: Type) -> Type:
    """The type with arguments: `holding(dict, str, int)` is `dict[str, int]`."""
    return cls[held]


def join(kinds: Iterable[Type]) -> Type:
    """A type that covers them all."""
    given = list(kinds)
    if len(given) == 1:
        return given[0]
    distinct: list[Type] = []
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
    some = [unwrapped(kind) for kind in distinct if kind is not type(None)]
    if len(some) < len(distinct) or some != distinct:
        rest = join(some)
        return rest if rest is Any else Union[rest, None]  # noqa: UP007 - rest may be a string of types
    return _alike(distinct)


def _alike(kinds: list[Type]) -> Type:
    """The join of types of one class: `list[int]` and `list[str]` -> `list[int | str]`."""
    classes, arguments = {plain(kind) for kind in kinds}, [parts(kind) for kind in kinds]
    cls = classes.pop()
    if classes or cls is Any or len({len(each) for each in arguments}) > 1 or Ellipsis in arguments[0]:
        return cls if not classes and cls in (*SERIES, tuple) else Any
    return cls[tuple(join(each) for each in zip(*arguments, strict=True))] if arguments[0] else cls
