"""Awaiting with an eye on it: whether what is awaited waits in turn, or comes to its end at once."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class Holdup(asyncio.Future[None]):
    """What all work of a run would come to wait for if it went on, and what waits for none of it.

    That one task waits for it is no reason to begin in another: nothing would be gained.
    """


@types.coroutine
def watched(
    coroutine: Coroutine[Any, Any, T],
    context: Context,
    waits: Callable[[], None],
    goes_on: Callable[[], None],
) -> Generator[Any, Any, T]:
    """Await a coroutine in the caller's task, but in a context of its own, as a task would have.

    Args:
        waits: called each time the task is about to wait for something that is no `Holdup`.
        goes_on: called each time it is there.
    """
    step: Callable[[Any], Any] = coroutine.send
    given: Any = None
    while True:
        try:
            awaited = context.run(step, given)
        except StopIteration as end:
            result: T = end.value
            return result
        held_up = isinstance(awaited, Holdup)
        if not held_up:
            waits()
        try:
            step, given = coroutine.send, (yield awaited)
        except GeneratorExit:
            context.run(coroutine.close)
            raise
        except BaseException as error:
            step, given = coroutine.throw, error
        if not held_up:
            goes_on()
