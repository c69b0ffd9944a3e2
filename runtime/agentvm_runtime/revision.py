"""Which code a run is executed with, and whether it is that of the attempt before.

The program is kept with the run, so that a later attempt can tell what an edit
changed. A resumption with other code says so in the journal; the code of a run
is that of its last such entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentvm_compiler.compile import Compiled
from agentvm_compiler.errors import CompileError
from agentvm_compiler.ir import Module

from .changes import Comparison, Names, compare
from .ports import Store
from .records import Digest, Event, EventKind, RunRecord
from .values import decode, digest, encode

MODULE = "module"
"""In a run's `meta` and in the detail of a resumption: digest of the program's canonical JSON."""
NAMES = "names"
"""The same for what its nodes are called in the run, where that is not their site."""


@dataclass(frozen=True, slots=True)
class Revision:
    """The code of one attempt at a run."""

    names: Names = field(default_factory=dict)
    edited: bool = False
    """Whether any attempt at this run had other code than the first."""
    comparison: Comparison | None = None
    """With the attempt before; `None` if the code is the same."""
    detail: dict[str, Any] = field(default_factory=dict)
    """For the journal: nothing if the code is the same."""
    values: dict[Digest, bytes] = field(default_factory=dict)
    """What `detail` names."""


UNCHANGED = Revision()


def code_of(compiled: Compiled) -> tuple[Digest, bytes]:
    """The program with all it calls, as a value of the store."""
    known: tuple[Digest, bytes] | None = compiled.__dict__.get(_CODE)
    if known is None:
        data = encode(compiled.module.to_json())
        known = compiled.__dict__[_CODE] = digest(data), data
    return known


_CODE = "_agentvm_code"


async def revise(record: RunRecord, journal: Sequence[Event], compiled: Compiled, store: Store) -> Revision:
    """The code a run goes on with, against that of the attempt before."""
    last, names, edited = _latest(record, journal)
    name, data = code_of(compiled)
    if last in (None, name):
        return Revision(names, edited)
    assert last is not None
    old = await _module(store, last)
    if old is None or old.hash == compiled.module.hash:
        return Revision(names, edited)
    found = compare(old, compiled.module, names)
    detail = {"program": compiled.hash, MODULE: name, NAMES: found.names}
    return Revision(found.names, True, found, detail, {name: data})


def _latest(record: RunRecord, journal: Sequence[Event]) -> tuple[Digest | None, Names, bool]:
    """Program and names of the attempt before, and whether the code was edited by then."""
    for event in reversed(journal):
        if event.kind is EventKind.RESUMED and MODULE in event.detail:
            return Digest(event.detail[MODULE]), event.detail[NAMES], True
    return record.meta.get(MODULE), record.meta.get(NAMES, {}), bool(record.meta.get(NAMES))


async def _module(store: Store, name: Digest) -> Module | None:
    """A recorded program; None if it is gone or was written by a version with another IR."""
    data = (await store.values([name])).get(name)
    try:
        return None if data is None else Module.from_json(decode(data))
    except CompileError:
        return None
