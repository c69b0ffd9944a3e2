"""Journal, memo and leases of two processes on one database, with crashes, against a model of them.

In memory the two are holders within one process, which loses nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentvm_runtime.errors import RunLeased, StoreError
from agentvm_runtime.records import Digest, Event, EventKind, Lease, MemoEntry, RunRecord, RunStatus
from agentvm_runtime.store import open_store
from agentvm_runtime.store.memory import MemoryStore
from agentvm_runtime.store.sqlite import SqliteStore, SqliteTransaction
from agentvm_runtime.values import digest, encode

RUNS = ("a", "b")
KEYS = ("k1", "k2", "k3")
LEASED = (*RUNS, "work:k1")
"""Runs, and a claim on the work of an execution key."""
WHO = st.sampled_from((0, 1))
RUN = st.sampled_from(RUNS)
NAME = st.sampled_from(LEASED)
TTL = 10.0


class Broken(SqliteTransaction):
    """A transaction of a process that dies before its next commit, or just after it."""

    def __init__(self, inner: SqliteTransaction, late: bool) -> None:
        self.__dict__.update(inner.__dict__)
        self._late = late

    def commit(self) -> None:
        if self._late:
            super().commit()
        raise sqlite3.InterfaceError("the process is dead")


class Stores(RuleBasedStateMachine):
    """Two stores stand for two processes; the model says what must be found."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="agentvm-model-"))
        self.now = 1000.0
        self.appended: dict[str, list[str]] = {run: [] for run in RUNS}
        """Paths in order; of those past `durable`, after a crash, only a beginning may be there."""
        self.durable = dict.fromkeys(RUNS, 0)
        self.writer: dict[str, int] = {}
        """Who appended last to a run: as with leases, one process at a time does."""
        self.memo: dict[str, str | None] = dict.fromkeys(KEYS)
        self.status = dict.fromkeys(RUNS, RunStatus.RUNNING)
        self.leases: dict[str, Lease] = {}
        self.count = 0
        self.lives = [0, 0]
        self.stores: list[Any] = [self.opened(), self.opened()]
        for run in RUNS:
            self.do(self.stores[0].create_run(RunRecord(run, "m:a", "p", Digest("i"), 1.0), {}))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def opened(self) -> Any:
        # Processes die here, not machines: nothing need be synced.
        url = f"sqlite:///{self.folder}/runs.db?synchronous=NORMAL"
        store = open_store(url, clock=lambda: self.now)
        assert isinstance(store, SqliteStore)
        self.do(store.open())
        return store

    def teardown(self) -> None:
        for store in self.stores:
            self.do(store.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    def holder(self, who: int) -> str:
        """What a process calls itself: each life by another name."""
        return f"elsewhere:{who + 1}:{self.folder.name}-{self.lives[who]}"

    def take_over(self, who: int, run: str) -> None:
        """One process at a time appends to a run; what the one before appended is durable by then."""
        last = self.writer.get(run)
        if last is not None and last != who:
            self.settle(last)
        self.writer[run] = who

    def settle(self, who: int) -> None:
        """All that a process has appended becomes durable."""
        last = self.stores[who]._opened().last
        if last is not None:
            self.do(last.settled())  # if it was refused, nobody was told anything else
        for run in RUNS:
            if self.writer.get(run) == who:
                self.durable[run] = len(self.appended[run])

    @rule(who=WHO, run=RUN, wait=st.booleans(), width=st.integers(1, 5))
    def append(self, who: int, run: str, wait: bool, width: int) -> None:
        self.take_over(who, run)
        commits = []
        for _ in range(width):
            self.count += 1
            data = encode(self.count % 7)  # some values are shared
            event = Event(EventKind.DONE, str(self.count), value=digest(data))
            commits.append(self.stores[who].append(run, event, {digest(data): data}))
            self.appended[run].append(str(self.count))
        if wait:
            self.do(commits[-1].wait())
            self.durable[run] = len(self.appended[run])

    @rule(who=WHO, run=RUN, result=st.booleans())
    def drive(self, who: int, run: str, result: bool) -> None:
        """Journal as who drives the run; who does not, or no longer, is refused and leaves nothing."""
        self.take_over(who, run)
        self.count += 1
        holder, path = self.holder(who), str(self.count)
        held = self.leases.get(run)
        kind = EventKind.DONE if result else EventKind.INTENT
        commit = self.stores[who].append(run, Event(kind, path), holder=holder)
        try:
            self.do(commit.wait())
        except RunLeased:
            assert held is None or held.holder != holder
        else:
            assert held is not None and held.holder == holder
            self.appended[run].append(path)
        self.durable[run] = len(self.appended[run])

    @rule(who=WHO, run=RUN, key=st.sampled_from(KEYS))
    def remember(self, who: int, run: str, key: str) -> None:
        self.take_over(who, run)
        self.count += 1
        data = encode(self.count)
        event = Event(EventKind.DONE, str(self.count), value=digest(data))
        entry = MemoEntry(key, digest(data), run)
        self.do(self.stores[who].append(run, event, {digest(data): data}, entry).wait())
        self.appended[run].append(str(self.count))
        self.durable[run] = len(self.appended[run])
        self.memo[key] = digest(data)

    @rule(who=WHO, key=st.sampled_from(KEYS))
    def look_up(self, who: int, key: str) -> None:
        found = self.do(self.stores[who].memo(key))
        assert (None if found is None else found.value) == self.memo[key]
        if found is not None:
            assert found.value in self.do(self.stores[who].values([found.value]))

    @rule(who=WHO, run=RUN, status=st.sampled_from([RunStatus.COMPLETED, RunStatus.FAILED]))
    def end(self, who: int, run: str, status: RunStatus) -> None:
        self.take_over(who, run)
        self.do(self.stores[who].set_status(run, status).wait())
        self.status[run] = status
        self.durable[run] = len(self.appended[run])

    @rule(who=WHO, run=NAME)
    def take_lease(self, who: int, run: str) -> None:
        held = self.leases.get(run)
        holder = self.holder(who)
        free = held is None or held.expires_at <= self.now or held.holder == holder
        try:
            lease = self.do(self.stores[who].acquire_lease(run, holder, TTL))
        except RunLeased:
            assert not free
        else:
            assert free and lease == Lease(run, holder, self.now + TTL)
            self.leases[run] = lease

    @rule(who=WHO, run=NAME)
    def beat(self, who: int, run: str) -> None:
        holder = self.holder(who)
        held = self.leases.get(run)
        try:
            lease = self.do(self.stores[who].renew_lease(Lease(run, holder, 0.0), TTL))
        except RunLeased:
            assert held is None or held.holder != holder
        else:
            assert held is not None and held.holder == holder
            self.leases[run] = lease

    @rule(who=WHO, run=NAME)
    def let_go(self, who: int, run: str) -> None:
        holder = self.holder(who)
        self.do(self.stores[who].release_lease(Lease(run, holder, 0.0)))
        if run in self.leases and self.leases[run].holder == holder:
            del self.leases[run]

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=WHO, late=st.booleans(), width=st.integers(0, 5), run=RUN)
    def crash(self, who: int, late: bool, width: int, run: str) -> None:
        """The process dies with so many events on their way, before or just after a commit."""
        self.take_over(who, run)
        store = self.stores[who]
        self.settle(who)
        writer = store._opened()
        writer._transaction = Broken(writer._transaction, late)  # type: ignore[arg-type]
        for _ in range(width):
            self.count += 1
            store.append(run, Event(EventKind.DONE, str(self.count)))
            self.appended[run].append(str(self.count))
        holders = set(store._holders)
        try:
            self.do(store.aclose())
        except StoreError:
            assert width
            for each, held in self.leases.items():
                if held.holder in holders:  # given up, as it could not be given back
                    self.leases[each] = Lease(each, held.holder, 0.0)
        self.lives[who] += 1
        self.stores[who] = self.opened()
        self.reread(run)

    def reread(self, run: str) -> None:
        """What is there after a crash is a beginning of what was appended, with all that was durable."""
        found = [event.path for event in self.do(self.stores[0].events(run))]
        assert found == self.appended[run][: len(found)]
        assert len(found) >= self.durable[run]
        self.appended[run] = found
        self.durable[run] = len(found)

    @precondition(lambda self: self.stores)
    @invariant()
    def all_agree(self) -> None:
        """Each process sees what is durable, and its own; journals are numbered without holes."""
        for who, store in enumerate(self.stores):
            for run in RUNS:
                events = self.do(store.events(run))
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                paths = [event.path for event in events]
                assert paths == self.appended[run][: len(paths)]
                enough = len(self.appended[run]) if self.writer.get(run) == who else self.durable[run]
                assert len(paths) >= enough
                names = [event.value for event in events if event.value is not None]
                assert set(self.do(store.values(names))) == set(names)
                assert self.do(store.get_run(run)).status is self.status[run]
            for name in LEASED:
                held = self.leases.get(name)
                in_force = held if held is not None and held.expires_at > self.now else None
                assert self.do(store.lease_of(name)) == in_force


class Holders(Stores):
    """Two holders in one process, with its one store in memory."""

    _store: MemoryStore | None = None

    def opened(self) -> Any:
        self._store = self._store or MemoryStore(clock=lambda: self.now)
        self.do(self._store.open())
        return self._store

    def settle(self, who: int) -> None:
        self.durable = {run: len(paths) for run, paths in self.appended.items()}

    @rule(who=WHO)
    def crash(self, who: int) -> None:  # type: ignore[override]
        """A holder goes without a word: another comes, under another name."""
        self.lives[who] += 1


Stores.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStores = Stores.TestCase
Holders.TestCase.settings = Stores.TestCase.settings
TestHolders = Holders.TestCase
