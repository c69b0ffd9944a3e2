"""What every store promises, asked of each of them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from agentvm_compiler.errors import ConfigError, InputError
from agentvm_runtime.errors import RunLeased, StoreError
from agentvm_runtime.ports import Store
from agentvm_runtime.records import Digest, Event, EventKind, Lease, MemoEntry, RunRecord, RunStatus, Source
from agentvm_runtime.store import open_store, this_holder
from agentvm_runtime.store.keeping import CHUNK
from agentvm_runtime.store.sql import SqlStore
from agentvm_runtime.values import digest

ONE, TWO = Digest("1" * 40), Digest("2" * 40)
RUN = RunRecord("run-1", "agents:main", "hash", ONE, 100.0, meta={"file": "agents.py"})
EVENT = Event(
    EventKind.DONE,
    "map#1[2]/llm#1",
    site="llm#1",
    node="llm",
    key="k1",
    value=TWO,
    source=Source.MEMO,
    started_at=1.5,
    finished_at=2.5,
    detail={"tokens": {"input": 3}, "text": "\ud800"},
)


class Clock:
    """Unix seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind, where nothing is yet."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return new()
    return f"sqlite+aiosqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else "memory"


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    store = open_store(url, clock=clock)
    await store.open()
    yield store
    await store.aclose()


async def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    """Every field of a run survives, and its values with it."""
    run = replace(RUN, deadline_at=130.0, parent="run-0")
    await store.create_run(run, {ONE: b"inputs"})
    assert await store.get_run("run-1") == run
    assert await store.values([ONE]) == {ONE: b"inputs"}


async def test_an_unknown_run_is_none(store: Store) -> None:
    """Asking for a run that does not exist is no error."""
    assert await store.get_run("nobody") is None
    assert await store.events("nobody") == []


async def test_a_run_id_is_used_once(store: Store) -> None:
    """A second run of the same id is refused and changes nothing; the store goes on."""
    await store.create_run(RUN, {})
    with pytest.raises(InputError, match="run-1 exists already"):
        await store.create_run(replace(RUN, agent="other"), {TWO: b"x"})
    assert await store.get_run("run-1") == RUN
    assert await store.values([TWO]) == {}
    await store.append("run-1", EVENT).wait()


async def test_runs_are_listed_newest_first(store: Store) -> None:
    """Listing filters by agent and status and keeps the newest."""
    for number in range(5):
        agent = "a" if number % 2 else "b"
        await store.create_run(replace(RUN, id=f"r{number}", agent=agent, created_at=float(number)), {})
    await store.set_status("r3", RunStatus.FAILED).wait()
    assert [r.id for r in await store.list_runs()] == ["r4", "r3", "r2", "r1", "r0"]
    assert [r.id for r in await store.list_runs(limit=2)] == ["r4", "r3"]
    assert [r.id for r in await store.list_runs(agent="a")] == ["r3", "r1"]
    assert [r.id for r in await store.list_runs(agent="a", status=RunStatus.RUNNING)] == ["r1"]
    third = (await store.list_runs())[2]
    assert [r.id for r in await store.list_runs(before=third)] == ["r1", "r0"]
    assert [r.id for r in await store.list_runs(agent="a", before=third, limit=1)] == ["r1"]


async def test_status_comes_with_its_outcome(store: Store) -> None:
    """Result, error and end belong to the status they came with: the next status replaces them."""
    await store.create_run(RUN, {})
    await store.set_status("run-1", RunStatus.FAILED, error=TWO, finished_at=5.0, values={TWO: b"e"}).wait()
    assert await store.get_run("run-1") == replace(RUN, status=RunStatus.FAILED, error=TWO, finished_at=5.0)
    assert await store.values([TWO]) == {TWO: b"e"}
    store.set_status("run-1", RunStatus.RUNNING).block()
    assert await store.get_run("run-1") == RUN


