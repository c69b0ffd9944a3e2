"""How the bytes of a value are kept: compressed, in chunks if there are many, sealed if the store is.

Storing and loading a value takes memory for its bytes and some chunks, not for
several forms of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Digest

from . import statements as sql
from .rows import RAW, ZSTD, pack, unpack
from .sealing import Vault
from .statements import Statement

CHUNK = 1 << 20
"""Bytes. A larger value is kept in chunks of this size."""
CHUNKED = 2
"""Coding of a value whose bytes are in `chunks`; its row has how many bytes there are."""
SEALED = 16
"""Added to the coding of what is encrypted."""

Row = Mapping[str, Any]
Query = Callable[[Statement, Row], Sequence[Any]]


def writes(digest: Digest, data: bytes, vault: Vault | None) -> Iterator[tuple[Statement, Row]]:
    """What to write for a value, a chunk at a time."""
    name = digest if vault is None else vault.name(digest)
    if len(data) <= CHUNK:
        coding, stored = _sealed(pack(data), f"{digest}", vault)
        yield sql.ADD_VALUE, {"digest": name, "coding": coding, "data": stored}
        return
    view = memoryview(data)
    for number, start in enumerate(range(0, len(data), CHUNK)):
        coding, stored = _sealed(pack(view[start : start + CHUNK]), f"{digest}/{number}", vault)
        yield sql.ADD_CHUNK, {"digest": name, "number": number, "coding": coding, "data": stored}
    yield sql.ADD_VALUE, {"digest": name, "coding": CHUNKED, "data": len(data).to_bytes(8, "big")}


class TakesLong(Exception):
    """A value is large, and its reader has no time."""


def read(
    row: Sequence[Any], query: Query, vault: Vault | None, *, small: bool = False
) -> tuple[Digest, bytes]:
    """A value from its row in `values`.

    Args:
        query: reads its chunks.

    Raises:
        TakesLong: it has chunks, and is wanted only if `small`.
    """
    name, coding, stored = row
    if coding == RAW and vault is None:  # most are
        return name, stored
    digest = Digest(name if vault is None else vault.open_name(name))
    if coding != CHUNKED:
        return digest, _opened(coding, stored, f"{digest}", vault)
    if small:
        raise TakesLong
    size = int.from_bytes(stored, "big")
    whole = BytesIO()  # gives its buffer away: joining chunks would take their bytes twice
    for number in range(-(-size // CHUNK)):
        found = query(sql.GET_CHUNK, {"digest": name, "number": number})
        if not found:
            raise StoreError(f"a recorded value is damaged: chunk {number} of {digest} is missing")
        coding, stored = found[0]
        whole.write(_opened(coding, stored, f"{digest}/{number}", vault))
    return digest, whole.getvalue()


def _sealed(packed: tuple[int, bytes], about: str, vault: Vault | None) -> tuple[int, bytes]:
    coding, stored = packed
    return packed if vault is None else (coding | SEALED, vault.data(stored, about))


def _opened(coding: int, stored: bytes, about: str, vault: Vault | None) -> bytes:
    if coding & SEALED:
        if vault is None:
            raise StoreError("a recorded value is encrypted, but its store is not: the database was altered")
        return unpack(coding & ~SEALED, vault.open_data(stored, about))
    if vault is not None and coding in (RAW, ZSTD):
        raise StoreError("a recorded value is not encrypted, but its store is: the database was altered")
    return unpack(coding, stored)
