"""The HTTP client of the installed `openai` package, and things made once for each event loop.

Release 3 of `openai` moved from httpx to httpx2, whose classes are not
interchangeable, so everything here asks the package which one it uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio.lowlevel

T = TypeVar("T")


def client_module() -> Any:
    """The module of the HTTP client that `openai` is built on: httpx, or httpx2."""
    import openai

    base = next(cls for cls in openai.DefaultAsyncHttpxClient.__mro__ if cls.__name__ == "AsyncClient")
    return importlib.import_module(base.__module__.partition(".")[0])


class PerLoop(Generic[T]):
    """A value that belongs to one event loop, made anew when another loop asks.

    A backend may outlive a loop: the synchronous one-liner runs each agent in a
    loop of its own. What a closed loop leaves behind cannot be closed any more.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: tuple[object, T] | None = None

    def get(self) -> T:
        """The value of the running loop."""
        loop = anyio.lowlevel.current_token()
        if self._held is None or self._held[0] != loop:
            self._held = (loop, self._make())
        return self._held[1]

    def take(self) -> T | None:
        """The running loop's value, which the next `get` makes anew; `None` if it has none."""
        held, self._held = self._held, None
        return held[1] if held is not None and held[0] == anyio.lowlevel.current_token() else None