async def test_status_of_an_unknown_run_is_refused(store: Store) -> None:
    """Setting the status of nothing is an error for who did it, and for nobody else."""
    with pytest.raises(InputError, match="no run nobody"):
        await store.set_status("nobody", RunStatus.FAILED).wait()
    await store.append("run-1", EVENT).wait()


async def test_events_are_numbered_in_the_order_appended(store: Store) -> None:
    """Each journal counts from 1 without holes, and events come back whole."""
    for path in ("a", "b", "c"):
        store.append("run-1", replace(EVENT, path=path))
    store.append("run-2", EVENT)
    assert await store.events("run-1") == [
        replace(EVENT, path=path, seq=seq) for seq, path in enumerate("abc", start=1)
    ]
    assert await store.events("run-2") == [replace(EVENT, seq=1)]


async def test_two_processes_number_one_journal(store: Store, url: str) -> None:
    """Whoever appends comes behind what is there: there are no gaps and no doubles."""
    other = open_store(url) if store.shared else store
    await other.open()
    await store.create_run(RUN, {})
    for number in range(12):
        writer = other if number % 3 == 0 else store
        await writer.append("run-1", replace(EVENT, path=f"{number}")).wait()
        if number == 6:
            with pytest.raises(RunLeased):
                await writer.append("run-1", EVENT, holder="nobody").wait()
    journal = await store.events("run-1")
    assert [(each.seq, each.path) for each in journal] == [(n + 1, f"{n}") for n in range(12)]
    if other is not store:
        await other.aclose()


async def test_a_journal_that_was_removed_begins_anew(store: Store) -> None:
    """Its run's id may come again, from an archive, say."""
    for _ in range(2):
        await store.add_run(replace(RUN, status=RunStatus.COMPLETED, result=ONE), [EVENT], {})
        await store.append("run-1", EVENT).wait()
        assert [each.seq for each in await store.events("run-1")] == [1, 2]
        assert (await store.collect(["run-1"])).runs == ("run-1",)


async def test_an_event_that_is_refused_brings_neither_values_nor_memo(store: Store) -> None:
    """They are one transaction: who has lost the run leaves no result for others, either."""
    event = Event(EventKind.DONE, "tool#1", value=Digest("lost"))
    entry = MemoEntry("lost key", Digest("lost"), "refused", "tool#1", 1.0, None)
    with pytest.raises(RunLeased):
        await store.append("refused", event, {Digest("lost"): b"x"}, entry, holder="nobody").wait()
    assert await store.events("refused") == []
    assert await store.memo("lost key") is None
    assert await store.values([Digest("lost")]) == {}


async def test_an_event_brings_its_values_and_memo(store: Store) -> None:
    """What an event names is there once it is."""
    memo = MemoEntry("k1", TWO, "run-1", "llm#1", 1.0)
    await store.append("run-1", EVENT, {TWO: b"two"}, memo).wait()
    assert await store.values([ONE, TWO]) == {TWO: b"two"}
    assert await store.memo("k1") == memo
    assert await store.memo("k2") is None


async def test_a_memo_entry_is_seen_before_it_is_durable(store: Store) -> None:
    """A lookup right after the append finds the entry, without waiting."""
    memo = MemoEntry("k1", TWO, "run-1")
    commit = store.append("run-1", EVENT, {TWO: b"two"}, memo)
    assert await store.memo("k1") == memo
    await commit.wait()
    assert await store.memo("k1") == memo


async def test_a_memo_entry_expires(store: Store, clock: Clock) -> None:
    """From its moment of expiry on an entry is not found, and a new one takes its place."""
    await store.append("run-1", EVENT, None, MemoEntry("k1", ONE, "run-1", expires_at=1010.0)).wait()
    clock.now = 1009.9
    assert await store.memo("k1") is not None
    clock.now = 1010.0
    assert await store.memo("k1") is None
    fresh = MemoEntry("k1", TWO, "run-2")
    await store.append("run-2", EVENT, None, fresh).wait()
    assert await store.memo("k1") == fresh


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 300_000])
async def test_values_of_any_size_come_back(store: Store, size: int) -> None:
    """Compressible and incompressible values come back byte for byte."""
    values = {ONE: b"x" * size, TWO: os.urandom(size)}
    await store.append("run-1", EVENT, values).wait()
    assert await store.values([ONE, TWO]) == values


