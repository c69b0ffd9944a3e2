"""Opening a session: what a run has done, what it inherits, and what of its code has changed.

The journal is read in one pass; nothing is executed and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from agentvm_compiler.compile import Compiled

from .errors import Halt
from .flights import Flights
from .forking import chain_of
from .inputs import inputs_of
from .lineage import Lineage, inheritance
from .ports import ModelBackend, Store
from .profiling import Observations
from .questions import Human
from .recalling import Recalled
from .records import Event, RunRecord, named, remembered
from .rehearsal import Preview, Rehearsal, rehearse
from .revision import MEMO, revise
from .session import Session
from .skipping import Skip, allowed, needed, skips_of

S = TypeVar("S", bound=Session)


async def open_session(
    record: RunRecord,
    compiled: Compiled,
    store: Store,
    backend: ModelBackend,
    flights: Flights,
    *,
    retry: bool = False,
    human: Human | None = None,
) -> Session:
    """Read the run's journal, in one pass, into a session.

    Args:
        retry: forget the failure that ended the run, so that its work is done again.
        human: who answers questions here; without anybody the run is suspended for them.

    Raises:
        InputError: the code was edited, and takes an input that the run does not have.
    """
    journal = await read_journal(store, record, retry)
    session = await session_on(Session, journal, record, compiled, store, backend, flights, human)
    if compiled.hash != record.program:
        with told():
            inputs_of(session, compiled)
    return session


async def preview(
    record: RunRecord, compiled: Compiled, store: Store, backend: ModelBackend, *, retry: bool = False
) -> Preview:
    """What resuming the run would keep and do again. Does nothing and records nothing. Raises InputError."""
    journal = await read_journal(store, record, retry)
    session = await session_on(Rehearsal, journal, record, compiled, store, backend, Flights())
    with told():
        return await rehearse(session, compiled, journal)


@contextmanager
def told() -> Iterator[None]:
    """A store that could not be read is an error of whoever opens the session."""
    try:
        yield
    except Halt as halt:
        raise halt.error from None


async def read_journal(store: Store, record: RunRecord, retry: bool) -> list[Event]:
    """The run's journal without the failures that were to be forgotten, then or now."""
    return remembered(await store.events(record.id), record.error if retry else None)


async def inherited(store: Store, record: RunRecord, compiled: Compiled) -> tuple[Lineage | None, list[Skip]]:
    """What a fork takes over, and which iterations of loops as a whole."""
    chain = await chain_of(store, record)
    if not chain:
        return None, []
    skips = skips_of(compiled.module, record, chain) if compiled.hash == record.program else []
    if skips:
        fork = chain[0][1]
        lineage = await inheritance(store, chain, needed(skips))
        if allowed(skips, lineage, [*fork.given, *fork.again]):
            return lineage, skips
    return await inheritance(store, chain), []


async def session_on(
    kind: type[S],
    journal: list[Event],
    record: RunRecord,
    compiled: Compiled,
    store: Store,
    backend: ModelBackend,
    flights: Flights,
    human: Human | None = None,
) -> S:
    lineage, skips = await inherited(store, record, compiled)
    earlier = Observations.from_json(await store.profile(record.agent))
    revision = await revise(record, compiled, store)
    return kind(
        record,
        store,
        backend,
        flights,
        journal,
        Recalled(store, [record.inputs, *(name for each in journal for name in named(each))]),
        earlier=earlier,
        revision=revision,
        lineage=lineage,
        skips=skips,
        human=human,
        memo=record.meta.get(MEMO, True),
    )
