"""What stores keep when processes die, disks fill and neighbours interfere."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from agentvm_runtime.errors import StoreError, StoreVersionError
from agentvm_runtime.ports import Store
from agentvm_runtime.records import Digest, Event, EventKind, MemoEntry, RunRecord
from agentvm_runtime.store import open_store, this_holder
from agentvm_runtime.store.database import is_busy
from agentvm_runtime.values import digest, encode

RUN = RunRecord("run", "agents:main", "hash", Digest("0" * 40), 1.0)
EVENT = Event(EventKind.DONE, "llm#1", site="llm#1", node="llm")

# Appends for ever, several at a time, and prints each position once it is acknowledged.
APPENDER = """
import asyncio, sys
from agentvm_runtime.records import Event, EventKind, MemoEntry
from agentvm_runtime.store import open_store
from agentvm_runtime.values import digest, encode

async def main(path, run, width, limit):
    store = open_store(path)
    await store.open()
    number = 0
    while number < limit:
        commits = []
        for _ in range(width):
            number += 1
            data = encode([run, number, "x" * (number % 7) * 1000])
            value = digest(data)
            event = Event(EventKind.DONE, f"{run}/{number}", value=value)
            memo = MemoEntry(f"{run}/{number}", value, run)
            commits.append((number, store.append(run, event, {value: data}, memo)))
        for position, commit in commits:
            await commit.wait()
            print(position, flush=True)
    await store.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def spawn(path: Path | str, run: str, width: int, limit: int = 10**9) -> subprocess.Popen[str]:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(path), run, str(width), str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )


async def assert_whole(store: Store, run: str, acknowledged: int) -> None:
    """The journal has no holes, at least what was acknowledged, and all that its events name."""
    events = await store.events(run)
    assert [(e.seq, e.path) for e in events] == [(n, f"{run}/{n}") for n in range(1, len(events) + 1)]
    assert len(events) >= acknowledged
    for event in events:
        number = event.seq
        assert event.value is not None
        found = await store.values([event.value])
        assert found == {event.value: encode([run, number, "x" * (number % 7) * 1000])}
        memo = await store.memo(event.path)
        assert memo == MemoEntry(event.path, event.value, run)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new place that several processes may use."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return new()
    return f"sqlite+aiosqlite:///{tmp_path}/runs.db"


@pytest.mark.parametrize("seed", range(6))
async def test_a_killed_process_loses_nothing_acknowledged(url: str, seed: int) -> None:
    """Killed at any moment, again and again in one place, the store keeps whole transactions."""
    rng = random.Random(seed)
    for attempt in range(2):
        run = f"run-{attempt}"
        child = spawn(url, run, width=rng.choice([1, 3, 40]))
        assert child.stdout is not None
        acknowledged = 0
        for _ in range(rng.randrange(1, 150)):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:  # acknowledged between our last look and the kill
            if line.endswith("\n"):
                acknowledged = int(line)
        assert child.wait() == -signal.SIGKILL
        store = open_store(url)
        await store.open()
        await assert_whole(store, run, acknowledged)
        await store.aclose()


async def test_processes_share_a_place(url: str) -> None:
    """Three processes write at once and a fourth reads: nobody hears `database is locked`."""
    children = [spawn(url, f"run-{n}", width=n * 10 + 1, limit=400) for n in range(3)]
    store = open_store(url)
    await store.open()
    while any(child.poll() is None for child in children):
        for n in range(3):
            events = await store.events(f"run-{n}")
            assert [e.seq for e in events] == list(range(1, len(events) + 1))
        await store.append("mine", EVENT).wait()
    for n, child in enumerate(children):
        assert child.stdout is not None and len(child.stdout.readlines()) >= 400
        assert child.wait() == 0
        await assert_whole(store, f"run-{n}", 400)
    await store.aclose()