async def test_many_waiters_are_all_told(store: Store) -> None:
    """A thousand commits awaited at once are all acknowledged, in one journal without holes."""
    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(store.append("run-1", replace(EVENT, path=str(number))).wait)
    assert [(e.seq, e.path) for e in await store.events("run-1")] == [(n + 1, str(n)) for n in range(1000)]
    assert [e.path for e in await store.events_after("run-1", 997)] == ["997", "998", "999"]
    assert await store.events_after("run-1", 1000) == await store.events_after("nobody", 0) == []


async def test_a_commit_can_be_awaited_twice(store: Store) -> None:
    """Waiting for what is done returns at once, from code of either colour."""
    commit = store.append("run-1", EVENT)
    await commit.wait()
    await commit.wait()
    commit.block()


@pytest.mark.parametrize("mode", ["strict", "group", "exit"])
async def test_what_is_accepted_is_kept_in_every_mode(url: str, mode: str) -> None:
    """Going on, waiting, reading and closing work alike; all that was appended is there in order."""
    store = open_store(url, durability=mode)
    await store.open()
    for number in range(200):
        await store.append("run-1", replace(EVENT, path=str(number))).accepted()
    store.append("run-1", replace(EVENT, path="200")).block_accepted()
    await store.acquire_lease("run-1", this_holder(), 15.0)
    assert [e.path for e in await store.events("run-1")] == [str(n) for n in range(201)]
    await store.append("run-1", EVENT).wait()
    await store.append("run-1", EVENT).accepted()
    await store.aclose()
    await store.open()
    assert [e.seq for e in await store.events("run-1")] == list(range(1, 204))
    await store.aclose()


