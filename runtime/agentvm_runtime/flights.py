"""Single flight: of equal work asked for at the same time, one is done and all share it."""

from __future__ import annotations

from typing import Any, TypeAlias

from .slots import Slot
from .store.leases import this_holder
from .values import copy_value

Landed: TypeAlias = tuple[Any]
"""The result of work that others waited for."""


class Flight:
    """Work under way."""

    def __init__(self) -> None:
        self._slot: Slot | None = None
        """Where the result is put, once somebody has joined."""

    async def wait(self) -> Landed | None:
        """The result, to be copied; None if the work was not finished by who did it."""
        if self._slot is None:
            self._slot = Slot()
        landed: Landed | None = await self._slot.wait()
        return landed

    def succeed(self, value: Any) -> None:
        """Hand the result out. Who did the work goes on with it and may change it before others wake."""
        if self._slot is not None:
            self._slot.set((copy_value(value),))

    def give_up(self) -> None:
        if self._slot is not None and not self._slot.ready:
            self._slot.set(None)


class Flights:
    """The work under way in this process, by key."""

    def __init__(self) -> None:
        self.holder = this_holder()
        """What other processes call this one."""
        self.met: set[str] = set()
        """Names of the tools and models that were called."""
        self._by_key: dict[str, Flight] = {}

    def join(self, key: str) -> Flight | None:
        """The flight to wait for, if there is one."""
        return self._by_key.get(key)

    def lead(self, key: str) -> Flight:
        """Take off; who joins waits until `land`."""
        flight = self._by_key[key] = Flight()
        return flight

    def land(self, key: str) -> None:
        """Let go of those who joined, whatever came of it."""
        self._by_key.pop(key).give_up()
