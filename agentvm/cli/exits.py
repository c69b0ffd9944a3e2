"""Exit codes (design, section 8), and how an error is told to the user."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any, TextIO

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
    flush_or_drop(sys.stdout)
    with suppress(OSError):  # what cannot be written may be what went wrong
        typer.echo(f"{typer.style('error:', fg='red', bold=True)} {message}", err=True)
    flush_or_drop(sys.stderr)


_FILE_COMMANDS = ("bench", "plan")
"""Their `--json` names a file."""
_told: list[dict[str, Any]] = []


def tell(document: dict[str, Any], out: TextIO) -> None:
    """Print the one JSON document of a command with `--json`."""
    _told.append(document)
    print(json.dumps(document, ensure_ascii=False), file=out, flush=True)


def tell_failure(arguments: Sequence[str], error: str, code: int) -> None:
    """The document of a command with `--json` that has printed none, as it could not do what it was asked."""
    if "--json" not in arguments or arguments[0] in _FILE_COMMANDS or _told:
        return
    with suppress(OSError):
        tell({"status": "interrupted" if code == Exit.INTERRUPTED else "error", "error": error}, sys.stdout)
    flush_or_drop(sys.stdout)


@contextmanager
def heard(out: TextIO) -> Iterator[None]:
    """Inside, what nobody reads any more (`| head`) is dropped: the exit code says how the run ended."""
    try:
        yield
    except BrokenPipeError:
        for stream in (out, sys.stdout, sys.stderr):
            flush_or_drop(stream)


def flush_or_drop(stream: TextIO) -> None:
    """Write what is buffered. What cannot be is not tried again at the exit, whose code would be another."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def begin() -> None:
    """Before a command: nothing is told yet, and what the caller closed (`>&-`) has a place.

    Otherwise the store's file would get its number, and what is printed would be written into it.
    """
    _told.clear()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))


def of_the_system(error: OSError) -> str | None:
    """What to say of an error that is the machine's answer, and no bug of ours; None if it may be one."""
    if error.errno not in _REFUSALS:
        return None
    where = error.filename or "an output"
    return f"{where}: {error.strerror}. {_REFUSALS[error.errno]}, and try again."


_REFUSALS = {
    errno.EACCES: "Permit it, or choose another place",
    errno.EPERM: "Permit it, or choose another place",
    errno.ENOENT: "Check the path",
    errno.ENOTDIR: "Check the path",
    errno.EISDIR: "Check the path",
    errno.EROFS: "Choose a place that can be written",
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room",
    errno.EMFILE: "Allow more open files (ulimit -n)",
    errno.ENFILE: "Allow more open files",
}


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