async def test_a_waiter_that_is_cancelled_disturbs_nobody(store: Store) -> None:
    """The append stays, and the next one is acknowledged."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.append("run-1", EVENT).wait()
    await store.append("run-1", EVENT).wait()
    assert [e.seq for e in await store.events("run-1")] == [1, 2]


async def test_text_that_is_no_unicode_is_refused_where_it_is_given(store: Store) -> None:
    """One odd event cannot fail the group it would have been in."""
    with pytest.raises(StoreError, match="not valid Unicode"):
        store.append("run-1", replace(EVENT, path="\ud800"))
    await store.append("run-1", EVENT).wait()


async def test_a_lease_keeps_others_away_until_it_expires(store: Store, clock: Clock) -> None:
    """Another holder is refused, told who holds the run, and gets it later."""
    lease = await store.acquire_lease("run-1", "elsewhere:7:x", 15.0)
    assert lease == Lease("run-1", "elsewhere:7:x", 1015.0)
    with pytest.raises(RunLeased, match="process 7 on elsewhere"):
        await store.acquire_lease("run-1", "other:8:y", 15.0)
    assert await store.lease_of("run-1") == lease
    clock.now = 1015.0
    assert await store.lease_of("run-1") is None
    assert (await store.acquire_lease("run-1", "other:8:y", 15.0)).holder == "other:8:y"


async def test_a_renewed_lease_lasts_longer(store: Store, clock: Clock) -> None:
    """Renewing moves the end, also of a lease that ran out unnoticed."""
    lease = await store.acquire_lease("run-1", "elsewhere:7:x", 15.0)
    clock.now = 1020.0
    assert (await store.renew_lease(lease, 15.0)).expires_at == 1035.0


async def test_a_lease_taken_over_cannot_be_renewed(store: Store, clock: Clock) -> None:
    """Who lost the run learns so at the next heartbeat."""
    lease = await store.acquire_lease("run-1", "elsewhere:7:x", 15.0)
    clock.now = 1015.0
    other = await store.acquire_lease("run-1", "other:8:y", 15.0)
    with pytest.raises(RunLeased, match="taken over by process 8 on other"):
        await store.renew_lease(lease, 15.0)
    await store.release_lease(lease)
    assert await store.lease_of("run-1") == other


async def test_only_the_holder_of_the_lease_journals(store: Store, clock: Clock) -> None:
    """Also one whose lease ran out unnoticed, until another took it or gave it back."""
    await store.create_run(RUN, {})
    memo = MemoEntry("k1", TWO, "run-1")
    mine = await store.acquire_lease("run-1", "elsewhere:7:x", 15.0)
    clock.now += 20
    await store.append("run-1", EVENT, holder=mine.holder).wait()
    other = await store.acquire_lease("run-1", "other:8:y", 15.0)
    for _ in range(2):
        with pytest.raises(RunLeased):
            await store.append("run-1", EVENT, {TWO: b"late"}, memo, holder=mine.holder).wait()
        with pytest.raises(RunLeased):
            await store.set_status("run-1", RunStatus.FAILED, holder=mine.holder).wait()
        with pytest.raises(RunLeased):
            await store.renew_lease(mine, 15.0)
        await store.append("run-1", EVENT, holder=None).wait()
        await store.release_lease(other)
    assert [each.seq for each in await store.events("run-1")] == [1, 2, 3]
    assert await store.values([TWO]) == {}
    assert await store.memo("k1") is None
    run = await store.get_run("run-1")
    assert run is not None
    assert run.status is RunStatus.RUNNING


async def test_a_released_lease_is_free(store: Store) -> None:
    """After release anybody may take the run; releasing twice is harmless."""
    lease = await store.acquire_lease("run-1", "elsewhere:7:x", 15.0)
    await store.release_lease(lease)
    await store.release_lease(lease)
    assert await store.lease_of("run-1") is None
    await store.acquire_lease("run-1", "other:8:y", 15.0)


async def test_a_dead_process_of_this_host_loses_its_lease_at_once(store: Store) -> None:
    """No waiting for the expiry of a holder that has certainly ended."""
    program = "from agentvm_runtime.store import this_holder; print(this_holder())"
    paths = os.pathsep.join(path for path in sys.path if path)
    ended = await anyio.run_process([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": paths})
    await store.acquire_lease("run-1", ended.stdout.decode().strip(), 15.0)
    assert await store.lease_of("run-1") is None
    mine = this_holder()
    assert (await store.acquire_lease("run-1", mine, 15.0)).holder == mine


async def test_a_reused_pid_is_not_mistaken_for_the_holder(store: Store) -> None:
    """A process with the holder's pid that started at another time is another process."""
    host, pid, nonce = this_holder().split(":")
    boot, namespace, started, random = nonce.split("-")
    if not started:
        pytest.skip("this system does not tell when a process started")
    await store.acquire_lease("run-1", f"{host}:{pid}:{boot}-{namespace}-{int(started) - 1}-{random}", 15.0)
    assert await store.lease_of("run-1") is None


@pytest.mark.parametrize("nonce", ["000000000000-1-1-aa", "{boot}-1-1-aa"])
async def test_a_namesake_host_is_not_this_host(store: Store, nonce: str) -> None:
    """A holder of another boot or pid namespace counts as alive: its pids are not ours to judge."""
    boot = this_holder().split(":")[2].split("-")[0]
    holder = f"{socket.gethostname()}:{2**22 + 1}:{nonce.format(boot=boot)}"
    await store.acquire_lease("run-1", holder, 15.0)
    with pytest.raises(RunLeased):
        await store.acquire_lease("run-1", this_holder(), 15.0)


async def test_two_holders_in_one_process_exclude_each_other(store: Store) -> None:
    """Each `this_holder()` is a holder of its own."""
    await store.acquire_lease("run-1", this_holder(), 15.0)
    with pytest.raises(RunLeased):
        await store.acquire_lease("run-1", this_holder(), 15.0)


