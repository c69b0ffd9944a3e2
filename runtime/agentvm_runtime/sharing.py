"""Shared work: results that come from other runs and go to them.

Looked for among what this process is doing right now, then in the memo of all
runs, then among what other processes do; only if nobody did it or does it is it
done here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from .claims import POLL, POLL_MAX, PREFIX, Claim, Claimed
from .errors import StoreError
from .flights import Landed
from .reasons import AGAIN, NO_MEMO, OWN, PASSED, WRITE, WROTE
from .records import Source
from .restoring import objects
from .values import copy_value, decode, digest, encode
from .work import Outcome, Work

if TYPE_CHECKING:
    from .journaling import Journal
    from .session import Session

_MEMO = Source.MEMO
Execute = Callable[[], Awaitable[Outcome]]


def unshared(journal: Journal, work: Work) -> str:
    """Why the result is for this run only (see `reasons`); empty if it may come from and go to others.

    A read's does not once this run has written: it must see what was written.
    """
    if work.write:
        return WRITE
    if not work.shared:
        return OWN
    if not journal.memo:
        return NO_MEMO
    if work.arguments is not None and _passes_objects(*work.arguments):
        return PASSED
    if journal.lineage is not None and journal.lineage.is_again(work.path):
        return AGAIN
    if work.ttl is None:
        return ""
    wrote = journal.history.wrote or (journal.lineage is not None and journal.lineage.wrote)
    return WROTE if wrote else ""


async def perform_shared(session: Session, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
    """Use a result that some run left or is about to leave; do the work if there is none."""
    while True:
        flight = session.flights.join(work.shared)
        if flight is None:
            # Before the memo is read: between looking there and taking off, another could have landed.
            flight = session.flights.lead(work.shared)
            try:
                found = await _memoised(session, work)
                value = await _alone(session, work, execute) if found is None else found[0]
                flight.succeed(value)
                return value
            finally:
                session.flights.land(work.shared)
        outcome = await flight.wait()
        if outcome is not None:
            value = copy_value(outcome[0])
            data = encode(value)
            values = {digest(data): data}
            note = session.note(work, digest(data), Source.SHARED, time.time(), {}, values)
            await session.accepted(note)
            return value
        # The one who did it failed or was cancelled: do it ourselves.


async def _memoised(session: Session, work: Work) -> Landed | None:
    """The result that some run left in the memo."""
    found = await session.answered(session.store.shared_result(work.shared, ahead=work.ticket is None))
    if found is None:
        return None
    entry, data = found
    try:
        value = decode(data)
    except StoreError:  # its class was changed since, say: this run can have a result of its own
        return None
    detail = {"from": f"{entry.run_id}/{entry.path}"}
    # With the value: whoever collects old runs may just be removing it.
    note = session.note(work, entry.value, _MEMO, time.time(), detail, {entry.value: data})
    if not note.at_once:
        await session.accepted(note)
    return (value,)


async def _alone(session: Session, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
    """Do the work unless another process does; then wait for what comes of it."""
    if not session.store.shared:
        return await session.execute(work, execute)
    wait = POLL
    while True:
        if await session.answered(session.store.lease_of(PREFIX + work.shared)) is None:
            try:
                return await _claimed(session, work, execute)
            except Claimed:
                pass
        await anyio.sleep(wait)
        wait = min(wait * 1.5, POLL_MAX)
        found = await _memoised(session, work)
        if found is not None:
            return found[0]


async def _claimed(session: Session, work: Work, execute: Callable[[], Awaitable[Outcome]]) -> Any:
    """Do the work under a claim. Raises Claimed."""
    claim = Claim(session.store, work.shared, session.flights.holder)
    if work.node != "llm":
        return await claim.during(lambda: session.execute(work, execute))
    await session.answered(claim.acquire())

    async def unless_done() -> Any:
        found = await _memoised(session, work)  # whoever had the claim may just have let go of it
        return found[0] if found is not None else await session.execute(work, execute)

    return await claim.during(unless_done)


def _passes_objects(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a callee is given anything that it could change."""
    return bool(objects((*args, *kwargs.values())))
