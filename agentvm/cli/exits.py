"""Exit codes (design, section 8), and how an error is told to the user."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum

import typer

from agentvm_compiler.errors import CompileError, ConfigError, InputError
from agentvm_runtime.errors import DeadlineExceeded, RunLeased, StoreVersionError, UncertainWrite
from agentvm_runtime.records import RunStatus


class Exit(IntEnum):
    """What the process tells the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SUSPENDED = 3
    """Suspended or uncertain: somebody has to answer."""
    DEADLINE = 4
    INTERRUPTED = 130
    """And resumable."""


_BY_STATUS = {
    RunStatus.QUEUED: Exit.DONE,
    RunStatus.COMPLETED: Exit.DONE,
    RunStatus.FAILED: Exit.FAILED,
    RunStatus.CANCELLED: Exit.FAILED,
    RunStatus.SUSPENDED: Exit.SUSPENDED,
    RunStatus.UNCERTAIN: Exit.SUSPENDED,
    RunStatus.DEADLINE_MISSED: Exit.DEADLINE,
}


def code_of_status(status: str) -> Exit:
    """The exit code of a run that ended so."""
    return _BY_STATUS.get(RunStatus(status), Exit.FAILED)


def code_of(error: Exception) -> Exit:
    """The exit code of an error that is not the outcome of a run."""
    if isinstance(error, InputError | ConfigError | CompileError | RunLeased | StoreVersionError):
        return Exit.USAGE
    if isinstance(error, DeadlineExceeded):
        return Exit.DEADLINE
    if isinstance(error, UncertainWrite):
        return Exit.SUSPENDED
    return Exit.FAILED


def fail(message: str) -> None:
    """Tell the user what went wrong, on standard error."""
    sys.stdout.flush()
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {message}", err=True)


def internal(error: Exception, arguments: Sequence[str]) -> str:
    """What a bug of ours says: what happened, where, and what to report."""
    import platform
    import shlex

    from agentvm import __version__

    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return (
        f"{type(error).__name__}: {error}{where}\n"
        "This is a bug in AgentVM. Please report it with these lines and the traceback:\n"
        f"  AgentVM {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"  agentvm --traceback {shlex.join(arguments)}"
    )
