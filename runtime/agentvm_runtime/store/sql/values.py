"""Values by their digests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from agentvm_runtime.records import (
    Digest,
)
from agentvm_runtime.store.keeping import CHUNK, TakesLong

from .access import Access
from .reading import Reader

_FEW_VALUES = 4
"""Values that may be read on the spot."""
_MUCH = 4 * CHUNK
"""Bytes that are read ahead at most, the last value not counted."""


class Values(Access):
    """What runs refer to."""

    async def values(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        def work(reader: Reader) -> dict[Digest, bytes]:
            return dict(reader.values(digests))

        if len(digests) <= _FEW_VALUES:
            found = await self._glance(lambda reader: dict(reader.values(digests, small=reader.near)), work)
        else:
            found = await self._read(work, behind_writes=False)
        # What an address names never changes: only what is missing can be on its way.
        if len(found) < len(set(digests)):
            found = await self._read(work)
        return found

    def values_now(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        def work(reader: Reader) -> dict[Digest, bytes]:
            found: dict[Digest, bytes] = {}
            size = 0
            with suppress(TakesLong):
                for digest, data in reader.values(digests, small=True):
                    found[digest] = data
                    size += len(data)
                    if size > _MUCH:
                        break
            return found if digests[0] in found else found | dict(reader.values(digests[:1]))

        return self._at_once(work)
