"""Encoding: a value to bytes that say what they hold.

One byte for the format, the value as a tagged tree, four bytes of checksum.
Whatever can be shared or take part in a cycle gets a number when it is first
written; later occurrences are that number. Equal values, alike in what they
share, give equal bytes; the order of a dict's items is kept and is part of them.
"""

from __future__ import annotations

import struct
import types
import zlib
from collections.abc import Callable
from typing import Any

from agentvm_runtime.errors import UnstorableValue
from agentvm_runtime.secret import HELD, found_in

from . import names
from .kinds import Kind, kind_of
from .refusal import Refused, explain, label

FORMAT = 1
_LARGE = 1 << 20
_double = struct.Struct(">d").pack
_short = [bytes([n]) for n in range(254)]


def size(n: int) -> bytes:
    """A length or number: one byte up to 253, else 254 and four or 255 and eight."""
    if n < 254:
        return _short[n]
    return b"\xfe" + n.to_bytes(4, "big") if n < 1 << 32 else b"\xff" + n.to_bytes(8, "big")


class Writer:
    """The bytes so far, and the number of every object already written."""

    __slots__ = ("buffer", "kept", "numbers", "parts")

    def __init__(self) -> None:
        self.buffer = bytearray((FORMAT,))
        self.parts: list[bytes | bytearray] = []
        """What comes before the buffer. Large bytes stand here by themselves: they are copied once."""
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []
        """Keeps what has a number alive, so that no other object gets its id."""

    def write(self, value: Any) -> None:
        write = _WRITERS.get(type(value))
        if write is not None:
            write(self, value)
        else:
            _other(self, value)

    def raw(self, raw: bytes | bytearray) -> None:
        """Bytes, with their length before them."""
        self.buffer += size(len(raw))
        if len(raw) < _LARGE:
            self.buffer += raw
        else:
            self.parts += (self.buffer, raw)
            self.buffer = bytearray()

    def end(self) -> bytes:
        """All that was written, and its checksum."""
        if not self.parts:
            return b"".join((self.buffer, zlib.crc32(self.buffer).to_bytes(4, "big")))
        parts = [*self.parts, self.buffer]
        check = 0
        for part in parts:
            check = zlib.crc32(part, check)
        return b"".join((*parts, check.to_bytes(4, "big")))

    def number(self, value: Any) -> None:
        self.numbers[id(value)] = len(self.kept)
        self.kept.append(value)

    def seen(self, value: Any) -> bool:
        """Write a value's number if it has one."""
        number = self.numbers.get(id(value))
        if number is None:
            return False
        self.buffer += b"r" + size(number)
        return True

    def items(self, owner: Any, values: Any) -> None:
        self.buffer += size(len(values))
        get = _WRITERS.get
        index = 0
        try:
            for index, value in enumerate(values):  # noqa: B007
                get(type(value), _other)(self, value)
        except Refused as refused:
            refused.inside(f"[{index}]" if isinstance(owner, list | tuple) else "{...}")
            raise

    def pairs(self, values: dict[Any, Any], attributes: bool = False) -> None:
        self.buffer += size(len(values))
        get = _WRITERS.get
        key: Any = None
        try:
            for key, value in values.items():
                get(type(key), _other)(self, key)
                get(type(value), _other)(self, value)
        except Refused as refused:
            refused.inside(label(key, attributes))
            raise


def _none(w: Writer, _: None) -> None:
    w.buffer += b"N"


def _bool(w: Writer, value: bool) -> None:
    w.buffer += b"T" if value else b"F"


def _int(w: Writer, value: int) -> None:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    w.buffer += b"i" + size(len(raw)) + raw


def _float(w: Writer, value: float) -> None:
    w.buffer += b"f" + _double(value)


def _str(w: Writer, value: str) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) < _LARGE:
        w.buffer += b"s" + size(len(raw)) + raw
    else:
        w.buffer += b"s"
        w.raw(raw)


def _bytes(w: Writer, value: bytes) -> None:
    w.buffer += b"b"
    w.raw(value)


