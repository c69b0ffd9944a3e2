"""Values as a session needs them: read when it asks, some ahead, and not kept for ever.

A journal is read in about the order in which it was written. So where a value is
asked for, those that were written after it will probably be next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from .errors import StoreError
from .ports import Store
from .records import Digest

_AHEAD = 64
"""Values that are read at a time, if the store has them quickly."""
_KEPT = 32 << 20
"""Bytes of values that are kept for who asks again."""


class Recalled(Mapping[Digest, bytes]):
    """All values of a store, by digest.

    Bounded in memory whatever the length of the run. Raises StoreError for one
    that is absent, as everything that is named was written with its name.
    """

    def __init__(self, store: Store, order: Iterable[Digest] = ()) -> None:
        """`order` is that in which they will probably be asked for."""
        self._store = store
        self._order = list(dict.fromkeys(order))
        self._places = {name: number for number, name in enumerate(self._order)}
        self._kept: OrderedDict[Digest, bytes] = OrderedDict()
        self._size = 0

    def __getitem__(self, name: Digest) -> bytes:
        data = self._kept.get(name)
        if data is not None:
            self._kept.move_to_end(name)
            return data
        return self._read(name)

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def _read(self, name: Digest) -> bytes:
        place = self._places.get(name)
        next_ones = [] if place is None else self._order[place + 1 : place + _AHEAD]
        found = self._store.values_now([name, *(each for each in next_ones if each not in self._kept)])
        if name not in found:
            raise StoreError(
                f"the value {name} is not in the store, though a journal names it: the database is damaged. "
                "What can be saved: agentvm doctor --store URL"
            )
        for each, data in found.items():
            self._kept[each] = data
            self._size += len(data)
        while self._size > _KEPT and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])
        return found[name]
