"""Values of a hundred megabytes: kept in chunks, within bounded memory."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentvm_runtime.errors import StoreError
from agentvm_runtime.records import Event, EventKind
from agentvm_runtime.store import open_store
from agentvm_runtime.store.keeping import CHUNK
from agentvm_runtime.values import decode, digest, encode

EVENT = Event(EventKind.DONE, "tool#1")

# Stores or loads a value of so many megabytes, and prints by how many it grew at its most.
PROGRAM = """
import asyncio, os, resource, sys
from agentvm_runtime.records import Event, EventKind
from agentvm_runtime.store import open_store
from agentvm_runtime.values import decode, digest, encode

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main(url, doing, size):
    store = open_store(url)
    await store.open()
    await store.append("run", Event(EventKind.DONE, "warm"), {"w": encode(os.urandom(2 << 20))}).wait()
    await store.values(["w"])
    if doing == "store":
        value = os.urandom(size << 20)
        before = most()
        data = encode(value)
        await store.append("run", Event(EventKind.DONE, "large", value="large"), {"large": data}).accepted()
    else:
        before = most()
        value = decode((await store.values(["large"]))["large"])
        assert len(value) == size << 20
    print(most() - before)
    await store.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def grew(url: str, doing: str, size: int) -> float:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, doing, str(size)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    return float(done.stdout)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return new()
    return f"sqlite+aiosqlite:///{tmp_path}/runs.db"


async def test_a_hundred_megabytes_take_little_more_than_themselves(url: str) -> None:
    """Storing takes the value's bytes once more and some chunks; loading, its bytes twice."""
    assert grew(url, "store", 100) < 100 + 40
    assert grew(url, "load", 100) < 2 * 100 + 60


@pytest.mark.parametrize("size", [CHUNK - 20, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 17])
async def test_values_around_chunks_come_back(url: str, size: int) -> None:
    """Whatever the size, text and bytes are as they were; of equal ones one is kept."""
    store = open_store(url)
    await store.open()
    for value in (os.urandom(size), "x" * size, [os.urandom(size), {"a": bytearray(b"y" * size)}]):
        data = encode(value)
        name = digest(data)
        store.append("run", EVENT, {name: data})
        await store.append("run", EVENT, {name: data}).wait()
        found = await store.values([name])
        assert found == {name: data}
        assert decode(found[name]) == value
    await store.aclose()


async def test_a_lost_chunk_is_an_error(tmp_path: Path) -> None:
    """A value of which a part is gone is damaged, not shorter."""
    store = open_store(tmp_path / "runs.db")
    await store.open()
    data = encode(os.urandom(3 * CHUNK))
    await store.append("run", EVENT, {digest(data): data}).wait()
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("DELETE FROM chunks WHERE number = 2")
    connection.close()
    with pytest.raises(StoreError, match="damaged: chunk 2"):
        await store.values([digest(data)])
    await store.aclose()


async def test_large_values_wait_for_the_disk(tmp_path: Path) -> None:
    """However far a run may be ahead, it does not hold many large values in memory."""
    for mode in ("group", "exit"):
        store = open_store(tmp_path / f"{mode}.db", durability=mode)
        await store.open()
        data = encode(os.urandom(2 * CHUNK))
        commit = store.append("run", EVENT, {digest(data): data})
        await commit.accepted()
        with sqlite3.connect(tmp_path / f"{mode}.db") as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
        connection.close()
        await store.aclose()


async def test_a_new_file_can_shrink(tmp_path: Path) -> None:
    """Pages that are freed can be given back to the system a few at a time."""
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    data = encode(os.urandom(4 * CHUNK))
    await store.append("run", EVENT, {digest(data): data}).wait()
    await store.aclose()
    before = path.stat().st_size
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    with connection:
        connection.execute("DELETE FROM chunks")
    connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page and stop
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert path.stat().st_size < before / 10
