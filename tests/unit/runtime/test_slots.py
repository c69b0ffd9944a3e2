"""Slots: values on their way."""

from __future__ import annotations

from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from agentvm_runtime.slots import Slot


def test_a_slot_with_a_value_is_ready():
    """A value given at the start is there, None included."""
    assert Slot(1).ready and Slot(None).ready and not Slot().ready
    assert Slot(None).value is None


def test_readers_are_called_in_order_when_the_value_comes():
    """Those who asked before are called with the set, first come first served; later ones at once."""
    slot, seen = Slot(), []
    slot.then(lambda: seen.append(("first", slot.value)))
    slot.then(lambda: seen.append(("second", slot.value)))
    assert seen == []
    slot.set(7)
    slot.then(lambda: seen.append(("late", slot.value)))
    assert seen == [("first", 7), ("second", 7), ("late", 7)]


def test_a_reader_is_called_once():
    """Setting the value forgets the readers."""
    slot, seen = Slot(), []
    slot.then(lambda: seen.append(1))
    slot.set(None)
    slot.then(lambda: seen.append(2))
    assert seen == [1, 2]


def test_feeding_passes_the_value_on():
    """A chain of slots has the value of the first, whenever it comes."""
    first, second, third = Slot(), Slot(), Slot()
    second.feed(third)
    first.feed(second)
    first.set("x")
    assert (second.value, third.value) == ("x", "x")


def test_a_long_chain_of_readers_is_no_deep_one():
    """A slot whose reader sets the next, and so on, as iterations of a loop wait for each other."""
    slots = [Slot() for _ in range(5_000)]
    for one, next_one in pairwise(slots):
        one.feed(next_one)
    slots[0].set("x")
    assert {slot.value for slot in slots} == {"x"}


def test_what_a_reader_raises_stops_no_later_readers():
    """The exception is the setter's to see; what was asked for elsewhere is called all the same."""
    slot, other, seen = Slot(), Slot(), []
    slot.then(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        slot.set(None)
    other.then(lambda: seen.append(other.value))
    other.set(1)
    assert seen == [1]


async def test_wait_returns_the_value_when_it_is_there():
    """Waiting for a value that is there does not suspend for ever, and for a coming one ends with it."""
    slot, seen = Slot(), []

    async def wait() -> None:
        seen.append(await slot.wait())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        assert seen == []
        slot.set("x")
    assert seen == ["x"]
    assert await slot.wait() == "x"


async def test_a_cancelled_wait_leaves_the_slot_usable():
    """Who stops waiting does not keep others from the value."""
    slot = Slot()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await slot.wait()
    slot.set(1)
    assert await slot.wait() == 1
