"""Looking up runs in a store, by id or by its beginning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agentvm_compiler.errors import InputError
from agentvm_runtime.records import RunRecord

if TYPE_CHECKING:
    from agentvm_runtime.ports import Store

_MANY = 100_000


@asynccontextmanager
async def opened(url: str | None, durability: str | None = None) -> AsyncIterator[Store]:
    """The store of that URL, or the default one, open while inside."""
    from agentvm.config import default_store
    from agentvm_runtime.store import open_store

    store = open_store(url or default_store(), durability=durability)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


async def read_run(text: str, url: str | None) -> RunRecord:
    """One run, from a store that is opened and closed for it."""
    async with opened(url) as store:
        return await find_run(store, text)


async def find_run(store: Store, text: str) -> RunRecord:
    """The run of that id, or the only one whose id begins so.

    Raises:
        InputError: none or several; the message names candidates.
    """
    exact = await store.get_run(text)
    if exact is not None:
        return exact
    found = [each for each in await store.list_runs(limit=_MANY) if text and each.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"There is no run {text!r} in this store. See them: agentvm runs (or give --store).")
    some = ", ".join(each.id for each in found[:5])
    raise InputError(f"{len(found)} runs begin with {text!r}: {some}. Give more of the id.")
