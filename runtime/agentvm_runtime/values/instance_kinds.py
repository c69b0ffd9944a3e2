"""Kinds of the user's own classes: dataclasses and exceptions.

Instances are made by `object.__new__` (or the builtin exception's) and get the
attributes that were recorded. No `__init__`, `__post_init__`, validator,
property or `__setattr__` runs. In a body, a key that starts with `#` is not an
attribute of the instance's own but one its builtin or library base keeps.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any

from .kinds import Kind, family

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: written in Python, not C
_HIDDEN = frozenset(
    {"args", "__dict__", "__weakref__", "__traceback__", "__context__", "__cause__", "__suppress_context__"}
)


def _class_of(obj: object) -> type:
    return type(obj)


@functools.lru_cache(1024)
def slots_of(cls: type) -> dict[str, Any]:
    """The slots of a class and its bases, by attribute name."""
    return {
        name: member
        for base in reversed(cls.__mro__)
        if base.__flags__ & _HEAP_TYPE
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType) and name not in _HIDDEN
    }


def is_cached(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), functools.cached_property)


def state_of(obj: Any) -> dict[str, Any]:
    """All attributes an instance carries, but for cached properties (they can be computed again)."""
    cls: type = type(obj)
    state = {}
    for name, slot in slots_of(cls).items():
        try:
            state[name] = slot.__get__(obj, cls)
        except AttributeError:
            continue
    members = getattr(obj, "__dict__", None)
    if members:
        state.update({k: v for k, v in members.items() if not is_cached(cls, k)})
    return state


def set_state(obj: Any, state: dict[str, Any]) -> None:
    """Give an instance its attributes without running any code of its class."""
    slots = slots_of(_class_of(obj))
    members = getattr(obj, "__dict__", None)
    for name, value in state.items():
        if name in slots:
            slots[name].__set__(obj, value)
        elif members is not None:
            members[name] = value
        else:
            raise LookupError(
                f"{_called(type(obj))} has no attribute {name!r} any more: put it back to resume"
            )


def _called(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_plain(cls: type) -> bool:
    """Whether instances are nothing but attributes: no builtin type's content beneath."""
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in cls.__mro__)


def _is_dataclass(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and _is_plain(cls)


def _dataclass_body(obj: Any) -> dict[str, Any]:
    state = state_of(obj)
    if not all(map(state.__contains__, obj.__dataclass_fields__)):  # which has class variables, too
        deleted = [each.name for each in dataclasses.fields(obj) if each.name not in state]
        if deleted:  # or it had not been given a value yet
            state["#without"] = deleted
    return state


def _fill_dataclass(obj: Any, body: dict[str, Any]) -> None:
    state = dict(body)
    without = state.pop("#without", ())
    set_state(obj, state)
    for field in dataclasses.fields(obj):
        if field.name in state or field.name in without:
            continue
        if field.default is not dataclasses.MISSING:
            set_state(obj, {field.name: field.default})
        elif field.default_factory in (list, dict, set):
            set_state(obj, {field.name: field.default_factory()})
        elif field.init and field.default_factory is dataclasses.MISSING:
            raise LookupError(
                f"{_called(type(obj))} has gained the field {field.name!r} since the value was recorded: "
                f"give it a default to resume"
            )


def _is_exception(cls: type) -> bool:
    if not issubclass(cls, BaseException):
        return False
    try:
        _make_exception(cls, ())
    except TypeError:  # made in C or Rust, by its own constructor only
        return False
    return True


def _is_group(cls: type) -> bool:
    return issubclass(cls, BaseExceptionGroup)


def _builtin_base(cls: type) -> type:
    return next(base for base in cls.__mro__ if not base.__flags__ & _HEAP_TYPE)


@functools.lru_cache(1024)
def _c_members(cls: type) -> dict[str, Any]:
    """Attributes builtin exceptions keep outside `__dict__`: `errno`, `value`, `code`, `start`, ..."""
    return {
        name: member
        for base in cls.__mro__
        if issubclass(base, BaseException) and not base.__flags__ & _HEAP_TYPE
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType) and name not in _HIDDEN
        # `AttributeError.obj` is only for the interpreter's hints, and often cannot be stored.
        if not (base is AttributeError and name == "obj")
        if not (_is_group(cls) and name in ("message", "exceptions"))
    }


def _exception_body(error: Any) -> dict[str, Any]:
    cls: type = type(error)
    body = {
        "#args": error.args,
        "#__cause__": error.__cause__,
        "#suppress": error.__suppress_context__,
        **state_of(error),
    }
    for name, member in _c_members(cls).items():
        try:
            value = member.__get__(error, cls)
        except (AttributeError, TypeError):
            continue
        if value is not None:
            body["#" + name] = value
    return body


def _fill_exception(error: Any, body: dict[str, Any]) -> None:
    # Past the class' own __setattr__: a frozen dataclass may be an exception.
    BaseException.__setattr__(error, "__cause__", body["#__cause__"])
    BaseException.__setattr__(error, "__suppress_context__", bool(body["#suppress"]))
    BaseException.args.__set__(error, tuple(body["#args"]))  # type: ignore[attr-defined]
    members = _c_members(_class_of(error))
    state = {}
    for name, value in body.items():
        if not name.startswith("#"):
            state[name] = value
        elif name[1:] in members:
            members[name[1:]].__set__(error, value)
    set_state(error, state)


def _make_exception(cls: type, _head: tuple[Any, ...]) -> Any:
    base: Any = _builtin_base(cls)
    return base.__new__(cls)


def _make_group(cls: type, head: tuple[Any, ...]) -> Any:
    message, errors = head
    return BaseExceptionGroup.__new__(cls, message, list(errors))


def instances(name: str, fits: Any, body: Any, fill: Any, **more: Any) -> None:
    """Register a kind of instances that are made empty and then given their attributes."""
    defaults: dict[str, Any] = {
        "head": lambda _: (),
        "make": lambda cls, _: object.__new__(cls),
        "named": True,
        "keyed": True,
        "attributes": True,
    }
    family(fits, Kind(name=name, fits=fits, body=body, fill=fill, **(defaults | more)))


instances("dataclass", _is_dataclass, _dataclass_body, _fill_dataclass)
instances(
    "group",
    _is_group,
    _exception_body,
    _fill_exception,
    head=lambda g: (g.message, tuple(g.exceptions)),
    make=_make_group,
)
instances("exception", _is_exception, _exception_body, _fill_exception, make=_make_exception)
