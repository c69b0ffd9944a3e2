"""Decoding: bytes back to the value, trusting nothing in them.

A checksum catches damage. Classes and functions are only found among imported
modules and must be of the kind recorded; nothing is imported and nothing the
bytes name is called. Anything odd is a `StoreError`.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable
from typing import Any

from agentvm_runtime.errors import StoreError

from . import names
from .kinds import BY_NAME
from .writer import FORMAT

_double = struct.Struct(">d").unpack_from
_LARGE = 1024
"""Bytes. More are not copied to be checked."""


class Reader:
    """A position in the bytes, and what has been numbered so far."""

    __slots__ = ("at", "data", "end", "numbered")

    def __init__(self, data: bytes) -> None:
        """`data` ends with a checksum, which is not part of the value."""
        self.data = data
        self.end = len(data) - 4
        self.at = 1
        self.numbered: list[Any] = []

    def read(self) -> Any:
        at = self.at
        self.at = at + 1
        return _READERS[self.data[at]](self)

    def size(self) -> int:
        at = self.at
        n = self.data[at]
        if n < 254:
            self.at = at + 1
            return n
        width = 4 if n == 254 else 8
        self.at = at + 1 + width
        return int.from_bytes(self.data[at + 1 : at + 1 + width], "big")

    def raw(self) -> bytes:
        n = self.size()
        at = self.at
        self.at = end = at + n
        if end > self.end:
            raise ValueError("it ends too early")
        return self.data[at:end]

    def items(self) -> list[Any]:
        data, readers = self.data, _READERS
        values = []
        for _ in range(self.size()):
            at = self.at
            self.at = at + 1
            values.append(readers[data[at]](self))
        return values


def _int(r: Reader) -> int:
    return int.from_bytes(r.raw(), "big", signed=True)


def _float(r: Reader) -> float:
    at = r.at
    r.at = at + 8
    value: float = _double(r.data, at)[0]
    return value


def _str(r: Reader) -> str:
    return r.raw().decode("utf-8", "surrogatepass")


def _bytearray(r: Reader) -> bytearray:
    value = bytearray(r.raw())
    r.numbered.append(value)
    return value


def _list(r: Reader) -> list[Any]:
    value: list[Any] = []
    r.numbered.append(value)
    value += r.items()
    return value


def _dict(r: Reader) -> dict[Any, Any]:
    value: dict[Any, Any] = {}
    r.numbered.append(value)
    read = r.read
    for _ in range(r.size()):
        key = read()
        value[key] = read()
    return value


def _tuple(r: Reader) -> tuple[Any, ...]:
    value = tuple(r.items())
    if value:
        r.numbered.append(value)
    return value


def _set(r: Reader) -> set[Any]:
    value: set[Any] = set()
    r.numbered.append(value)
    value.update(r.items())
    return value


def _frozenset(r: Reader) -> frozenset[Any]:
    value = frozenset(r.items())
    r.numbered.append(value)
    return value


def _back(r: Reader) -> Any:
    return r.numbered[r.size()]


def _class(r: Reader) -> type:
    found = names.find(r.read(), r.read())
    if not isinstance(found, type):
        raise ValueError(f"{found!r} is not a class")
    r.numbered.append(found)
    return found


def _function(r: Reader) -> Any:
    found = names.find(r.read(), r.read())
    if isinstance(found, type) or not callable(found):
        raise ValueError(f"{found!r} is not a function")
    r.numbered.append(found)
    return found


def _generic(r: Reader) -> Any:
    origin, args = r.read(), r.read()
    if not isinstance(origin, type) or not getattr(origin, "__pydantic_generic_metadata__", None):
        raise ValueError(f"{origin!r} is not a generic model")
    found = origin[args]  # type: ignore[index]
    r.numbered.append(found)
    return found


def _kind(r: Reader) -> Any:
    name = r.raw().decode()
    kind = BY_NAME.get(name)
    if kind is None:
        raise LookupError(f"it holds a {name!r}, which this version does not know: use a newer AgentVM")
    cls = r.read() if kind.named else object
    if kind.named and not (isinstance(cls, type) and kind.fits(cls)):
        what = f"{cls.__module__}.{cls.__qualname__}" if isinstance(cls, type) else repr(cls)
        raise LookupError(f"{what} is not a {name} any more, as it was when recorded: restore it to resume")
    value = kind.make(cls, tuple(r.items()))
    if not kind.atomic:
        r.numbered.append(value)
    if kind.fill is not None:
        # Bodies are written as dicts or lists, without a number of their own.
        kind.fill(value, _pairs(r) if kind.keyed else r.items())
    return value


def _pairs(r: Reader) -> dict[Any, Any]:
    read = r.read
    return {read(): read() for _ in range(r.size())}


def _unknown(r: Reader) -> Any:
    raise ValueError(f"tag {r.data[r.at - 1]:#x} means nothing")


_READERS: list[Callable[[Reader], Any]] = [_unknown] * 256
for _tag, _read in {
    "N": lambda _: None,
    "T": lambda _: True,
    "F": lambda _: False,
    "i": _int,
    "f": _float,
    "s": _str,
    "b": Reader.raw,
    "B": _bytearray,
    "l": _list,
    "d": _dict,
    "t": _tuple,
    "S": _set,
    "Z": _frozenset,
    "r": _back,
    "c": _class,
    "y": _function,
    "g": _generic,
    "o": _kind,
}.items():
    _READERS[ord(_tag)] = _read


def _decode(data: bytes) -> Any:
    reader = Reader(data)
    value = reader.read()
    if reader.at != reader.end:
        raise ValueError("it does not end where it should")
    return value


def _with_fresh_stack(data: bytes) -> Any:
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.extend((_decode(data), None))
        except BaseException as error:
            outcome.extend((None, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


_FLAT: dict[int, Callable[[bytes], Any]] = {
    ord("i"): lambda raw: int.from_bytes(raw, "big", signed=True),
    ord("s"): lambda raw: raw.decode("utf-8", "surrogatepass"),
}
"""How what has no parts is made of its bytes, if they are so few that their number takes one byte."""


def _body(data: bytes) -> bytes | memoryview:
    return data[:-4] if len(data) < _LARGE else memoryview(data)[:-4]


def decode(data: bytes) -> Any:
    """The value that was encoded.

    Raises:
        StoreError: the bytes are damaged, of a newer format, or name a class or
            function that is not imported or not what it was; the message has the remedy.
    """
    if len(data) < 6 or zlib.crc32(_body(data)) != int.from_bytes(data[-4:], "big"):
        raise StoreError("a recorded value is damaged: its checksum does not match")
    if data[0] != FORMAT:
        raise StoreError(
            f"a recorded value has format {data[0]}, this AgentVM reads {FORMAT}: use a newer AgentVM"
        )
    flat = _FLAT.get(data[1])
    try:
        if flat is not None and len(data) == data[2] + 7 < _LARGE:
            return flat(data[3:-4])
        try:
            return _decode(data)
        except RecursionError:
            # What could be written from a shallow stack must be readable from a deep one.
            return _with_fresh_stack(data)
    except LookupError as error:
        if isinstance(error, KeyError | IndexError):
            raise StoreError(f"a recorded value is damaged: {error!r}") from None
        raise StoreError(f"a recorded value cannot be read: {error}") from None
    except Exception as error:
        raise StoreError(f"a recorded value is damaged: {type(error).__name__}: {error}") from error
