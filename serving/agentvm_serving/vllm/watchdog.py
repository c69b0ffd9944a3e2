"""A small process that makes a server and its children end with their owner.

The owner holds the write end of a pipe that the server has as standard input.
When the owner ends, however it ends, the kernel closes the pipe; the watchdog
then ends the server's whole process group. It is forked before the server loads
anything, so it is small, holds no lock of the server's, and still acts when the
server hangs or is killed itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
from pathlib import Path

FOLDER_PREFIX = "agentvm-engine-"
"""How the folder of a socket is called that was made for it alone, and goes with it."""

GRACE_SECONDS = 10.0
"""How long the group has to end by itself before it is killed."""


def guard(socket: str | None = None, grace: float = GRACE_SECONDS) -> None:
    """Tie this process' group to whoever holds the other end of standard input.

    Makes this process the leader of its own session if it is not. Call it once,
    first thing, while the process has one thread.

    Args:
        socket: the server's Unix socket, to be removed in the end.
        grace: seconds the group has to end by itself.
    """
    if os.getpgrp() != os.getpid():
        os.setsid()
    server, owner, pipe = os.getpid(), os.getppid(), os.dup(0)
    if os.fork() == 0:
        try:
            _watch(server, owner, pipe, socket, grace)
        finally:
            os._exit(0)
    os.close(pipe)
    # The server itself must never read, or be offered, the pipe.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _watch(server: int, owner: int, pipe: int, socket: str | None, grace: float) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    server_end = _end_of(server)
    # The owner is watched apart from its pipe, for a child it forked may hold the pipe open.
    ends = [fd for fd in (server_end, _end_of(owner)) if fd is not None]
    while True:
        # Without process descriptors (not Linux) the server's end shows as a change of parent.
        ready, _, _ = select.select([pipe, *ends], [], [], None if server_end is not None else 1.0)
        if any(fd in ready for fd in ends) or os.getppid() != server:
            break
        if pipe in ready and not _drain(pipe):
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(server, signal.SIGTERM)
    if server_end is not None:
        select.select([server_end], [], [], grace)
    print(
        "agentvm: the owner of this engine has ended, or the engine has; ending its processes",
        file=sys.stderr,
    )
    if socket is not None:
        with contextlib.suppress(OSError):
            path = Path(socket)
            path.unlink()
            if path.parent.name.startswith(FOLDER_PREFIX):
                shutil.rmtree(path.parent, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # the watchdog included


def _end_of(process: int) -> int | None:
    """A descriptor that becomes readable when the process ends; `None` where there is none."""
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(process))
    except OSError:  # already gone, which the pipe or the parent's change will show; or an old kernel
        return None


def _drain(pipe: int) -> bool:
    """Whether the pipe is still held."""
    return bool(os.read(pipe, 4096))
