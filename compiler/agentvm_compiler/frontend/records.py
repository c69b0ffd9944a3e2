"""Classes that only hold fields: dataclasses, pydantic models, named tuples, typed dictionaries.

A *record* is one whose making runs no code of the user's, so that nothing need be
known of it but what its fields hold.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from .source import is_users

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
    re.Pattern,
    re.Match,
    pathlib.PurePath,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    type,
)
"""Types whose instances cannot change."""

_OF_TYPES = ("typing", "types", "re")
"""Modules with classes of what types are made of."""
_FACTORIES = (None, list, dict, set, tuple)
_MAKERS = ("__new__", "__init__", "__setattr__", "__post_init__", "model_post_init")
_LIBRARIES = ("builtins", "pydantic.main", "typing", "abc")


def is_record(cls: Any) -> bool:
    """Whether the class is a dataclass, model or named tuple without code of its own in construction."""
    return isinstance(cls, type) and _is_record(cls)


@functools.lru_cache(maxsize=4096)
def _is_record(cls: type) -> bool:
    if is_named_tuple(cls):
        return not any(_has_own(each, "__new__", "__init__") for each in cls.__mro__[:-2])
    own = [each for each in cls.__mro__ if each.__module__ not in _LIBRARIES]
    if any(_has_own(each, "__new__", "__setattr__", "__post_init__") for each in own):
        return False
    if dataclasses.is_dataclass(cls):
        return is_generated(cls.__init__) and all(
            _plain_factory(each.default_factory) and _plain_default(each.default)
            for each in dataclasses.fields(cls)
        )
    if not is_model(cls):
        return False
    return not any(_has_own(each, "__init__", "model_post_init") for each in own) and _runs_no_code(cls)


def _has_own(cls: type, *names: str) -> bool:
    """Whether the class body defines one of the methods; what is generated for it does not count."""
    return any(name in vars(cls) and not is_generated(vars(cls)[name]) for name in names)


def is_generated(function: Any) -> bool:
    """Whether a function has no source file, as the methods of dataclasses and named tuples."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and not code.co_filename.endswith(".py")


def is_model(cls: Any) -> bool:
    """Whether the class is a pydantic model."""
    return isinstance(cls, type) and hasattr(cls, "__pydantic_fields__")


def is_named_tuple(cls: Any) -> bool:
    return (
        isinstance(cls, type) and issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)
    )


def has_fields(cls: Any) -> bool:
    """Whether the class declares what its instances hold."""
    return isinstance(cls, type) and (dataclasses.is_dataclass(cls) or is_model(cls) or is_named_tuple(cls))


def record_fields(cls: type) -> Mapping[str, Any]:
    """Field types of a record; of its properties, none."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # a forward reference that cannot be resolved
        return {}


def has_value(cls: type, name: str) -> bool:
    """Whether each instance of a record certainly has a value for the field, unless that was deleted."""
    if dataclasses.is_dataclass(cls):
        found = [each for each in dataclasses.fields(cls) if each.name == name]
        missing = dataclasses.MISSING
        return any(
            each.init or each.default is not missing or each.default_factory is not missing for each in found
        )
    return name in getattr(cls, "_fields" if is_named_tuple(cls) else "__pydantic_fields__", ())


def is_constant(value: Any) -> bool:
    """Whether an object cannot change, nor what it holds."""
    if isinstance(value, tuple | frozenset):
        return all(map(is_constant, value))
    cls = type(value)
    if isinstance(value, ATOMS) or (cls.__module__ in _OF_TYPES and cls is not types.SimpleNamespace):
        return True
    frozen = getattr(cls, "__dataclass_params__", None)
    return (
        frozen is not None
        and frozen.frozen
        and is_record(cls)
        and all(map(is_constant, vars(value).values()))
    )


def _plain_factory(factory: Any) -> bool:
    return factory is dataclasses.MISSING or any(factory is each for each in _FACTORIES)


def _plain_default(value: Any) -> bool:
    """Whether instances that share the default cannot tell."""
    return value is dataclasses.MISSING or is_constant(value)


@functools.lru_cache(maxsize=4096)
def _runs_no_code(cls: type) -> bool:
    """Whether validating and dumping a model is all pydantic's own work, nested models included.

    What pydantic runs is in the model's core schema. A default that has a hash is
    shared by all instances, others are copied.
    """
    if not getattr(cls, "__pydantic_complete__", False):
        return False
    return all(map(_is_plain_part, _parts(getattr(cls, "__pydantic_core_schema__", {}))))


def _parts(schema: Any) -> Iterator[Mapping[Any, Any]]:
    """The dictionaries of a core schema."""
    if isinstance(schema, dict):
        yield schema
        for key, each in schema.items():
            of_a_field = isinstance(each, dict) and "type" in each  # which may have any name
            if key not in ("metadata", "default") or of_a_field:
                yield from _parts(each)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from _parts(each)


def _is_plain_part(part: Mapping[Any, Any]) -> bool:
    if part.get("custom_init") or part.get("post_init") or part.get("computed_fields"):
        return False
    if not _plain_factory(part.get("default_factory")):
        return False
    default = part.get("default")
    if not _plain_default(default) and not isinstance(default, list | dict | set):
        return False
    return all(_is_plain_callable(each) for key, each in part.items() if key != "default" and callable(each))


def _is_plain_callable(called: Any) -> bool:
    """Whether validation may call or make an instance of this without running code of the user's."""
    if not isinstance(called, type):
        return _is_pydantics(called)
    if issubclass(called, enum.Enum):  # its members are made already
        return True
    own = [each for each in called.__mro__ if is_users(each)]
    return not any(_has_own(each, *_MAKERS) for each in own)


def _is_pydantics(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] in ("pydantic", "pydantic_core") and isinstance(
        function, types.FunctionType | types.BuiltinFunctionType
    )
