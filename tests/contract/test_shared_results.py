"""Results that runs share, read one after the other as a run does that finds all it does done."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agentvm_runtime.ports import Store
from agentvm_runtime.records import Event, EventKind, MemoEntry, RunRecord, Source
from agentvm_runtime.store import open_store
from agentvm_runtime.store.sealing import VARIABLE
from agentvm_runtime.values import digest, encode, key_digest

KEYS = [key_digest(number) for number in range(40)]
VALUES = [encode("x" * (10_000 if number == 25 else number)) for number in range(40)]
RUN = RunRecord("first", "agents:main", "hash", digest(encode({})), 100.0)
FOUND = Event(EventKind.DONE, "tool#1", source=Source.MEMO)


@pytest.fixture(params=["memory", "sqlite", "encrypted", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of each kind, where nothing is yet."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return new()
    if request.param == "encrypted":
        pytest.importorskip("cryptography", reason="not installed: pip install 'agentvm[encryption]'")
        monkeypatch.setenv(VARIABLE, base64.b64encode(os.urandom(32)).decode())
    return "memory" if request.param == "memory" else f"sqlite+aiosqlite:///{tmp_path}/runs.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """With forty results, which a run left one after the other."""
    store = open_store(url)
    await store.open()
    await store.create_run(RUN, {})
    for number, key in enumerate(KEYS):
        name = digest(VALUES[number])
        memo = MemoEntry(key, name, "first", f"tool#{number}", float(number))
        last = store.append("first", replace(FOUND, value=name), {name: VALUES[number]}, memo)
    await last.wait()
    yield store
    await store.aclose()


async def found(store: Store, key: str) -> bytes | None:
    result = await store.shared_result(key, ahead=True)
    if result is None:
        return None
    entry, data = result
    assert (entry.key, entry.value) == (key, digest(data))
    return data


@pytest.mark.parametrize(
    "order", [range(40), range(39, -1, -1), [n for m in range(0, 40, 2) for n in (m + 1, m)], [3, 3, 4, 4, 5]]
)
async def test_each_key_has_its_result_in_whatever_order_they_are_asked_for(store: Store, order) -> None:
    """What is read along with a result is found as if it were read by itself, large or small."""
    assert [await found(store, KEYS[n]) for n in order] == [VALUES[n] for n in order]
    assert await found(store, key_digest("nothing of it")) is None


async def test_results_in_a_row_are_read_together(tmp_path: Path, url: str, store: Store) -> None:
    """A run that finds what another left in the same order asks the database a few times only."""
    if not url.startswith("sqlite"):
        pytest.skip("only SQLite numbers its rows")
    asked: list[str] = []
    store._reader._connection.set_trace_callback(asked.append)  # type: ignore[attr-defined]
    assert [await found(store, key) for key in KEYS[:25]] == VALUES[:25]
    assert len(asked) < 6


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_result_that_was_taken_back_is_not_found(url: str, store: Store, elsewhere: bool) -> None:
    """Neither here nor where it had been read ahead already."""
    for key in KEYS[:8]:
        await found(store, key)
    other = open_store(url) if elsewhere and url != "memory" else store
    if other is not store:
        await other.open()
    for key in KEYS[8:]:
        assert await other.forget(key)
    assert [await found(store, key) for key in KEYS[8:]] == [None] * 32
    if other is not store:
        await other.aclose()


async def test_what_was_executed_may_have_taken_results_back(tmp_path: Path, url: str, store: Store) -> None:
    """After something was done, also at once and without waiting, nothing counts that was read before."""
    if not url.startswith("sqlite"):
        pytest.skip("no file to change by hand")
    for key in KEYS[:8]:
        await found(store, key)
    with sqlite3.connect(tmp_path / "runs.db") as by_hand:
        by_hand.execute("DELETE FROM memo")
    by_hand.close()
    store.append("first", replace(FOUND, source=Source.EXECUTED))
    assert [await found(store, key) for key in KEYS[8:]] == [None] * 32


async def test_entries_on_their_way_are_all_found(tmp_path: Path) -> None:
    """Where results are written at the end only, thousands of them are found before."""
    store = open_store(f"sqlite+aiosqlite:///{tmp_path}/runs.db", durability="exit")
    await store.open()
    await store.create_run(RUN, {})
    names = [key_digest(("many", number)) for number in range(3000)]
    for number, key in enumerate(names):
        name = digest(encode(number))
        store.append(
            "first", replace(FOUND, value=name), {name: encode(number)}, MemoEntry(key, name, "first")
        )
    assert [await found(store, names[n]) for n in (0, 1500, 2999)] == [encode(n) for n in (0, 1500, 2999)]
    await store.aclose()
