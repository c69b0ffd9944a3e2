"""What a task group that is compiled stands for: its calls together, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

GROUPED, SETTLED = "__avm_grouped__", "__avm_settled__"
"""Names under which the code of a program finds `grouped` and `settled`."""


async def grouped(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of calls made by a task group of their own. Its meaning where it is not compiled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in calls]
    return [each.result() for each in tasks]


def settled(pairs: list[tuple[Any, BaseException | None]]) -> list[Any]:
    """The values of calls that are done.

    Args:
        pairs: `(value, None)` or `(None, exception)` for each.

    Raises:
        BaseExceptionGroup: of what they raised, as a task group raises it.
    """
    errors = [error for _, error in pairs if error is not None]
    if errors:
        raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None
    return [value for value, _ in pairs]
