"""Ordered groups: children run side by side and fail in program order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import pytest

from agentvm_runtime.errors import Halt, UncertainWrite
from agentvm_runtime.ordered import OrderedGroup
from agentvm_runtime.watched import Holdup

Work = Callable[[], Awaitable[None]]


class Children:
    """Children that end when told to; remembers what became of them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go: dict[str, anyio.Event] = {}

    def child(self, name: str, error: BaseException | None = None) -> Work:
        self.go[name] = anyio.Event()

        async def work() -> None:
            self.log.append(f"{name} starts")
            try:
                await self.go[name].wait()
            except BaseException:
                self.log.append(f"{name} is cancelled")
                raise
            self.log.append(f"{name} ends")
            if error is not None:
                raise error

        return work


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def children() -> Children:
    return Children()


async def test_children_run_side_by_side(children):
    """All start at once and may end in any order."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        for number, name in enumerate("abc"):
            group.start(number, children.child(name))
        await settle()
        for name in "cab":
            children.go[name].set()
            await settle()
        await group.before(3)
    group.raise_failure()
    assert children.log == ["a starts", "b starts", "c starts", "c ends", "a ends", "b ends"]


async def test_the_failure_first_in_order_is_raised(children):
    """A later failure that came first in time gives way to an earlier one."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        group.start(0, children.child("a", KeyError("a")))
        group.start(1, children.child("b"))
        group.start(2, children.child("c", ValueError("c")))
        await settle()
        children.go["c"].set()
        await settle()
        assert group.failed_at == 2 and "a is cancelled" not in children.log
        children.go["a"].set()
        await settle()
    assert group.failed_at == 0
    with pytest.raises(KeyError, match="a"):
        group.raise_failure()


async def test_a_failure_cancels_only_what_comes_after_it(children):
    """Children before the failed one go on to their end, those after it are cancelled."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        for number, name in enumerate("abcd"):
            group.start(number, children.child(name, ValueError(name) if name == "b" else None))
        await settle()
        children.go["b"].set()
        await settle()
        children.go["a"].set()
        await group.before(4)
    assert children.log[4:] == ["b ends", "c is cancelled", "d is cancelled", "a ends"]


async def test_nothing_after_a_failure_is_started(children):
    """A child that comes after a failed one is not started, one before it is."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        group.fail(1, ValueError("b"))
        group.start(2, children.child("c"))
        group.start(0, children.child("a"))
        await settle()
        children.go["a"].set()
        await group.before(3)
    assert children.log == ["a starts", "a ends"]


async def test_before_waits_for_all_earlier_children(children):
    """`before(n)` returns when the first n have succeeded, whatever later ones do."""
    reached = []

    async def wait() -> None:
        await group.before(2)
        reached.append(list(children.log))

    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        for number, name in enumerate("abc"):
            group.start(number, children.child(name))
        tasks.start_soon(wait)
        for name in "cba":
            await settle()
            assert not reached
            children.go[name].set()
    assert reached[0][-1] == "a ends"


async def test_halt_comes_before_every_failure(children):
    """What stops the run is raised even if a child earlier in order fails, and cancels all."""
    halt = Halt(UncertainWrite("who knows"))
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        group.start(0, children.child("a"))
        group.start(1, children.child("b", halt))
        await settle()
        children.go["b"].set()
        await settle()
    assert "a is cancelled" in children.log
    with pytest.raises(Halt) as caught:
        group.raise_failure()
    assert caught.value is halt


async def test_a_group_without_failures_raises_nothing():
    """An empty group is done at once."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        await group.before(0)
    group.raise_failure()


place: ContextVar[str] = ContextVar("place", default="outside")


async def test_children_that_wait_for_nothing_share_a_task():
    """A task runs one child after the other; what each sets in its context is its own."""
    seen = []

    async def work() -> None:
        seen.append((asyncio.current_task(), place.get()))
        place.set("inside")

    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        for number in range(3):
            group.start(number, work)
        await group.before(3)
    [(task, before), *others] = seen
    assert (task is not asyncio.current_task(), before) == (True, "outside")
    assert others == [(task, "outside")] * 2


async def test_a_child_that_waits_holds_no_other_up(children):
    """Children that were behind one that waits begin, and so does one that is started later."""
    log = children.log

    async def work() -> None:
        log.append("short")

    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        group.start(0, work)
        group.start(1, children.child("long"))
        group.start(2, work)
        await settle()
        group.start(3, work)
        await settle()
        assert log == ["short", "long starts", "short", "short"]
        children.go["long"].set()
        await group.before(4)
    group.raise_failure()


async def test_no_child_begins_while_one_is_held_up_as_it_would_be(children):
    """A wait that the others would come to as well is no reason to give each a task of its own."""
    held: list[Holdup] = []

    async def is_held_up() -> None:
        children.log.append("a starts")
        held.append(Holdup())
        await held[0]
        children.log.append("a ends")

    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        group.start(0, is_held_up)
        group.start(1, children.child("b"))
        await settle()
        assert children.log == ["a starts"]
        held[0].set_result(None)
        await settle()
        children.go["b"].set()
        await group.before(2)
    assert children.log == ["a starts", "a ends", "b starts", "b ends"]


async def test_what_a_child_makes_ready_is_run_though_it_goes_on_to_wait(children):
    """A child that starts another and then waits does not keep it from running."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        second = children.child("second")

        async def first() -> None:
            await anyio.lowlevel.checkpoint()
            group.start(1, second)
            await group.ended(1).wait()

        group.start(0, first)
        await settle()
        children.go["second"].set()
        await group.before(2)
    assert children.log == ["second starts", "second ends"]


async def test_earlier_children_run_after_a_later_one_was_cancelled(children):
    """The cancellation of a child ends its task, not those that the task had yet to run."""
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)

        async def fails() -> None:
            group.start(0, children.child("a"))
            raise ValueError("b")

        group.start(2, children.child("c"))
        group.start(1, fails)
        await settle()
        children.go["a"].set()
        await group.before(3)
    assert sorted(children.log) == ["a ends", "a starts", "c is cancelled", "c starts"]
    with pytest.raises(ValueError, match="b"):
        group.raise_failure()
