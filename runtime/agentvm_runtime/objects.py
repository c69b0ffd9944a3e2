"""Objects that are attributes and nothing else: dataclasses and pydantic models whose code does not run."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

from .certain import FACTORIES, Unfit
from .values.instance_kinds import slots_of
from .values.kinds import kind_of


def is_record(cls: Any) -> bool:
    """Whether instances are attributes only, which are had and kept without code of the class."""
    return _is_record(cls)


@functools.lru_cache(maxsize=1024)
def _is_record(cls: Any) -> bool:
    kind = kind_of(cls)
    return (
        kind is not None
        and kind.name in ("dataclass", "model")
        and cls.__getattribute__ is object.__getattribute__
    )


@functools.lru_cache(maxsize=4096)
def _is_attribute(cls: Any, name: str) -> bool:
    """Whether instances have the attribute by themselves, if they have it: no property stands before it."""
    found = inspect.getattr_static(cls, name, None)
    return isinstance(found, types.MemberDescriptorType) or not hasattr(type(found), "__set__")


def attribute(value: Any, name: str) -> Any:
    """`value.name`, of an object, a member of an enumeration or something in a module."""
    cls: Any = type(value)
    if is_record(cls) and _is_attribute(cls, name):
        if name in getattr(value, "__dict__", ()) or name in slots_of(cls):
            return getattr(value, name)
    elif kind_name(cls) == "namedtuple" and name in cls._fields:
        return value[cls._fields.index(name)]
    elif cls is types.ModuleType:
        return vars(value)[name]
    elif isinstance(value, enum.EnumType) and name in value.__members__:
        return value.__members__[name]
    raise Unfit


def kind_name(cls: type) -> str:
    kind = kind_of(cls)
    return "" if kind is None else kind.name


def set_attribute(value: Any, name: str, new: Any) -> tuple[Any, Callable[[Any], Any]]:
    """`value.name = new`, and what takes it back."""
    before = attribute(value, name)
    counted = _counted(value, name)
    setattr(value, name, new)

    def undo(newer: Any) -> Any:
        object.__setattr__(newer, name, before)
        if counted is False:
            newer.__pydantic_fields_set__.discard(name)
        return newer

    return None, undo


def kept_again(value: Any, name: str) -> None:
    """Raises Unfit unless nothing happens where an attribute is set to what it is."""
    if _counted(value, name) is False:
        raise Unfit


def _counted(value: Any, name: str) -> bool | None:
    """Whether a model counts the attribute as set; None if it is no model.

    Raises:
        Unfit: more is done when it is set.
    """
    cls: Any = type(value)
    if not is_record(cls):
        raise Unfit
    if cls.__setattr__ is object.__setattr__:
        return None
    model: Any = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    fields = getattr(cls, "__pydantic_fields__", {})
    if model is None or cls.__setattr__ is not model.__setattr__ or name not in fields:
        raise Unfit
    if cls.model_config.get("validate_assignment") or cls.model_config.get("frozen") or fields[name].frozen:
        raise Unfit
    return name in value.__pydantic_fields_set__


@functools.lru_cache(maxsize=1024)
def is_made_plainly(cls: Any) -> bool:
    """Whether making an instance only keeps what is given: a dataclass without code of its own."""
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and is_record(cls)):
        return False
    init = getattr(cls.__init__, "__code__", None)
    fields = dataclasses.fields(cls)
    own = cls.__setattr__ is object.__setattr__ or cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return (
        type(cls) is type
        and own
        and init is not None
        and init.co_filename == "<string>"  # as the decorator writes it
        and cls.__new__ is object.__new__
        and not hasattr(cls, "__post_init__")
        and all(_is_attribute(cls, each.name) for each in fields)
        and all(
            each.default_factory is dataclasses.MISSING or _is_factory(each.default_factory)
            for each in fields
        )
    )


def _is_factory(made_by: Any) -> bool:
    return isinstance(made_by, type) and made_by in FACTORIES
