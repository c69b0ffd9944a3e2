"""Halting: a run, or work within it, after which nothing is done there and nothing journaled."""

from __future__ import annotations

import anyio

from agentvm_compiler.errors import AgentVMError

from .errors import Halt


class Halting:
    """What was halted of one run, and what it was halted with."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        """Of all that the program does."""
        self._halted: Halt | None = None
        self._closed: dict[str, Halt] = {}
        self.anything_halted = False
        """Whether there is anything that `check` might raise."""

    def halt(self, error: AgentVMError) -> Halt:
        """Stop the run: from now on no work is done and nothing journaled, whatever the agent catches."""
        self._halted = self._halted or Halt(error)
        self.anything_halted = True
        return self._halted

    def stop(self, error: AgentVMError) -> None:
        """Halt, and cancel what is under way."""
        self.halt(error)
        self.scope.cancel()

    @property
    def halted(self) -> bool:
        return self._halted is not None

    def close(self, path: str, halt: Halt) -> None:
        """From now on nothing is done or journaled within the work at this path; who tries gets the halt."""
        self._closed[f"{path}/"] = halt
        self.anything_halted = True

    def check(self, path: str = "") -> None:
        """Raise what the session, or the work that the path is within, was halted with, if it was."""
        if self._halted is not None:
            raise self._halted
        for within, halt in self._closed.items():
            if path.startswith(within):
                raise halt
