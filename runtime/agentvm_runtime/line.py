"""A line: tasks that wait for the same thing, let through one after the other.

If all of them were woken whenever there is room for one, each would be woken as
often as there are others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from .watched import Holdup


class Line:
    """Those who wait, in each event loop a line of its own."""

    def __init__(self) -> None:
        self._lines: dict[asyncio.AbstractEventLoop, OrderedDict[Holdup, None]] = {}

    async def stand(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait, once all who came before have done so or have given up."""
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(loop, OrderedDict())
        turn = Holdup(loop=loop)
        line[turn] = None
        try:
            if _first(line) is not turn:
                await turn
            await wait()
        finally:
            was_first = _first(line) is turn
            del line[turn]
            if not line:
                del self._lines[loop]
            elif was_first and not _first(line).done():
                _first(line).set_result(None)


def _first(line: OrderedDict[Holdup, None]) -> Holdup:
    return next(iter(line))