async def test_a_living_process_of_this_host_keeps_its_lease(store: Store) -> None:
    """Be it asleep; once it has ended, its lease is free."""
    program = "from agentvm_runtime.store import this_holder; print(this_holder(), flush=True); input()"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = [sys.executable, "-c", program]
    async with await anyio.open_process(started, env=env) as living:
        assert living.stdin is not None
        assert living.stdout is not None
        holder = await BufferedByteReceiveStream(living.stdout).receive_until(b"\n", 1000)
        lease = await store.acquire_lease("run-1", holder.decode().strip(), 15.0)
        with pytest.raises(RunLeased, match=f"process {living.pid} on "):
            await store.acquire_lease("run-1", this_holder(), 15.0)
        assert await store.lease_of("run-1") == lease
        await living.stdin.aclose()
        await living.wait()
    mine = this_holder()
    assert (await store.acquire_lease("run-1", mine, 15.0)).holder == mine


async def test_one_of_several_processes_gets_the_lease(store: Store, url: str, clock: Clock) -> None:
    """Each through a store of its own, all at once; the others are refused, and see who has it."""
    stores = [store, *(open_store(url, clock=clock) if store.shared else store for _ in range(3))]
    for each in stores:
        await each.open()
    got: list[Lease] = []

    async def take(which: Store, number: int) -> None:
        with suppress(RunLeased):
            got.append(await which.acquire_lease("run-1", f"elsewhere:{number}:x", 15.0))

    async with anyio.create_task_group() as tasks:
        for number, each in enumerate(stores):
            tasks.start_soon(take, each, number)
    (lease,) = got
    for number, each in enumerate(stores):
        assert await each.lease_of("run-1") == lease
        if lease.holder != f"elsewhere:{number}:x":
            with pytest.raises(RunLeased, match="is driven by process"):
                await each.acquire_lease("run-1", f"elsewhere:{number}:x", 15.0)
    clock.now += 15
    late = await stores[-1].acquire_lease("run-1", "late:1:x", 15.0)
    with pytest.raises(RunLeased):
        await store.renew_lease(lease, 15.0)
    assert await store.lease_of("run-1") == late
    for each in stores[1:] if store.shared else ():
        await each.aclose()


async def test_a_lease_that_nobody_waits_for_any_more_is_not_taken(store: Store) -> None:
    """Who gave up while it was on its way (its time was up, say) does not know that they have it."""
    gate = threading.Event()
    if isinstance(store, SqlStore):  # another's is there at once
        store._opened().submit_aside(lambda _: gate.wait())
    lease: Lease | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        lease = await store.acquire_lease("run-1", "elsewhere:7:x", 15.0)
    gate.set()
    if lease is not None:
        await store.release_lease(lease)
    other = await store.acquire_lease("run-1", "other:8:y", 15.0)
    gate.clear()
    if isinstance(store, SqlStore):
        store._opened().submit_aside(lambda _: gate.wait())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.acquire_lease("run-1", "other:8:y", 15.0)
    gate.set()
    assert await store.lease_of("run-1") == other  # who has it keeps it


async def test_a_store_is_read_though_tools_have_all_threads(store: Store) -> None:
    """They may take for ever, or wait for what is to be read."""
    await store.create_run(RUN, {ONE: b"1" * CHUNK * 2})
    threads = anyio.to_thread.current_default_thread_limiter()
    tools = [object() for _ in range(int(threads.total_tokens))]
    for each in tools:
        await threads.acquire_on_behalf_of(each)
    try:
        with anyio.fail_after(60):
            assert await store.get_run("run-1") == RUN
            assert await store.values([ONE]) == {ONE: b"1" * CHUNK * 2}
            await store.aclose()
            await store.open()
    finally:
        for each in tools:
            threads.release_on_behalf_of(each)