async def test_two_processes_write_as_hard_as_they_can(tmp_path: Path) -> None:
    """One commit after the other in both, while a third closes and opens: neither fails nor starves."""
    path = tmp_path / "runs.db"
    children = [spawn(path, f"run-{n}", width=1, limit=600) for n in range(2)]
    openings = 0
    while any(child.poll() is None for child in children) or openings < 20:
        store = open_store(path)  # closing checkpoints the log, and the last to close removes it
        await store.open()
        await store.append("mine", EVENT).wait()
        await store.events("run-0")
        await store.aclose()
        openings += 1
    store = open_store(path)
    await store.open()
    for n, child in enumerate(children):
        assert child.stdout is not None and len(child.stdout.readlines()) == 600
        assert child.wait() == 0
        await assert_whole(store, f"run-{n}", 600)
    assert len(await store.events("mine")) == openings
    await store.aclose()


async def test_a_new_place_may_be_opened_by_many_at_once(url: str) -> None:
    """Whoever is first makes the tables; the others wait for it."""
    stores = [open_store(url) for _ in range(8)]
    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(store.open)
    for number, store in enumerate(stores):
        await store.create_run(replace(RUN, id=f"r{number}"), {})
    assert len(await stores[0].list_runs()) == 8
    for store in stores:
        await store.aclose()


async def test_a_lease_is_seen_by_other_processes(url: str) -> None:
    """Of several stores in one place that ask at once, one gets the run."""
    stores = [open_store(url) for _ in range(4)]
    for store in stores:
        await store.open()
    granted = []

    async def ask(store: Store) -> None:
        try:
            granted.append(await store.acquire_lease("run", this_holder(), 15.0))
        except Exception as error:
            assert type(error).__name__ == "RunLeased"

    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(ask, store)
    assert [await store.lease_of("run") for store in stores] == granted * 4
    for store in stores:
        await store.aclose()


async def test_values_removed_by_a_neighbour_are_written_again(tmp_path: Path) -> None:
    """The memory of what is stored does not outlive another process's clean-up."""
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    data = encode("kept")
    value = digest(data)
    await store.append("run", EVENT, {value: data}).wait()
    with sqlite3.connect(path) as neighbour:
        neighbour.execute('DELETE FROM "values"')
    neighbour.close()
    await store.append("run", replace(EVENT, value=value), {value: data}).wait()
    assert await store.values([value]) == {value: data}
    await store.aclose()


async def test_a_locked_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append behind a lock that outlasts SQLite's own patience succeeds once the lock is gone."""
    tried = threading.Event()

    def noticed(error: BaseException) -> bool:
        tried.set()
        return is_busy(error)

    monkeypatch.setattr("agentvm_runtime.store.database.BUSY_MS", 1)
    monkeypatch.setattr("agentvm_runtime.store.sqlite.is_busy", noticed)
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    neighbour = sqlite3.connect(path, isolation_level=None)
    neighbour.execute("BEGIN IMMEDIATE")
    commit = store.append("run", EVENT)
    await anyio.to_thread.run_sync(tried.wait)
    neighbour.execute("COMMIT")
    neighbour.close()
    await commit.wait()
    await store.aclose()


