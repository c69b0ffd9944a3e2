"""Attending to a run while it is driven: its mailbox, and when to suspend it.

This goes on beside the program. Messages are answers, which calls may be
waiting for, earlier deadlines, and the wish to cancel. A run of which nothing is under way while
some calls wait for answers is suspended.
"""

from __future__ import annotations

from contextlib import suppress

import anyio

from .deadlines import tighten
from .errors import Halt, RunCancelled
from .mailbox import read
from .questions import question_of, suspension
from .records import DEADLINE, EventKind
from .session import Session

POLL_SECONDS = 0.5
"""How often the mailbox is looked at; so long it may take until another process is heard."""
MANY = 32
"""Runs in one process beyond which each is looked at less often, so that all cost no more."""

_attended = 0
"""Runs this process attends to."""


async def attend(session: Session) -> None:
    """Take messages as they come; returns when the run is stopped because of one, or suspended."""
    global _attended
    _attended += 1
    try:
        await _attend(session)
    finally:
        _attended -= 1


async def _attend(session: Session) -> None:
    heard = 0
    while not session.halted:
        heard = await take_messages(session, heard)
        if await session.activity.stays_quiet():
            heard = await take_messages(session, heard)
            if session.activity.quiet:
                _suspend(session)
                return
        with anyio.move_on_after(POLL_SECONDS * max(1.0, _attended / MANY)):
            await session.activity.changed()


async def take_messages(session: Session, heard: int = 0) -> int:
    """Act on the messages after number `heard`; returns the number of the last."""
    for message in await read(session.store, session.record.id):
        if message.seq <= heard:
            continue
        heard = message.seq
        if message.kind is EventKind.CANCELLED:
            session.stop(RunCancelled(f"Run {session.record.id} was cancelled."))
        elif message.kind is EventKind.TIGHTENED:
            with suppress(Halt):  # the store cannot be written, of which the run learns by itself
                tighten(session, message.detail[DEADLINE])
        elif message.kind is EventKind.ANSWERED:
            session.activity.give(message)
    return heard


def _suspend(session: Session) -> None:
    waiting = {path for path, _ in session.activity.waiting}
    asked = [question_of(each) for path, each in session.history.asked.items() if path in waiting]
    session.stop(suspension(session.record.id, asked))
