"""Hashing: digests of stored bytes, and keys that only depend on what a value means.

A *key digest* ignores the order of dicts and sets and which parts are the same
object; it tells `1` from `1.0` and `True`, and 0.0 from -0.0.
"""

from __future__ import annotations

import hashlib
import struct
import types
from collections.abc import Callable, Iterable
from typing import Any

from agentvm_runtime.errors import UnstorableValue
from agentvm_runtime.records import Digest

from . import names
from .kinds import kind_of
from .refusal import Refused, explain, label
from .writer import size

_SIZE = 20
# Copied for each hash: made anew, with its options, one takes twice as long.
_new = hashlib.blake2b(digest_size=_SIZE).copy
_new_key = hashlib.blake2b(digest_size=_SIZE, person=b"agentvm key").copy


def digest(data: bytes) -> Digest:
    """The content address of encoded bytes: 40 hexadecimal digits of BLAKE2b."""
    hasher = _new()
    hasher.update(data)
    return hasher.hexdigest()  # type: ignore[return-value]


def key_digest(value: object, *, name: str = "value") -> str:
    """A hash of what a value means; equal values have equal keys.

    Raises:
        UnstorableValue: as `encode` does.
    """
    return _key(_token(value, name))


def call_digest(about: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The key digest of a tuple that ends with the arguments of a call.

    Args:
        about: the tokens of what comes before them, one after the other.

    Raises:
        UnstorableValue: as `encode` does.
    """
    named = _token(kwargs, "the arguments") if kwargs else _NONE_NAMED
    if len(args) == 1 and (plain := _PLAIN.get(type(args[0]))) is not None:  # most are
        return _key(b"t" + _hash(about + b"t" + _hash(plain(args[0])) + named))
    if args and _PLAIN_TYPES.issuperset(map(type, args)):
        return _key(b"t" + _hash(about + b"t" + _plain(args) + named))
    return _key(b"t" + _hash(about + _token(args, "the arguments") + named))


def _token(value: object, name: str) -> bytes:
    try:
        return _Keys().token(value)
    except Refused as refused:
        raise UnstorableValue(f"{name}{refused.path}: {refused.reason}") from None
    except RecursionError:
        raise UnstorableValue(f"{name}: it is nested too deeply to be hashed; flatten it") from None


def _key(data: bytes) -> str:
    hasher = _new_key()
    hasher.update(data)
    return hasher.hexdigest()


def token(value: object) -> bytes:
    """Bytes that are equal for equal values; containers are already hashed, so they are short."""
    return _Keys().token(value)


def list_token(items: Iterable[bytes]) -> bytes:
    """The token of a list that is not empty, by those of its items, some of which are not plain."""
    return b"l" + _hash(b"".join(items))


def tuple_key(items: Iterable[bytes]) -> str:
    """The key digest of a tuple, by the tokens of its items, some of which are not plain."""
    return _key(b"t" + _hash(b"".join(items)))


class _Keys:
    """One walk over a value: what was hashed already, and what is being hashed now."""

    __slots__ = ("active", "done", "lowest")

    def __init__(self) -> None:
        self.done: dict[int, tuple[bytes, Any]] = {}
        self.active: dict[int, int] = {}
        self.lowest = 1 << 60
        """The outermost active object that something just hashed points back to."""

    def token(self, value: Any) -> bytes:
        plain = _PLAIN.get(type(value))
        if plain is not None:
            return plain(value)
        cls = type(value)
        if cls in _EMPTY and not value:
            return _EMPTY[cls]
        if (cls is tuple or cls is list) and _PLAIN_TYPES.issuperset(map(type, value)):
            return (b"t" if cls is tuple else b"l") + _plain(value)
        number = id(value)
        if (known := self.done.get(number)) is not None:
            return known[0]
        if (depth := self.active.get(number)) is not None:
            # A cycle: name the value by how far up it is, which no identity enters into.
            self.lowest = min(self.lowest, depth)
            return b"^" + size(len(self.active) - depth)
        depth = self.active[number] = len(self.active)
        outer, self.lowest = self.lowest, 1 << 60
        try:
            tag, parts = _CONTAINERS.get(cls, _Keys.other)(self, value)
        finally:
            del self.active[number]
        result = tag + _hash(b"".join(parts))
        if self.lowest >= depth:  # does not depend on what is around it
            self.done[number] = (result, value)
        self.lowest = min(outer, self.lowest)
        return result

    def other(self, value: Any) -> tuple[bytes, list[bytes]]:
        kind = kind_of(type(value))
        if kind is None:
            if isinstance(value, type) or names.is_named(value):
                return b"c", [self._reference(value)]
            raise Refused(explain(value))
        if kind.refuse and (reason := kind.refuse(value)):
            raise Refused(reason)
        parts = [kind.name.encode() + b"\0"]
        if kind.named:
            parts.append(self.token(type(value)))
        parts += self.items(kind.head(value))
        parts.append(b"|")
        body = kind.body(value) if kind.body else []
        if isinstance(body, dict):
            pairs = self.pairs(body, kind.attributes)
            parts += pairs if kind.ordered else sorted(pairs)
        else:
            parts += self.items(body)
        return b"o", parts

    def _reference(self, value: Any) -> bytes:
        generic = getattr(value, "__pydantic_generic_metadata__", None)
        if isinstance(value, type) and generic and generic["origin"]:
            return self.token(generic["origin"]) + self.token(generic["args"])
        try:
            module, qualname = names.reference(value)
        except LookupError as error:
            raise Refused(str(error)) from None
        return f"{module}:{qualname}".encode()

    def items(self, values: Any) -> list[bytes]:
        parts: list[bytes] = []
        try:
            for value in values:
                plain = _PLAIN.get(type(value))
                parts.append(self.token(value) if plain is None else plain(value))
        except Refused as refused:
            refused.inside(f"[{len(parts)}]")
            raise
        return parts

    def pairs(self, values: dict[Any, Any], attributes: bool = False) -> list[bytes]:
        parts = []
        key: Any = None
        try:
            for key, value in values.items():
                parts.append(self.token(key) + self.token(value))
        except Refused as refused:
            refused.inside(label(key, attributes))
            raise
        return parts


def _plain(values: Iterable[Any]) -> bytes:
    """Hash of the tokens of what has no parts."""
    return _hash(b"".join([_PLAIN[type(each)](each) for each in values]))


def _hash(data: bytes) -> bytes:
    hasher = _new()
    hasher.update(data)
    return hasher.digest()


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"s" + size(len(raw)) + raw


def _int(value: int) -> bytes:
    if _LEAST < value < _MOST:
        raw = b"%d" % value
        return _INT[len(raw)] + raw
    raw = b"%x" % value
    return b"i" + size(len(raw)) + raw


_LEAST, _MOST = -(1 << 64), 1 << 64
_INT = [b"i" + size(n) for n in range(len(str(_LEAST)) + 1)]
"""How the token of an integer of so many digits begins."""

_PLAIN: dict[type, Callable[[Any], bytes]] = {
    types.NoneType: lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _int,
    float: lambda value: b"f" + struct.pack(">d", value),
    str: _text,
    bytes: lambda value: b"b" + size(len(value)) + value,
    bytearray: lambda value: b"B" + size(len(value)) + value,
}

_PLAIN_TYPES = frozenset(_PLAIN)

_CONTAINERS: dict[type, Callable[[_Keys, Any], tuple[bytes, list[bytes]]]] = {
    list: lambda keys, value: (b"l", keys.items(value)),
    tuple: lambda keys, value: (b"t", keys.items(value)),
    dict: lambda keys, value: (b"d", sorted(keys.pairs(value))),
    # Python's == makes no difference between the two; a key must (the code may).
    set: lambda keys, value: (b"S", sorted(keys.items(value))),
    frozenset: lambda keys, value: (b"Z", sorted(keys.items(value))),
}
"""How a container's tag and parts are had; of other types by their kind."""

_EMPTY: dict[type, bytes] = {
    cls: tag + hashlib.blake2b(b"", digest_size=_SIZE).digest()
    for cls, tag in {list: b"l", tuple: b"t", dict: b"d", set: b"S", frozenset: b"Z"}.items()
}

_NONE_NAMED = _EMPTY[dict]