async def test_event_loops_in_several_threads_use_one_store(store: Store) -> None:
    """Each finds what it left, and waits for its own."""
    if not isinstance(store, SqlStore):
        return

    async def use(number: int) -> None:
        run = f"run-{number}"
        await store.create_run(replace(RUN, id=run), {})
        for at in range(20):
            data = f"{number} {at}".encode()
            value, key = digest(data), f"k{number}.{at}"
            event = replace(EVENT, path=f"tool#{at}", value=value)
            commit = store.append(run, event, {value: data}, MemoEntry(key, value, run))
            await commit.accepted()
            await store.room()
            assert await store.shared_result(key) == (MemoEntry(key, value, run), data)
            await (commit.wait() if at % 5 == 0 else commit.soon())
        assert [each.path for each in await store.events(run)] == [f"tool#{at}" for at in range(20)]

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(anyio.to_thread.run_sync, asyncio.run, use(number))


async def test_a_store_may_be_opened_while_it_is_being_closed(store: Store, url: str) -> None:
    """By another user of the same object: it is open then."""
    if not isinstance(store, SqlStore):
        return
    reader, gate, closing = store._reader, threading.Event(), threading.Event()
    assert reader is not None
    close = reader.close

    def gated() -> None:
        closing.set()
        gate.wait()
        close()

    reader.close = gated  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.aclose)
        await anyio.to_thread.run_sync(closing.wait)
        await store.open()
        gate.set()
    await store.append("run-1", EVENT).wait()
    assert len(await store.events("run-1")) == 1


async def test_a_closed_store_says_so_and_opens_again(store: Store) -> None:
    """Closing twice is harmless; what was appended is there after opening again."""
    store.append("run-1", EVENT)
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        store.append("run-1", EVENT)
    with pytest.raises(StoreError, match="closed"):
        await store.events("run-1")
    await store.open()
    assert [e.seq for e in await store.events("run-1")] == [1]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg://host/db", "no such kind of store"),
        ("postgresql://host/db?schema=", "1 to 63 bytes"),
        ("mysql://host/db", "no such kind of store.*sqlite.*memory"),
        ("sqlite:/runs.db/x://", "no such kind of store"),
        ("sqlite://host/runs.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("sqlite:///runs.db?mode=ro", "options are synchronous"),
        ("", "empty path"),
    ],
)
def test_an_odd_url_is_refused_with_what_is_accepted(url: str, says: str) -> None:
    """A mistake in the URL is a configuration error, before anything is opened."""
    with pytest.raises(ConfigError, match=says):
        open_store(url)


class Somewhere(os.PathLike[str]):
    """A path of another library's."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __fspath__(self) -> str:
        return self.place


@pytest.mark.parametrize("kind", [str, Path, Somewhere])
async def test_a_path_is_an_sqlite_file(kind: type, tmp_path: Path) -> None:
    """As text, as a `Path`, or as any other path object."""
    store = open_store(kind(str(tmp_path / "new folder" / "runs.db")))
    await store.open()
    await store.aclose()
    assert (tmp_path / "new folder" / "runs.db").read_bytes().startswith(b"SQLite format 3")


async def test_a_path_object_is_a_file_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`memory` is a store in memory, `Path("memory")` a file."""
    monkeypatch.chdir(tmp_path)
    store = open_store(Path("memory"))
    await store.open()
    await store.aclose()
    assert (tmp_path / "memory").read_bytes()


