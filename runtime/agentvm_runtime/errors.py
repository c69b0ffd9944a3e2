"""How a run can end badly, and conflicts over its state."""

from __future__ import annotations

import asyncio

from agentvm_compiler.errors import AgentVMError


class RunFailed(AgentVMError):
    """The agent raised; the original exception is `__cause__` and `error`."""

    def __init__(self, message: str, *, run_id: str, error: BaseException | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.error = error


class DeadlineExceeded(AgentVMError):
    """The run's deadline passed before it was done."""


class BudgetExceeded(AgentVMError):
    """The run used up its budget of tokens, calls, seconds or money."""


class RunCancelled(AgentVMError):
    """The run was cancelled."""


class RunSuspended(AgentVMError):
    """The run waits for a person's answer, and has done all else that it can."""


class UncertainWrite(AgentVMError):
    """A write tool was started and its outcome is not known."""


class StoreError(AgentVMError):
    """The store could not be read or written (disk full, read-only, corrupt, ...)."""


class StoreVersionError(StoreError):
    """The database was written by another version of AgentVM."""


class RunLeased(AgentVMError):
    """Another process is driving the run."""


class RunSetAside(AgentVMError):
    """The processes that drove the run died one after the other; workers leave it alone."""


class ReplayMismatch(AgentVMError):
    """A traced region asked for other effects than its journal has."""


class UnstorableValue(AgentVMError):
    """A value has no codec; the message says which value and what to use instead."""


class Halt(BaseException):
    """Stops a run from the inside; no `except Exception` of an agent can swallow it."""

    def __init__(self, error: AgentVMError) -> None:
        super().__init__(str(error))
        self.error = error


def is_failure(error: BaseException) -> bool:
    """Whether an exception is the program's own, not a signal to stop."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() == 0  # raised by the program itself
    return not isinstance(error, KeyboardInterrupt | GeneratorExit | Halt)