async def test_a_lock_that_never_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When patience is over the error names the file, the cause and what to do."""
    monkeypatch.setattr("agentvm_runtime.store.database.BUSY_MS", 1)
    monkeypatch.setattr("agentvm_runtime.store.group.PATIENCE", 0.0)
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    neighbour = sqlite3.connect(path, isolation_level=None)
    neighbour.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"runs\.db.*another process has kept it locked.*fuser"):
        await store.append("run", EVENT).wait()
    neighbour.close()
    await store.aclose()


async def _fill(store: Store, size: int = 50_000) -> tuple[int, StoreError]:
    """Append until it fails; how many were acknowledged, and the failure."""
    for number in range(1, 10_000):
        data = encode(os.urandom(size))
        try:
            await store.append("run", replace(EVENT, path=str(number)), {digest(data): data}).wait()
        except StoreError as error:
            return number - 1, error
    raise AssertionError("the disk never filled")


async def _assert_failed_for_good(store: Store, error: StoreError) -> None:
    for _ in range(2):
        with pytest.raises(StoreError) as again:
            await store.append("run", EVENT).wait()
        assert str(again.value) == str(error)
    with pytest.raises(StoreError):
        store.append("run", EVENT).block()


async def test_a_full_disk_leaves_no_hole(tmp_path: Path) -> None:
    """After a commit fails for lack of space nothing later is accepted, and nothing earlier is lost."""
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    writer = store._writer  # type: ignore[attr-defined]
    writer._transaction.connection.execute("PRAGMA max_page_count=200")
    acknowledged, error = await _fill(store)
    assert acknowledged > 3
    assert str(error).startswith(f"store {path}: cannot write to it: the disk is full")
    assert "Free some space. What was recorded before is intact" in str(error)
    await _assert_failed_for_good(store, error)
    assert len(await store.events("run")) == acknowledged
    await store.aclose()
    again = open_store(path)
    await again.open()
    await again.append("run", EVENT).wait()
    assert [e.seq for e in await again.events("run")] == list(range(1, acknowledged + 2))
    await again.aclose()


async def test_a_file_size_limit_leaves_no_hole(tmp_path: Path) -> None:
    """A real failing write (EFBIG, as with a quota) is an error that says so, and reopening works."""
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limit[1]))
        acknowledged, error = await _fill(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert acknowledged > 3
    assert "cannot write to it" in str(error) and "What was recorded before is intact" in str(error)
    await _assert_failed_for_good(store, error)
    await store.aclose()
    again = open_store(path)
    await again.open()
    events = await again.events("run")
    assert [e.path for e in events] == [str(n) for n in range(1, acknowledged + 1)]
    await again.append("run", EVENT).wait()
    await again.aclose()


async def test_a_failure_nobody_heard_of_is_told_on_closing(tmp_path: Path) -> None:
    """Closing raises what no commit has told anyone, so that loss is never silent."""
    store = open_store(tmp_path / "runs.db")
    await store.open()
    store._writer._transaction.connection.execute("PRAGMA max_page_count=1")  # type: ignore[attr-defined]
    data = encode(os.urandom(1_000_000))
    store.append("run", EVENT, {digest(data): data})
    with pytest.raises(StoreError, match="the disk is full"):
        await store.aclose()
    await store.aclose()


async def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    """The first run needs no `mkdir`; tilde means home."""
    store = open_store(f"sqlite:///{tmp_path}/a/b/runs.db")
    await store.open()
    await store.aclose()
    assert (tmp_path / "a/b/runs.db").is_file()


async def _refused(path: Path, says: str, kind: type[StoreError] = StoreError) -> None:
    store = open_store(path)
    with pytest.raises(kind, match=says) as refused:
        await store.open()
    assert str(path) in str(refused.value)
    await store.aclose()


async def test_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    """A text file, a folder, a file as folder and another program's database are each refused by name."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    await _refused(text, "not a database")
    assert text.read_text() == "not a database " * 100
    await _refused(tmp_path, "it is a folder")
    await _refused(text / "runs.db", "cannot make the folder")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    await _refused(other, "database of another program")


@pytest.mark.parametrize(("version", "says"), [("99", "Upgrade AgentVM"), ("0", "too old")])
async def test_another_schema_version_is_refused(tmp_path: Path, version: str, says: str) -> None:
    """A database of another version is not touched, and the error says which version can."""
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    await store.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    connection.close()
    await _refused(path, f"schema version {version}.*{says}", StoreVersionError)


