"""Kill a process in the middle of a run, and have another one resume it.

Whoever is measured brings a module that can be run with `start URL COUNT`, which
prints `REACHED` when so many nodes are done and then waits to be killed, and with
`resume URL`, which prints what it found.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from .figures import Found, Taken

START, RESUME, REACHED = "start", "resume", "reached"
ROOT = Path(__file__).resolve().parents[2]


def kill_and_resume(module: str, url: str, count: int, after: float) -> Found:
    """What the process found that resumes; the other one is killed so many seconds after it has told."""
    with subprocess.Popen(
        [sys.executable, "-m", module, START, url, str(count)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        told = any(line.strip() == REACHED for line in running.stdout)
        time.sleep(after)
        running.kill()
    if not told:
        raise RuntimeError(f"{module} ended before it was killed")
    done = subprocess.run(
        [sys.executable, "-m", module, RESUME, url], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
    )
    return {key: Taken(*taken) for key, taken in json.loads(done.stdout.splitlines()[-1]).items()}


def as_party(
    start: Callable[[str, int], Awaitable[None]],
    resume: Callable[[str], Awaitable[Found]],
    arguments: Sequence[str],
) -> None:
    """Be one of the two processes, as the command line says."""

    async def main() -> None:
        if arguments[1] == START:
            return await start(arguments[2], int(arguments[3]))
        found = await resume(arguments[2])
        print(json.dumps({key: [taken.value, taken.processor] for key, taken in found.items()}), flush=True)
        os._exit(0)  # whatever still runs

    asyncio.run(main())
