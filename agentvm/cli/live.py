"""Progress while a run goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from agentvm.durations import readable
from agentvm_runtime.records import Event, EventKind, Source

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from agentvm.handle import Run
    from agentvm_runtime.drafts import Draft
    from agentvm_runtime.progress import Progress

REFRESH = 0.125
"""Seconds between two looks at the progress."""
MOST_PATHS = 6
"""Running nodes named in the live view."""
WORDS = 60
"""Characters of a model's answer so far that are shown beside its call."""
STARTING = "starting the engine (most of a minute on a CPU)"


@asynccontextmanager
async def watching(run: Run, starting: Callable[[], bool] = bool) -> AsyncIterator[None]:
    """Show the run's progress on standard error while inside.

    Args:
        starting: whether the model's engine is being started, which calls wait for.
    """
    show = _live if sys.stderr.isatty() else _lines
    task = asyncio.create_task(show(run, starting))
    try:
        yield
    finally:
        # The last events come with the end of the run; a viewer that is stuck must not hold it up.
        await asyncio.wait([task], timeout=0 if show is _live else 1)
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def worth_a_line(event: Event) -> bool:
    """Whether a log should have it: blocks of Python are many and take no time, unless one fails."""
    if event.kind in (EventKind.ENDED, EventKind.INHERITED, EventKind.SCHEDULED):  # of a run, not of a call
        return False
    return event.node != "python" or event.kind is EventKind.FAILED


def line(event: Event, start: float) -> str:
    """One event for a log: when, what, how long, how many tokens."""
    at = max(event.started_at, event.finished_at) - start  # what has only begun has no end
    parts = [f"[{max(at, 0):7.2f}s]", f"{event.kind:<7}", event.path]
    if event.node:
        parts.append(f"({event.node})")
    if event.kind in (EventKind.DONE, EventKind.FAILED):
        if event.source is Source.EXECUTED:
            parts.append(readable(event.finished_at - event.started_at))
        else:
            parts.append(f"from {event.source}")
    if "output_tokens" in event.detail:
        parts.append(f"{event.detail.get('input_tokens', 0)} in, {event.detail['output_tokens']} out")
    return " ".join(parts)


def table(
    progress: Progress, now: float, *, starting: bool = False, drafts: Mapping[str, Draft] | None = None
) -> RenderableType:
    """The live view: what is done, what runs, how fast, how long still, and what models say."""
    from rich.console import Group
    from rich.text import Text

    seconds = max(now - progress.started_at, 0.0)
    speed = progress.output_tokens / seconds if seconds > 0.5 else 0.0
    head = Text.assemble(
        (f"{progress.done}", "bold green"),
        f"/{max(progress.total_known, progress.done)} nodes done, ",
        (f"{progress.running}", "bold cyan"),
        f" running, {progress.reused} reused   ",
        (f"{progress.output_tokens}", "bold"),
        f" tokens ({speed:.1f}/s)   {readable(seconds)}   ",
        _left(progress.deadline_at, now),
    )
    paths = progress.running_paths
    rows = [_under_way(path, (drafts or {}).get(path)) for path in paths[:MOST_PATHS]]
    if len(paths) > MOST_PATHS:
        rows.append(Text(f"  and {len(paths) - MOST_PATHS} more", style="dim"))
    if starting:
        rows.append(Text(f"  {STARTING}", style="yellow"))
    return Group(head, *rows)


def _under_way(path: str, draft: Draft | None) -> Text:
    """A call under way, with the last words of its answer."""
    from rich.text import Text

    row = Text(f"  {path}", style="dim", no_wrap=True, overflow="ellipsis")
    if draft is not None:
        # What moves a cursor or colours a terminal is not the model's to say.
        words = "".join(each if each.isprintable() else " " for each in draft.said()[1][-WORDS:])
        row.append(f"  {' '.join(words.split())}", style="not dim")
    return row


def _left(deadline_at: float | None, now: float) -> tuple[str, str]:
    if deadline_at is None:
        return ("no deadline", "dim")
    left = deadline_at - now
    if left < 0:
        return (f"deadline missed by {readable(-left)}", "bold red")
    return (f"{readable(left)} left", "yellow" if left < 10 else "green")


async def _live(run: Run, starting: Callable[[], bool]) -> None:
    from rich.console import Console
    from rich.live import Live

    # What the user's code prints stays on standard output, unless that is the same terminal.
    same = sys.stdout.isatty()
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=same) as live:
        while True:
            shown = table(run.progress, time.time(), starting=starting(), drafts=run.drafts)
            live.update(shown, refresh=True)
            await asyncio.sleep(REFRESH)


async def _lines(run: Run, starting: Callable[[], bool]) -> None:
    start = run.record.created_at
    notice = asyncio.create_task(_tell_once(starting))
    try:
        async for event in run.events():
            if worth_a_line(event):
                print(line(event, start), file=sys.stderr, flush=True)
    finally:
        notice.cancel()


async def _tell_once(starting: Callable[[], bool]) -> None:
    while not starting():  # noqa: ASYNC110 - a backend has no event to wait for
        await asyncio.sleep(REFRESH)
    print(STARTING, file=sys.stderr, flush=True)
