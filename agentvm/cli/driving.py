"""Driving a run from the command line: announce it, follow it, report it.

Progress, logs and the run id go to standard error; standard output carries the
answer, or with `--json` one document, and nothing else. SIGINT and SIGTERM stop
the process and leave the run resumable.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from agentvm_compiler.errors import AgentVMError
from agentvm_runtime.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    RunCancelled,
    RunFailed,
    RunSuspended,
    UncertainWrite,
)

from .exits import Exit, code_of_status, heard, tell
from .options import resume_command

if TYPE_CHECKING:
    from agentvm.handle import Run
    from agentvm.vm import AgentVM

OUTCOMES = (RunFailed, RunSuspended, DeadlineExceeded, RunCancelled, UncertainWrite, BudgetExceeded)
"""Errors that are the end of a run, as against a failure to drive it."""


def drive(
    begin: Callable[[AgentVM], Awaitable[Run]],
    *,
    store: str | None,
    llm: str | None,
    durability: str | None = None,
    as_json: bool,
    out: TextIO,
) -> int:
    """Start or resume a run, follow it to its end, and return the exit code.

    Args:
        begin: starts or resumes the run.
        out: where the answer or the JSON document goes (see `clean_stdout`).
    """
    known: list[Run] = []
    code = stoppable(
        lambda: _follow(begin, known, store=store, llm=llm, durability=durability, as_json=as_json, out=out),
        lambda: _say_interrupted(known, store, out if as_json else None),
    )
    return Exit.INTERRUPTED if code is None else code


def stoppable(work: Callable[[], Awaitable[int]], told: Callable[[], None]) -> int | None:
    """Do the work; SIGINT and SIGTERM cancel it, and a second one ends the process at once.

    Args:
        told: called when it was stopped.

    Returns:
        What the work returns; None if it was stopped.
    """
    interrupted: list[int] = []

    async def follow() -> int:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if interrupted:  # asked twice: do not wait for an orderly end
                told()
                os._exit(Exit.INTERRUPTED)
            interrupted.append(number)
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await work()

    try:
        return asyncio.run(follow())
    except (asyncio.CancelledError, KeyboardInterrupt, Exception):
        if not interrupted:
            raise
        told()
        return None


@contextmanager
def clean_stdout(wanted: bool) -> Iterator[TextIO]:
    """Give a stream to the real standard output, and while inside send all else to standard error.

    On the level of file descriptors, so that what the user's code or an engine's
    process prints does not get into a JSON document.
    """
    sys.stdout.flush()
    if not wanted:
        yield sys.stdout
        return
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(real, "w", encoding="utf-8", closefd=False) as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


async def _follow(
    begin: Callable[[AgentVM], Awaitable[Run]],
    known: list[Run],
    *,
    store: str | None,
    llm: str | None,
    durability: str | None = None,
    as_json: bool,
    out: TextIO,
) -> int:
    from agentvm.config import default_llm, default_store
    from agentvm.vm import AgentVM

    from .live import watching
    from .report import print_report

    async with AgentVM(store=store or default_store(), llm=llm or default_llm(), durability=durability) as vm:
        began = time.monotonic()
        handle = await begin(vm)
        known.append(handle)
        with heard(sys.stderr):
            print(f"run {handle.id}", file=sys.stderr, flush=True)
        failure: AgentVMError | None = None
        result: Any = None
        try:
            async with watching(handle, lambda: bool(getattr(vm.backend, "starting", False))):
                result = await handle.result()
        except OUTCOMES as error:
            failure = error
        except AgentVMError:
            print(f"The run can go on: {resume_command(handle.id, store)}", file=sys.stderr)
            raise
        report = await handle.report()
        seconds = time.monotonic() - began
        with heard(out):
            print_report(
                report, handle.record, result, failure, as_json=as_json, out=out, store=store, seconds=seconds
            )
        return code_of_status(report.status)


def _say_interrupted(known: list[Run], store: str | None, out: TextIO | None) -> None:
    """Say how to go on; `out` gets the JSON document."""
    message = "Interrupted before the run began."
    if known:
        message = f"Interrupted. Go on with: {resume_command(known[0].id, store)}"
    print(f"\n{message}", file=sys.stderr, flush=True)
    if out is not None:
        with heard(out):
            tell({**(_so_far(known[0]) if known else {}), "status": "interrupted", "error": message}, out)


def _so_far(run: Run) -> dict[str, Any]:
    """What the JSON document of an interrupted run says, with what this process knows of it."""
    done = run.progress
    return {
        "run": run.id,
        "agent": run.record.agent,
        "status": "interrupted",
        "result": None,
        "error": None,
        "nodes": {"total": done.done, "executed": done.executed, "reused": done.reused},
        "tokens": {"input": done.input_tokens, "output": done.output_tokens},
        "seconds": round(max(0.0, time.time() - done.started_at), 3),
        "deadline_met": None,
    }
