"""Nodes that hold regions: branches, loops, maps, tries. Each execution of a region is a frame of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence, Sized
from functools import partial
from itertools import islice
from typing import Any

import anyio

from agentvm_compiler.codegen import raised
from agentvm_compiler.ir import Node, base
from agentvm_compiler.passes.stages import SiteProfile

from .errors import is_failure
from .foresight import seen, unfold
from .frames import LITERAL_SLOTS, Frame
from .ordered import AT_ONCE, OrderedGroup
from .owners import Owner
from .siblings import Siblings
from .slots import Slot

TAKEN, NOT_TAKEN = SiteProfile(taken=1.0), SiteProfile(taken=0.0)
WINDOW = 1024
"""Iterations of one loop or map that may be under way at a time."""


async def branch(frame: Frame, index: int, node: Node) -> None:
    condition, *captures = (frame.env[each] for each in node.operands)
    taken = condition.value is None if node.attrs.get("on") == "exit" else condition.value
    region = node.regions[0 if taken else 1]
    unfold(frame, node, TAKEN if taken else NOT_TAKEN)
    seen(frame, node).taken.append(1 if taken else 0)
    # Sites are unique in a program, so a branch needs no place of its own in a path.
    inner = frame.inner(region, captures, Owner(frame, index), frame.path)
    for result, name in zip(inner.results, node.results, strict=True):
        result.feed(frame.env[name])
    await frame.within(index, inner)


async def attempt(frame: Frame, index: int, node: Node) -> None:
    kept = node.attrs["kept"]
    slots = [frame.env[each] for each in node.operands]
    fallbacks, captures = slots[: len(kept)], slots[len(kept) :]
    owner = Owner(frame, index)
    final = bool(node.attrs.get("final"))
    inner = body = frame.inner(node.regions[0], captures, owner, frame.path)
    failed: BaseException | None = None
    handler: int | None = 0
    try:
        await frame.within(index, body)
    except BaseException as caught:
        handler = _handler(frame, node, raised(caught))
        if handler is None:
            raise
        failed = caught
    # Outside the `except`, which would become the context of what a handler raises.
    if failed is not None:
        error = raised(failed)
        names = frame.halfway.pop(index)
        seen = [names.get(name, fallback) for name, fallback in zip(kept, fallbacks, strict=True)]
        first = [LITERAL_SLOTS["$none"], LITERAL_SLOTS["$none"]] if final else [Slot(error)]
        assert handler is not None
        inner = frame.inner(node.regions[1 + handler], [*first, *seen, *captures], owner, frame.path)
        name = "" if final else node.attrs["names"][handler]
        await _handling(error, frame.within(index, inner, name))
        if final and inner.results[0].value is None:
            frame.halfway[index] = _named(node.results[2:], inner.results[2:])
            raise failed
        frame.session.failures.handled(error)
    elif final:
        inner = frame.inner(node.regions[1], [*body.results, *captures], owner, frame.path)
        await frame.within(index, inner)
    for result, wanted in zip(inner.results, node.results, strict=True):
        result.feed(frame.env[wanted])  # what it only passes on may still be on its way


def _handler(frame: Frame, node: Node, error: BaseException) -> int | None:
    """The first handler for an exception; None if there is none, or it is a signal to stop."""
    if not is_failure(error):
        return None
    if node.attrs.get("final"):
        return 0
    for number, types in enumerate(frame.namespace.handled(node)):
        if isinstance(error, types):
            return number
    return None


async def loop(frame: Frame, index: int, node: Node) -> None:
    iterable, *slots = (frame.env[each] for each in node.operands)
    count = node.attrs["carried"]
    carried, captures = slots[:count], slots[count:]
    region, path = node.regions[0], frame.path_of(node)
    may_leave = region.results[0] != "$none"
    chained = frame.session.plans.chained(node)
    items = None if iterable.value is None else iter(iterable.value)
    if not may_leave and isinstance(iterable.value, Sized):
        unfold(frame, node, SiteProfile(times=len(iterable.value)))
    left: tuple[Any, Slot] = (None, LITERAL_SLOTS["$none"])
    frames: dict[int, Frame] = {}
    room = anyio.Semaphore(WINDOW)
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        skipped, values = frame.session.skipped(path)
        carried = [new or old for new, old in zip(values, carried, strict=True)] if skipped else carried
        if items is not None:
            items = islice(items, skipped, None)
        number = skipped
        while group.failed_at is None:
            at = number - skipped
            try:
                item = None if items is None else next(items)
            except StopIteration:
                break
            except Exception as error:
                group.fail(at, error)
                break
            owner = Owner(frame, index, group, at)
            inner = frame.inner(region, [Slot(item), *carried, *captures], owner, f"{path}[{number}]")
            if frame.session.store.full:
                await frame.session.keep_step()
            if chained:
                frames[at] = inner
                await group.run(at, inner.execute)
                if group.failed_at is None:
                    del frames[at]
                if at % AT_ONCE == 0:
                    await asyncio.sleep(0)  # others have their turn, as between tasks
            else:
                await room.acquire()
                group.start(at, partial(_release_after, room, partial(_iterate, frames, at, inner)))
            carried = inner.results[2:]
            number += 1
            if may_leave:
                reason = await _first(inner.results[0], group.changed)
                if reason in ("return", "break"):
                    told = reason == "return" or node.attrs.get("tells_break")
                    left = (reason if told else None, inner.results[1])
                    break
            elif items is None:
                await group.before(number - skipped)
        for slot, name in zip(carried, node.results[2:], strict=True):
            slot.feed(frame.env[name])
        if left[0] is None:
            _give_exit(frame, node, None, LITERAL_SLOTS["$none"])
        else:
            _give_exit(frame, node, left[0], left[1])
        seen(frame, node).times.append(number)
        await group.before(number - skipped)
    if group.failed_at in frames:
        frame.halfway[index] = frames[group.failed_at].names
    elif group.failed_at is not None:  # no item could be had: the names are what the last iteration left
        frame.halfway[index] = _named(node.results[2:], carried)
    group.raise_failure()


def _give_exit(frame: Frame, node: Node, reason: str | None, value: Slot) -> None:
    frame.env[node.results[0]].set(reason)
    value.feed(frame.env[node.results[1]])


async def fan_out(frame: Frame, index: int, node: Node) -> None:
    items, *captures = (frame.env[each] for each in node.operands)
    values, failure = _taken(items.value)
    results: list[Slot] = []  # of the frames, which go when they have ended
    seen(frame, node).times.append(len(values))
    unfold(frame, node, SiteProfile(times=len(values)))
    siblings = Siblings(len(values), frame.siblings)
    room, path = anyio.Semaphore(WINDOW, fast_acquire=True), frame.path_of(node)
    async with anyio.create_task_group() as tasks:
        group = OrderedGroup(tasks)
        for number, item in enumerate(values):
            if group.failed_at is not None:
                break
            inner = frame.inner(
                node.regions[0],
                [Slot(item), *captures],
                Owner(frame, index, group, number),
                f"{path}[{number}]",
                siblings=siblings,
            )
            results.append(inner.results[0])
            if frame.session.store.full:
                await frame.session.keep_step()
            await room.acquire()
            group.start(number, partial(_release_after, room, partial(_one_of, frame, siblings, inner)))
            del inner
        if failure is not None:
            group.fail(len(values), failure)
        await group.before(len(results))
    group.raise_failure()
    frame.give(node, [[await each.wait() for each in results]])


def _taken(items: Iterable[Any]) -> tuple[list[Any], Exception | None]:
    """All items, or those before the one that cannot be had, and why: Python asks for one after the other."""
    taken: list[Any] = []
    try:
        taken.extend(iter(items))
    except Exception as error:
        return taken, error
    return taken, None


async def _handling(error: BaseException, handler: Awaitable[None]) -> None:
    """Wait for a handler; what it raises has the handled exception as context, as in Python."""
    try:
        await handler
    except BaseException as another:
        if another is not error and another.__context__ is None:
            BaseException.__setattr__(another, "__context__", error)  # its class may refuse assignments
        raise


async def _one_of(frame: Frame, siblings: Siblings, iteration: Frame) -> None:
    """Execute one of the iterations that are joined by a map of a frame."""
    try:
        await iteration.execute()
    finally:
        siblings.ended()
        if frame.session.updates is not None:
            frame.session.updates.sibling_ended(frame)


async def _release_after(room: anyio.Semaphore, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    finally:
        room.release()


async def _iterate(frames: dict[int, Frame], number: int, frame: Frame) -> None:
    """Execute an iteration, which is among the frames while it goes on and if it fails."""
    frames[number] = frame
    await frame.execute()
    del frames[number]


def _named(values: Sequence[str], slots: Sequence[Slot]) -> dict[str, Slot]:
    """The slots by the names that the values have in source code."""
    return {base(each): slot for each, slot in zip(values, slots, strict=True)}


async def _first(wanted: Slot, failure: Slot) -> Any:
    """The value, or None if a failure comes before it."""
    event = asyncio.Event()
    wanted.then(event.set)
    failure.then(event.set)
    await event.wait()
    return wanted.value if wanted.ready else None
