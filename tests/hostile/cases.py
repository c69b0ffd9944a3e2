"""What the hostile programs share: how a case is declared, what they write, what the model says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.lowlevel

from agentvm_compiler.wire import ModelCall

LOG: list[Any] = []
"""What tools wrote, in order."""
SEEN: list[Any] = []
"""What tools read: their order is not compared, since reads may run at once."""

T = TypeVar("T")


class Cases(list[tuple[Any, tuple[Any, ...], dict[str, Any]]]):
    """The agents of a module, each with its arguments."""

    def case(self, args: tuple[Any, ...] = ()) -> Callable[[T], T]:
        """Declare the decorated agent as a case."""

        def declared(program: T) -> T:
            self.append((program, args, {}))
            return program

        return declared


async def turns(count: int) -> None:
    """Let others go so many times."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


def reply(call: ModelCall) -> str:
    """`R:` and the prompt; `boom` fails."""
    if "boom" in call.prompt:
        raise ValueError(call.prompt)
    return f"R:{call.prompt}"