def test_naming_a_store_imports_no_driver() -> None:
    """`import agentvm_runtime.store` stays cheap."""
    program = (
        "import sys, agentvm_runtime.store, agentvm_runtime.values;"
        "print([m for m in ('sqlalchemy', 'aiosqlite', 'sqlite3', 'numpy') if m in sys.modules])"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.stdout.strip() == "[]"


async def test_a_profile_is_what_was_saved_last(store):
    """One for each agent, and none before."""
    assert await store.profile("m:a") is None
    store.save_profile("m:a", "one")
    await store.save_profile("m:a", "two").wait()
    await store.save_profile("m:b", "three").wait()
    assert [await store.profile(each) for each in ("m:a", "m:b")] == ["two", "three"]


async def test_a_run_may_be_revised(store: Store) -> None:
    """Its program, deadline and meta are replaced, the rest stays; an unknown run is refused."""
    await store.create_run(RUN, {})
    revised = replace(RUN, program="new", deadline_at=1234.5, meta={"a": 1})
    await store.revise_run(replace(revised, agent="ignored")).wait()
    assert await store.get_run("run-1") == revised
    with pytest.raises(InputError, match="no run nobody"):
        await store.revise_run(replace(RUN, id="nobody")).wait()


async def test_forks_are_found_by_their_parent(store: Store) -> None:
    """Oldest first, and only the direct ones."""
    for number, (name, parent) in enumerate([("a", None), ("b", "a"), ("c", "b"), ("d", "a")]):
        await store.create_run(replace(RUN, id=name, parent=parent, created_at=float(number)), {})
    assert [each.id for each in await store.forks("a")] == ["b", "d"]
    assert await store.forks("d") == []


async def test_the_length_of_a_journal(store: Store) -> None:
    """The last number given, without reading the journal."""
    assert await store.last_seq("run-1") == 0
    for path in "abc":
        store.append("run-1", replace(EVENT, path=path))
    assert await store.last_seq("run-1") == 3


async def test_memo_entries_are_listed_and_removed(store: Store, clock: Clock) -> None:
    """Newest first, by the beginning of the key, expired ones included; removed, they are gone."""
    for number, key in enumerate(("ab1", "ab2", "c3")):
        entry = MemoEntry(key, ONE, "run-1", "llm#1", float(number), expires_at=1.0)
        await store.append("run-1", EVENT, None, entry).wait()
    assert [each.key for each in await store.memos()] == ["c3", "ab2", "ab1"]
    assert [each.key for each in await store.memos("ab", limit=1)] == ["ab2"]
    assert await store.forget("ab2")
    assert not await store.forget("ab2")
    assert [each.key for each in await store.memos("ab")] == ["ab1"]


async def test_removed_runs_take_with_them_what_only_they_needed(store: Store) -> None:
    """Values, journals and shared results go; what a run that stays refers to, in whatever way, does not."""
    names = {each: Digest(each * 40) for each in "abcdef"}
    for run_id, inputs in (("old", "a"), ("new", "b")):
        run = replace(RUN, id=run_id, inputs=names[inputs], meta={"module": names["c"]})
        await store.create_run(run, {names[inputs]: b"in", names["c"]: b"code"})
    memo = MemoEntry("k1", names["d"], "old", "llm#1", 1.0)
    store.append("old", replace(EVENT, value=names["d"]), {names["d"]: b"d"}, memo)
    store.append("old", replace(EVENT, value=names["e"]), {names["e"]: b"both"})
    detail = {"changed": names["f"]}
    store.append("new", replace(EVENT, value=names["e"], detail=detail), {names["f"]: b"by detail"})
    for each in ("old", "new"):
        await store.set_status(each, RunStatus.COMPLETED, result=names["e"], finished_at=5.0).wait()
    done = await store.collect(["old"])
    assert (done.runs, done.values, done.memo) == (("old",), 2, 1)
    assert await store.get_run("old") is None
    assert await store.events("old") == []
    assert await store.memo("k1") is None
    assert sorted(await store.values(list(names.values()))) == sorted(names[each] for each in "bcef")
    await store.append("new", EVENT, {names["d"]: b"d"}).wait()
    assert await store.values([names["d"]]) == {names["d"]: b"d"}


async def test_runs_that_are_needed_are_not_removed(store: Store) -> None:
    """Not over, driven by somebody, or forked from by a run that stays."""
    for run_id, parent in (("a", None), ("b", "a"), ("c", None), ("d", None)):
        await store.create_run(replace(RUN, id=run_id, parent=parent), {ONE: b"in"})
        if run_id != "c":
            await store.set_status(run_id, RunStatus.COMPLETED).wait()
    lease = await store.acquire_lease("d", this_holder(), 10.0)
    assert (await store.collect(["a", "c", "d"])).runs == ()
    await store.release_lease(lease)
    assert (await store.collect(["a", "b", "d", "nobody"])).runs == ("a", "b", "d")


async def test_a_run_is_added_with_its_journal(store: Store) -> None:
    """As it was elsewhere, all at once; a run of that id is left alone."""
    journal = [replace(EVENT, path=path) for path in "ab"]
    await store.add_run(RUN, journal, {ONE: b"in", TWO: b"out"})
    assert await store.get_run("run-1") == RUN
    assert await store.events("run-1") == [replace(each, seq=n) for n, each in enumerate(journal, 1)]
    assert await store.values([ONE, TWO]) == {ONE: b"in", TWO: b"out"}
    with pytest.raises(InputError, match="exists already"):
        await store.add_run(RUN, journal, {})
    assert await store.last_seq("run-1") == 2


@pytest.mark.parametrize("count", [5, 200])
async def test_a_journal_is_read_in_part(store: Store, count: int) -> None:
    """Only events of paths that are wanted come, whole and in order, be they few or many."""
    for number in range(count):
        store.append("run-1", replace(EVENT, path=f"p{number}"))
    wanted = [f"p{number}" for number in range(count) if number % 2 or number == 0]
    found = await store.events("run-1", lambda path: path in wanted)
    assert found == [replace(EVENT, path=path, seq=int(path[1:]) + 1) for path in wanted]


async def test_what_is_at_a_path_is_read_on_the_spot(store: Store) -> None:
    """Its events come in order, of that run alone."""
    for run_id in ("run-1", "run-2"):
        for number, path in enumerate("aba", 1):
            intent = EventKind.INTENT if path == "b" else EventKind.DONE
            last = store.append(run_id, replace(EVENT, path=path, kind=intent, detail={"number": number}))
    await last.wait()
    assert await store.result_paths("run-1") == [(1, "a"), (3, "a")]
    first, second, third = await store.events("run-1")
    assert store.peek("run-1", path="a") == [first, third]
    assert store.peek("run-1", kind=EventKind.INTENT) == [second]
    assert store.peek("run-1") == [first, second, third]
    assert store.peek("run-1", path="c") == store.peek("run-3", path="a") == store.peek("run-3") == []
    later = replace(EVENT, path="a", detail={"number": 4})
    await store.append("run-1", later).wait()
    assert store.peek("run-1", path="a") == [first, third, replace(later, seq=4)]


async def test_what_is_near_a_path_is_read_with_it(store: Store) -> None:
    """All events of the paths that the journal goes through there, however far away the other ones are."""
    for name in ("run-1", "run-2"):
        for path in ["a", "b", "c", "d", "e", "f", "b", "e", "a"]:
            last = store.append(name, replace(EVENT, path=path))
    await last.wait()
    assert [each.seq for each in store.peek("run-1", path="d", around=2)] == [4, 5, 8]
    assert [each.seq for each in store.peek("run-1", path="c", around=4)] == [2, 3, 4, 5, 7, 8]
    assert [each.seq for each in store.peek("run-1", path="a", around=100)] == list(range(1, 10))
    assert store.peek("run-1", path="z", around=100) == []


async def test_values_are_read_by_synchronous_code(store: Store) -> None:
    """The first that is asked for comes whatever its size, others as far as they are small."""
    large = b"x" * (3 << 20)
    await store.create_run(RUN, {ONE: b"one", TWO: large})
    assert store.values_now([TWO])[TWO] == large
    found = store.values_now([ONE, TWO, Digest("0" * 40)])
    assert found[ONE] == b"one"
    assert found.keys() <= {ONE, TWO}
    assert store.values_now([Digest("0" * 40)]) == {}
