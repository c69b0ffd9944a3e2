"""Mailboxes: what other processes tell a run.

The journal of a run has one writer, the process that drives it. What anybody
else has to say (an answer, an earlier deadline, a wish to cancel) goes to the run's *mailbox*, a
journal of its own in the same store that anyone may append to. The driver reads
it beside its heartbeat, acts on it, and journals what came of it; a message is
never removed, so one that arrives while nobody drives the run waits.
"""

from __future__ import annotations

from collections.abc import Mapping

from .ports import Store
from .records import Digest, Event, EventKind

MESSAGES = frozenset({EventKind.ANSWERED, EventKind.CANCELLED, EventKind.TIGHTENED})


_SUFFIX = "#mail"


def mailbox_of(run_id: str) -> str:
    """The id under which a run's mailbox is kept as a journal."""
    return f"{run_id}{_SUFFIX}"


def is_mailbox(journal: str) -> bool:
    """Whether a journal of that id is a mailbox, not a run's own."""
    return journal.endswith(_SUFFIX)


async def post(
    store: Store, run_id: str, message: Event, values: Mapping[Digest, bytes] | None = None
) -> None:
    """Leave a message for whoever drives the run, now or later; returns once it is durable."""
    assert message.kind in MESSAGES
    await store.append(mailbox_of(run_id), message, values).wait()


async def read(store: Store, run_id: str) -> list[Event]:
    """All messages a run was ever sent, oldest first."""
    return await store.events(mailbox_of(run_id))
