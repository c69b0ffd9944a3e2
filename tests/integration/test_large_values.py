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
from agentvm_runtime.records import Event, EventKind, RunRecord
from agentvm_runtime.store import open_store
from agentvm_runtime.store.keeping import CHUNK
from agentvm_runtime.values import decode, digest, encode

EVENT = Event(EventKind.DONE, "tool#1")

# Stores or loads a value of so many megabytes, and prints by how many it grew at its most.
PROGRAM = """
import asyncio, os, sys
from agentvm_runtime.records import Event, EventKind
from agentvm_runtime.store import open_store
from agentvm_runtime.values import decode, digest, encode

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

# Moves a run to a file or from it, and prints by how many megabytes it grew at its most.
MOVING = """
import asyncio, sys
from pathlib import Path
from agentvm.archive import read_archive, write_archive
from agentvm_runtime.store import open_store

async def main(url, doing, file):
    store = open_store(url)
    await store.open()
    before = most()
    if doing == "export":
        await write_archive(store, await store.get_run("run"), Path(file))
    else:
        await read_archive(store, Path(file))
    print(most() - before)
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


MOST = """
from benchmarks.memory import peak

def most():
    return peak() / (1 << 20)
"""


def grew(url: str, doing: str, size: int) -> float:
    return measured(PROGRAM, url, doing, str(size))


def measured(program: str, *arguments: str) -> float:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", MOST + program, *arguments],
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


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")


@linux
async def test_a_hundred_megabytes_take_little_more_than_themselves(url: str) -> None:
    """Storing takes the value's bytes once more and some chunks; loading, its bytes twice."""
    assert grew(url, "store", 100) < 100 + 40
    assert grew(url, "load", 100) < 2 * 100 + 60


@linux
async def test_a_run_with_a_large_value_is_moved_within_bounded_memory(tmp_path: Path) -> None:
    """Its bytes are there once or twice and once as text, not seven times over, and come as they were."""
    size, file = 40, tmp_path / "run.avmrun.gz"
    data = encode(os.urandom(size << 20))
    here, there = (f"sqlite:///{tmp_path}/{name}.db" for name in ("here", "there"))
    store = open_store(here)
    await store.open()
    await store.create_run(RunRecord("run", "agents:main", "hash", digest(data), 1.0), {digest(data): data})
    await store.aclose()
    assert measured(MOVING, here, "export", str(file)) < 3 * size + 40
    assert measured(MOVING, there, "import", str(file)) < 4 * size + 40
    store = open_store(there)
    await store.open()
    assert await store.values([digest(data)]) == {digest(data): data}
    await store.aclose()


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
