"""The root of every AgentVM error, and those any layer may raise.

A message says what went wrong, where, and what to do next. The CLI prints it
as it stands, without a traceback, so it must make sense on its own.
"""

from __future__ import annotations


class AgentVMError(Exception):
    """Root of all errors AgentVM raises on purpose."""


class CompileError(AgentVMError):
    """The agent's source cannot be compiled; the message has file, line and caret."""


class InputError(AgentVMError):
    """An input does not fit the agent's signature, or names nothing that exists."""


class ConfigError(AgentVMError):
    """An option, environment variable or installation is wrong."""


class InternalError(AgentVMError):
    """A bug in AgentVM; the message says what to report."""


class BackendError(AgentVMError):
    """A model backend could not answer a call."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
        """Whether the same call may succeed when tried again later."""


def alone(error: BaseException) -> BaseException:
    """The one error of a group of one: task groups wrap what is raised in them."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
