"""Kinds of the standard library's own value types."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import pathlib
import types
import uuid
import zoneinfo
from typing import Any

from agentvm_runtime.secret import Secret

from .kinds import Kind, exact, family

_FACTORIES = (list, dict, set, int, str, float, bool, tuple, bytes, bytearray, frozenset, complex)


def _datetime(*parts: Any) -> dt.datetime:
    year, month, day, hour, minute, second, micro, fold, tz = parts
    return dt.datetime(year, month, day, hour, minute, second, micro, tz, fold=fold)


def _time(*parts: Any) -> dt.time:
    hour, minute, second, micro, fold, tz = parts
    return dt.time(hour, minute, second, micro, tz, fold=fold)


def _timezone(offset: dt.timedelta, name: str | None) -> dt.timezone:
    return dt.timezone(offset) if name is None else dt.timezone(offset, name)


def _zone(key: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(key)
    except zoneinfo.ZoneInfoNotFoundError:
        raise LookupError(f"time zone {key} is unknown here: pip install tzdata") from None


def _timezone_head(z: dt.timezone) -> tuple[Any, ...]:
    args: tuple[Any, ...] = z.__getinitargs__()  # type: ignore[attr-defined]
    return args[0], args[1] if len(args) > 1 else None


def _register_scalars() -> None:
    def one(cls: type, name: str, head: Any, make: Any, **more: Any) -> None:
        exact(cls, name, head, make, atomic=True, **more)

    one(complex, "complex", lambda c: (c.real, c.imag), complex)
    one(
        dt.datetime,
        "datetime",
        lambda d: (d.year, d.month, d.day, d.hour, d.minute, d.second, d.microsecond, d.fold, d.tzinfo),
        _datetime,
    )
    one(dt.date, "date", lambda d: (d.year, d.month, d.day), dt.date)
    one(dt.time, "time", lambda t: (t.hour, t.minute, t.second, t.microsecond, t.fold, t.tzinfo), _time)
    one(dt.timedelta, "timedelta", lambda d: (d.days, d.seconds, d.microseconds), dt.timedelta)
    one(dt.timezone, "timezone", _timezone_head, _timezone)
    one(
        zoneinfo.ZoneInfo,
        "zoneinfo",
        lambda z: (z.key,),
        _zone,
        refuse=lambda z: (
            None if z.key else "a ZoneInfo without a key cannot be stored; use ZoneInfo('Area/City')"
        ),
    )
    one(decimal.Decimal, "decimal", lambda d: (str(d),), decimal.Decimal)
    one(fractions.Fraction, "fraction", lambda f: (f.numerator, f.denominator), fractions.Fraction)
    one(uuid.UUID, "uuid", lambda u: (u.bytes,), lambda raw: uuid.UUID(bytes=raw))
    one(range, "range", lambda r: (r.start, r.stop, r.step), range)
    one(type(...), "ellipsis", lambda _: (), lambda: ...)
    one(type(NotImplemented), "notimplemented", lambda _: (), lambda: NotImplemented)
    for cls, name in (
        (pathlib.PurePosixPath, "pure_posix_path"),
        (pathlib.PureWindowsPath, "pure_windows_path"),
    ):
        one(cls, name, lambda p: (str(p),), cls)
    # A path is recorded as a path, not as this system's class of paths: a run may move between systems.
    exact(type(pathlib.Path()), "path", lambda p: (str(p),), pathlib.Path, atomic=True)


def _register_containers() -> None:
    exact(
        types.GenericAlias,
        "generic_alias",
        lambda a: (a.__origin__, a.__args__),
        types.GenericAlias,
        atomic=True,
    )
    exact(slice, "slice", lambda s: (s.start, s.stop, s.step), slice)
    exact(
        collections.deque,
        "deque",
        lambda d: (d.maxlen,),
        lambda maxlen: collections.deque(maxlen=maxlen),
        body=list,
        fill=lambda d, items: d.extend(items),
    )
    exact(
        collections.OrderedDict,
        "ordereddict",
        lambda _: (),
        collections.OrderedDict,
        body=dict,
        keyed=True,
        fill=lambda d, items: d.update(items),
        ordered=True,
    )
    # Counter.update would add counts and call nothing good on cycles: fill it as a plain dict.
    exact(
        collections.Counter,
        "counter",
        lambda _: (),
        collections.Counter,
        body=dict,
        keyed=True,
        fill=dict.update,
    )
    exact(
        collections.defaultdict,
        "defaultdict",
        lambda d: (d.default_factory.__name__ if d.default_factory else None,),
        lambda name: collections.defaultdict({f.__name__: f for f in _FACTORIES}[name] if name else None),
        body=dict,
        keyed=True,
        fill=dict.update,
        refuse=lambda d: (
            None
            if d.default_factory is None or d.default_factory in _FACTORIES
            else "a defaultdict whose factory is not a builtin type cannot be stored; make it a dict"
        ),
    )
    exact(
        types.SimpleNamespace,
        "namespace",
        lambda _: (),
        types.SimpleNamespace,
        body=vars,
        keyed=True,
        fill=lambda n, items: n.__dict__.update(items),
        attributes=True,
    )


def _make_enum(cls: Any, parts: tuple[Any, ...]) -> Any:
    (name,) = parts
    if issubclass(cls, enum.Flag) and isinstance(name, int):
        return cls(name)
    try:
        return cls.__members__[name]
    except KeyError:
        raise LookupError(
            f"{cls.__module__}.{cls.__qualname__} has no member {name!r} any more: "
            f"put it back (an alias will do) before resuming"
        ) from None


def _enum_head(member: Any) -> tuple[Any, ...]:
    # A combination of flags may have no name of its own, or one made up from its parts.
    if isinstance(member, enum.Flag) and type(member).__members__.get(member.name or "") is not member:
        return (member.value,)
    return (member.name,)


def _is_enum(cls: type) -> bool:
    return issubclass(cls, enum.Enum)


def _is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _register_families() -> None:
    family(_is_enum, Kind("enum", _enum_head, _make_enum, _is_enum, named=True, atomic=True))
    family(
        _is_namedtuple,
        Kind(
            "namedtuple",
            tuple,
            lambda cls, items: tuple.__new__(cls, items),
            _is_namedtuple,
            named=True,
            refuse=lambda t: (
                "a named tuple with attributes of its own cannot be stored; make its class a dataclass"
                if getattr(t, "__dict__", None)
                else None
            ),
        ),
    )


# By its name only: see `agentvm_runtime.secret`.
exact(Secret, "secret", lambda secret: (secret.name,), lambda name: Secret(name=name), atomic=True)
_register_scalars()
_register_containers()
_register_families()
