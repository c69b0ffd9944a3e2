"""Values to look at: encoded bytes as plain Python, without the classes they were of.

Whoever shows a run need not have the code that made it, and must not run it:
instances become dicts of their fields, enum members their names, exceptions
their class and message. Nothing is imported and no class is looked up.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentvm_runtime.errors import StoreError

from .kinds import BY_NAME, Kind
from .reader import _READERS, Reader
from .writer import FORMAT


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception that was recorded."""

    name: str
    """Its class."""
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


def plain(data: bytes) -> Any:
    """The encoded value as dicts, lists and scalars; what cannot be shown so is described.

    Raises:
        StoreError: the bytes are damaged or of another format.
    """
    if len(data) < 6 or zlib.crc32(memoryview(data)[:-4]).to_bytes(4, "big") != data[-4:]:
        raise StoreError("a recorded value is damaged: its checksum does not match")
    if data[0] != FORMAT:
        raise StoreError(f"a recorded value has format {data[0]}, this AgentVM reads {FORMAT}")
    try:
        return _Plain(data).read()
    except RecursionError:
        return "(too deeply nested to be shown)"
    except Exception as error:
        raise StoreError(f"a recorded value is damaged: {type(error).__name__}: {error}") from error


class _Plain(Reader):
    """Reads what a `Reader` does, with names in place of classes."""

    __slots__ = ()

    def read(self) -> Any:
        at = self.at
        self.at = at + 1
        tag = self.data[at]
        shown = _SHOWN.get(tag)
        return _READERS[tag](self) if shown is None else shown(self)

    def items(self) -> list[Any]:
        return [self.read() for _ in range(self.size())]


def _named(r: Reader) -> str:
    name = f"{r.read()}.{r.read()}"
    r.numbered.append(name)
    return name


def _generic(r: Reader) -> str:
    origin, _ = r.read(), r.read()
    r.numbered.append(origin)
    return str(origin)


def _set(r: Reader) -> list[Any]:
    value: list[Any] = []  # what was hashable may be a dict here
    r.numbered.append(value)
    value += r.items()
    return value


def _frozenset(r: Reader) -> list[Any]:
    value = r.items()
    r.numbered.append(value)
    return value


def _dict(r: Reader) -> dict[Any, Any]:
    value: dict[Any, Any] = {}
    r.numbered.append(value)
    _fill(r, value)
    return value


def _fill(r: Reader, into: dict[Any, Any]) -> None:
    for _ in range(r.size()):
        key = r.read()
        into[key if isinstance(key, str | int | float | bool | None) else repr(key)] = r.read()


def _instance(r: Reader) -> Any:
    name = r.raw().decode()
    kind = BY_NAME[name]
    cls = str(r.read()) if kind.named else ""
    head = r.items()
    if kind.fill is None:
        value = _atom(kind, cls, head)
        if not kind.atomic:
            r.numbered.append(value)
        return value
    body: Any = {} if kind.keyed else []
    number = len(r.numbered)
    if not kind.atomic:
        r.numbered.append(body)
    if kind.keyed:
        _fill(r, body)
    else:
        body += r.items()
    if name in ("exception", "group"):
        shown = _raised(cls, body)
        r.numbered[number] = shown
        return shown
    if name == "ndarray":
        return _array(head)
    for hidden in [each for each in body if isinstance(each, str) and each.startswith("#")] if cls else ():
        del body[hidden]
    return body


def _raised(cls: str, body: dict[str, Any]) -> Raised:
    args = body.get("#args") or ()
    return Raised(cls.rpartition(".")[2], ", ".join(str(each) for each in args))


def _array(head: list[Any]) -> str:
    return f"(numpy array, {head[0]}, shape {'x'.join(map(str, head[1]))})"


def _atom(kind: Kind, cls: str, head: list[Any]) -> Any:
    if kind.name == "ndarray":
        return _array(head)
    if kind.name == "validation_error":
        details = "; ".join(f"{'.'.join(map(str, loc))}: {text}" for _, loc, _, _, text in head[1])
        return Raised("ValidationError", f"{head[0]}: {details}")
    if not kind.named:
        return kind.make(object, tuple(head))  # of the standard library, and none of the user's
    if kind.name == "enum":
        return head[0]
    return head if kind.name == "namedtuple" else f"({cls})"


_SHOWN: dict[int, Callable[[Any], Any]] = {
    ord("c"): _named,
    ord("y"): _named,
    ord("g"): _generic,
    ord("S"): _set,
    ord("Z"): _frozenset,
    ord("d"): _dict,
    ord("o"): _instance,
}