async def test_a_damaged_database_says_so(tmp_path: Path) -> None:
    """Pages overwritten with nonsense are an error with a remedy, at the read or write that meets them."""
    path = tmp_path / "runs.db"
    store = open_store(path)
    await store.open()
    for number in range(200):
        await store.append("run", replace(EVENT, path=str(number))).wait()
    await store.aclose()
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xa5" * (len(raw) - 8192)
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=r"runs\.db.*damaged.*backup.*agentvm doctor --store"):
        await store.open()
        await store.events("run")
    await store.aclose()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_read_only_folder_is_an_error(tmp_path: Path) -> None:
    """Where nothing may be written the error says so, and the remedy."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    await _refused(folder / "runs.db", "folder you may write to")
    await _refused(folder / "sub" / "runs.db", "cannot make the folder")


async def test_a_read_only_database_is_an_error(tmp_path: Path) -> None:
    """A database that cannot be written is refused at opening, before a run starts."""
    path = Path("/proc/self/runs.db")
    if not path.parent.is_dir():
        pytest.skip("no /proc here")
    await _refused(path, "cannot open it")


async def _command(url: str, text: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(text)
    await connection.close()


@pytest.mark.parametrize("done", [True, False])
async def test_a_commit_that_was_not_answered_is_asked_about(
    postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """Whether the server had committed or not when the connection broke: the event is there once."""
    from agentvm_runtime.store.postgres import Connection

    store = open_store(postgres_url())
    await store.open()
    await store.append("run", replace(EVENT, path="before")).wait()
    command = Connection.command
    broken: list[str] = []

    def breaking(self: Connection, text: str) -> None:
        if text != "COMMIT" or broken:
            command(self, text)
            return
        broken.append(text)
        if done:
            command(self, text)
        self.raw.terminate()
        raise ConnectionResetError("the line is dead")

    monkeypatch.setattr(Connection, "command", breaking)
    await store.append("run", replace(EVENT, path="doubtful")).wait()
    await store.append("run", replace(EVENT, path="after")).wait()
    assert broken and [e.path for e in await store.events("run")] == ["before", "doubtful", "after"]
    await store.aclose()


async def test_a_server_that_goes_away_is_an_error(
    start_postgres: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection cut between groups is made anew; a server that stays away is an error, without holes."""
    server = start_postgres(tmp_path / "data")
    store = open_store(server.get_uri())
    await store.open()
    await store.append("run", EVENT).wait()
    others = "pid <> pg_backend_pid() AND application_name = 'agentvm'"
    await _command(server.get_uri(), f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    await store.append("run", EVENT).wait()
    assert [e.seq for e in await store.events("run")] == [1, 2]
    monkeypatch.setattr("agentvm_runtime.store.group.PATIENCE", 0.0)
    monkeypatch.setattr("agentvm_runtime.store.postgres.PATIENCE", 0.0)
    server.cleanup()
    with pytest.raises(StoreError, match=r"postgresql://.*cannot write to it: .*intact: resume the runs"):
        await store.append("run", EVENT).wait()
    with pytest.raises(StoreError, match="cannot read it"):
        await store.events("run")
    await store.aclose()


async def test_a_server_that_is_not_there_is_an_error() -> None:
    """Opening says which server, and what to look at, but not the password."""
    pytest.importorskip("asyncpg")
    store = open_store("postgresql+asyncpg://me:secret@127.0.0.1:9/runs")
    with pytest.raises(StoreError, match=r"postgresql://127.0.0.1:9/runs: .*Is it running") as refused:
        await store.open()
    assert "secret" not in str(refused.value)


async def test_tables_of_another_program_are_left_alone(postgres_url: Callable[[], str]) -> None:
    """A schema that has other tables is refused, with the way out."""
    url = postgres_url()
    await _command(
        url.partition("schema=")[0].rstrip("?&"), "CREATE SCHEMA theirs; CREATE TABLE theirs.runs (a int)"
    )
    other = open_store(url.partition("schema=")[0] + "schema=theirs")
    with pytest.raises(StoreError, match=r"tables of another program.*schema=NAME"):
        await other.open()
