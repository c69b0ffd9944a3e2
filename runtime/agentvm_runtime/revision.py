"""Which code a run is executed with, and whether it is that of the attempt before.

The program is kept with the run, so that a later attempt can tell what an edit
changed. A run that goes on with other code takes it for its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentvm_compiler.compile import Compiled
from agentvm_compiler.errors import CompileError
from agentvm_compiler.ir import Module

from .changes import Comparison, Names, compare
from .ports import Store
from .records import Digest, RunRecord
from .values import decode, digest, encode

MODULE = "module"
"""In a run's `meta`: digest of the program's canonical JSON."""
NAMES = "names"
"""In a run's `meta`, once its code was edited: what nodes are called where that is not their site."""

MEMO = "memo"
"""In a run's `meta`: false if it neither uses nor leaves results that runs share."""


@dataclass(frozen=True, slots=True)
class Revision:
    """The code of one attempt at a run."""

    names: Names = field(default_factory=dict)
    edited: bool = False
    """Whether any attempt at this run had other code than the first."""
    comparison: Comparison | None = None
    """With the attempt before; `None` if the code is the same."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What is new in the run's `meta`: nothing if the code is the same."""
    values: dict[Digest, bytes] = field(default_factory=dict)
    """What `meta` names."""


UNCHANGED = Revision()


def code_of(compiled: Compiled) -> tuple[Digest, bytes]:
    """The program with all it calls, as a value of the store."""
    known: tuple[Digest, bytes] | None = compiled.__dict__.get(_CODE)
    if known is None:
        data = encode(compiled.module.to_json())
        known = compiled.__dict__[_CODE] = digest(data), data
    return known


_CODE = "_agentvm_code"


async def revise(record: RunRecord, compiled: Compiled, store: Store) -> Revision:
    """The code a run goes on with, against that of the attempt before."""
    last: Digest | None = record.meta.get(MODULE)
    names: Names = record.meta.get(NAMES, {})
    edited = NAMES in record.meta
    name, data = code_of(compiled)
    if last in (None, name):
        return Revision(names, edited)
    assert last is not None
    old = await module_of(store, last)
    if old is None or old.hash == compiled.module.hash:
        return Revision(names, edited)
    found = compare(old, compiled.module, names)
    return Revision(found.names, True, found, {MODULE: name, NAMES: found.names}, {name: data})


async def module_of(store: Store, name: Digest) -> Module | None:
    """A recorded program; None if it is gone or was written by a version with another IR."""
    data = (await store.values([name])).get(name)
    try:
        return None if data is None else Module.from_json(decode(data))
    except CompileError:
        return None