def _bytearray(w: Writer, value: bytearray) -> None:
    if not w.seen(value):
        w.number(value)
        w.buffer += b"B"
        w.raw(value)


def _list(w: Writer, value: list[Any]) -> None:
    if not w.seen(value):
        w.number(value)
        w.buffer += b"l"
        w.items(value, value)


def _dict(w: Writer, value: dict[Any, Any]) -> None:
    if not w.seen(value):
        w.number(value)
        w.buffer += b"d"
        w.pairs(value)


def _tuple(w: Writer, value: tuple[Any, ...]) -> None:
    # Numbered only when complete, as it can only be made then. A cycle through it
    # passes something mutable, which has its number already.
    if not value:
        w.buffer += b"t\x00"
    elif not w.seen(value):
        w.buffer += b"t"
        w.items(value, value)
        w.number(value)


def _ordered(values: Any) -> list[Any]:
    """A set's elements in an order that depends on nothing but the elements."""
    kinds = {type(v) for v in values}
    if len(kinds) <= 1 and kinds <= {str, int, bytes}:
        return sorted(values)
    from .keys import token

    return sorted(values, key=token)


def _set(w: Writer, value: set[Any]) -> None:
    if not w.seen(value):
        w.number(value)
        w.buffer += b"S"
        w.items(value, _ordered(value))


def _frozenset(w: Writer, value: frozenset[Any]) -> None:
    if not w.seen(value):
        w.buffer += b"Z"
        w.items(value, _ordered(value))
        w.number(value)


def _reference(w: Writer, value: Any) -> None:
    if w.seen(value):
        return
    generic = getattr(value, "__pydantic_generic_metadata__", None)
    if isinstance(value, type) and generic and generic["origin"]:
        # `Model[int]` is made on demand and has no name of its own to be found by.
        w.buffer += b"g"
        w.write(generic["origin"])
        w.write(generic["args"])
    else:
        try:
            module, qualname = names.reference(value)
        except LookupError as error:
            raise Refused(str(error)) from None
        w.buffer += b"c" if isinstance(value, type) else b"y"
        _str(w, module)
        _str(w, qualname)
    w.number(value)


def _other(w: Writer, value: Any) -> None:
    kind = kind_of(type(value))
    if kind is None:
        if isinstance(value, type) or names.is_named(value):
            _reference(w, value)
            return
        raise Refused(explain(value))
    if kind.refuse and (reason := kind.refuse(value)):
        raise Refused(reason)
    if kind.atomic or not w.seen(value):
        _by_kind(w, value, kind)


def _by_kind(w: Writer, value: Any, kind: Kind) -> None:
    name = kind.name.encode()
    w.buffer += b"o" + size(len(name)) + name
    if kind.named:
        _reference(w, type(value))
    w.items(value, kind.head(value))
    if not kind.atomic:
        w.number(value)
    if kind.body is not None:
        body = kind.body(value)
        if isinstance(body, dict):
            w.pairs(body, kind.attributes)
        else:
            w.items(body, body)


_WRITERS: dict[type, Callable[[Writer, Any], None]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    type: _reference,
    types.FunctionType: _reference,
    types.BuiltinFunctionType: _reference,
}


def encode(value: object, *, name: str = "value") -> bytes:
    """A value as bytes that say what they hold.

    Args:
        name: what errors call the value (`result`, `argument 'query'`).

    Raises:
        UnstorableValue: some part has no codec; the message names the part and a remedy.
    """
    writer = Writer()
    try:
        writer.write(value)
    except Refused as refused:
        raise UnstorableValue(f"{name}{refused.path}: {refused.reason}") from None
    except RecursionError:
        raise UnstorableValue(f"{name}: it is nested too deeply to be stored; flatten it") from None
    data = writer.end()
    if HELD and (secret := found_in(data)) is not None:
        raise UnstorableValue(
            f"{name} holds the value of the secret {secret!r}, which is never stored: "
            "reveal it only in tools, and return what does not contain it"
        )
    return data
