"""Recorded values, to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agentvm_runtime.errors import StoreError
from agentvm_runtime.values.plain import Raised, plain

from .jsonable import jsonable

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store
    from agentvm_runtime.records import Digest, Event

GONE = "(the value is no longer in the store)"
COMPUTING = ("python", "traced")
"""Kinds of nodes whose recorded result is a dict of what they assign, by position."""


class Values:
    """Some values of a store, shown without the classes they were of."""

    def __init__(self, data: Mapping[Digest, bytes]) -> None:
        self._data = data
        self._shown: dict[Digest, Any] = {}

    def raw(self, name: Digest | None) -> Any:
        """The value as plain Python; a text that says why where it cannot be shown."""
        if name is None:
            return None
        if name not in self._shown:
            self._shown[name] = self._read(name)
        return self._shown[name]

    def json(self, name: Digest | None) -> Any:
        """The value as JSON types; an exception as its text."""
        value = self.raw(name)
        return clean(str(value)) if isinstance(value, Raised) else jsonable(value)

    def error(self, name: Digest | None) -> str | None:
        """The text of a recorded exception."""
        return None if name is None else clean(str(self.raw(name)))

    def output(self, event: Event) -> Any:
        """A node's result as JSON types; of several variables a dict by position."""
        value = self.raw(event.value)
        if event.node in COMPUTING and isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
        return jsonable(value)

    def _read(self, name: Digest) -> Any:
        if name not in self._data:
            return GONE
        try:
            return plain(self._data[name])
        except StoreError as error:
            return f"(cannot be shown: {error})"


async def values_of(store: Store, names: Iterable[Digest | None]) -> Values:
    """These values, read at once."""
    wanted = list({each: None for each in names if each is not None})
    return Values(await store.values(wanted) if wanted else {})


def clean(text: str) -> str:
    """The text without what no JSON can carry: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")
