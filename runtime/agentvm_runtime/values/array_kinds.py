"""Kinds of numpy's arrays and scalars, for programs that have imported numpy.

Nothing here imports numpy: a process without it can neither make such a value
nor read one back, and is told so.
"""

from __future__ import annotations

import sys
from typing import Any

from .kinds import Kind, family


def _numpy() -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray"):
        raise LookupError("the value holds a numpy array: import numpy before resuming")
    return numpy


def _is(name: str, cls: type, sub: bool = False) -> bool:
    numpy = sys.modules.get("numpy")
    base = getattr(numpy, name, None)
    return isinstance(base, type) and (issubclass(cls, base) if sub else cls is base)


def _refuse(value: Any) -> str | None:
    if value.dtype.kind == "T" or (value.dtype.hasobject and value.dtype.kind != "O"):
        return (
            f"a numpy value of dtype {value.dtype} cannot be stored; use an array of objects or plain fields"
        )
    return None


def _dtype(value: Any) -> Any:
    return _numpy().lib.format.dtype_to_descr(value.dtype)


def _array_head(array: Any) -> tuple[Any, ...]:
    raw = None if array.dtype.hasobject else array.tobytes()
    return _dtype(array), array.shape, raw, bool(array.flags.writeable)


def _make_array(_cls: type, head: tuple[Any, ...]) -> Any:
    numpy = _numpy()
    descr, shape, raw, writeable = head
    dtype = numpy.lib.format.descr_to_dtype(descr)
    if raw is None:
        return numpy.empty(shape, dtype=dtype)
    array = numpy.ndarray(shape, dtype, raw).copy()
    array.flags.writeable = writeable
    return array


def _array_body(array: Any) -> list[Any]:
    return list(array.flat) if array.dtype.hasobject else []


def _fill_array(array: Any, items: list[Any]) -> None:
    # Through a flat view: `array.flat[i] = [...]` would spread a list over elements.
    view = array.reshape(-1)
    for index, item in enumerate(items):
        view[index] = item


def _make_scalar(_cls: type, head: tuple[Any, ...]) -> Any:
    numpy = _numpy()
    descr, raw = head
    return numpy.ndarray((), numpy.lib.format.descr_to_dtype(descr), raw)[()]


family(
    lambda cls: _is("ndarray", cls),
    Kind(
        "ndarray",
        _array_head,
        _make_array,
        lambda cls: _is("ndarray", cls),
        _array_body,
        _fill_array,
        refuse=_refuse,
    ),
)
family(
    lambda cls: _is("generic", cls, sub=True),
    Kind(
        "numpy_scalar",
        lambda s: (_dtype(s), s.tobytes()),
        _make_scalar,
        lambda cls: _is("generic", cls, sub=True),
        refuse=_refuse,
        atomic=True,
    ),
)
