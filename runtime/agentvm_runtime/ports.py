"""The ports the runtime needs: a model backend, and a store.

Each is a `Protocol`; `agentvm` joins the runtime to what fits them. The model
backends live in the serving layer, the stores in `agentvm_runtime.store`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from agentvm_compiler.wire import CallRecord, HintsChange, ModelCall, ModelResult

from .records import Collected, Digest, Event, EventKind, Lease, MemoEntry, RunRecord, RunStatus

Progress: TypeAlias = Callable[[int, str], None]
"""Called with the number of output tokens so far, and the text since the last time."""


class ModelBackend(Protocol):
    """Answers model calls. Many calls may be in flight at once."""

    def identity(self, model: str | None) -> str:
        """Name, revision and dtype of the model a call would reach.

        Part of the execution key, so it must be known without starting an
        engine and must change when the weights do.
        """
        ...

    async def complete(self, call: ModelCall, progress: Progress | None = None) -> ModelResult:
        """Answer one call; starts the engine on the first.

        Args:
            progress: called as output comes.

        Raises:
            BackendError: the backend could not answer (`transient` tells whether
                trying again may help). Cancelling frees the engine's slot.
        """
        ...

    async def aclose(self) -> None:
        """Stop what the backend started. Idempotent."""
        ...


class CallScheduler(Protocol):
    """Puts the calls of a backend in order, and can be told more of those under way.

    A backend that has one has it as `scheduler`. Calls are named by the key of
    their hints; one that is not under way, or not yet, is no error.
    """

    async def update(self, changes: Sequence[HintsChange]) -> None:
        """Change hints of calls. A change may overtake its call."""
        ...

    async def cancel(self, *, run: str) -> int:
        """End the calls of a run; how many there were."""
        ...

    async def served(self, keys: Sequence[str]) -> Sequence[CallRecord]:
        """What was noted of calls, as far as it is still known; several of a call that was sent again."""
        ...


class Commit(Protocol):
    """The promise that something appended will be durable."""

    at_once: bool
    """Whether the run may go on without waiting: `accepted` would return at once."""

    async def wait(self) -> None:
        """Return once durable. Raises StoreError if it cannot be made so."""
        ...

    def block(self) -> None:
        """The same for synchronous code, blocking the calling thread."""
        ...

    async def soon(self) -> None:
        """Return once it is decided, well or badly, but after a moment at the latest; in `exit` at once."""
        ...

    async def accepted(self) -> None:
        """Return once the run may go on, as the store's mode of durability has it.

        That is when the result is durable (`strict`), when not too many before it
        still are not (`group`), or at once (`exit`).
        """
        ...

    def block_accepted(self) -> None:
        """The same for synchronous code."""
        ...


class Store(Protocol):
    """Keeps runs, their journals, values and the memo.

    `append` is the hot path: it never blocks, keeps the order of its calls, and
    what it takes becomes durable in groups. One `append` is one transaction:
    event, values and memo row are all there after a crash, or none is. After a
    failed commit every later one fails too (the journal has no holes).
    """

    @property
    def shared(self) -> bool:
        """Whether other processes may be using it."""
        ...

    @property
    def near(self) -> bool:
        """Whether a row is found within some microseconds, as no server is asked: then `peek` may be used."""
        ...

    @property
    def full(self) -> bool:
        """Whether nothing more is to begin: as many results are on their way to the disk as may be, or none
        can be written any more."""
        ...

    async def room(self) -> None:
        """Return when it is not full. Raises StoreError if nothing can be written any more."""
        ...

    def block_for_room(self) -> None:
        """The same for synchronous code."""
        ...

    async def open(self) -> None: ...

    async def aclose(self) -> None:
        """Make everything appended durable, then close. Idempotent."""
        ...

    async def create_run(self, run: RunRecord, values: Mapping[Digest, bytes]) -> None:
        """Durably write a new run and the values it names. Raises InputError if the id exists."""
        ...

    async def add_run(
        self,
        run: RunRecord,
        journal: Sequence[Event],
        values: Mapping[Digest, bytes],
        mail: Sequence[Event] = (),
    ) -> None:
        """Durably write a run with its journal and mailbox, as they were elsewhere, and the values they name.

        Raises InputError if the id exists.
        """
        ...

    async def get_run(self, run_id: str) -> RunRecord | None: ...

    async def list_runs(
        self,
        *,
        agent: str | None = None,
        status: RunStatus | None = None,
        limit: int = 100,
        before: RunRecord | None = None,
    ) -> list[RunRecord]:
        """Newest first; only those that come after a given one, `before` which they were created."""
        ...

    def set_status(
        self,
        run_id: str,
        status: RunStatus,
        *,
        result: Digest | None = None,
        error: Digest | None = None,
        finished_at: float | None = None,
        values: Mapping[Digest, bytes] | None = None,
        holder: str | None = None,
    ) -> Commit:
        """Change a run's status, in order with `append`, and as that does for a `holder`."""
        ...

    def revise_run(self, run: RunRecord, *, holder: str | None = None) -> Commit:
        """Change a run's program, deadline and `meta`, in order with `append`.

        Args:
            holder: refuse it (the commit raises RunLeased) unless this is who has the run's lease.
        """
        ...

    async def forks(self, run_id: str) -> list[RunRecord]:
        """The runs that were forked from this one, oldest first."""
        ...

    async def last_seq(self, run_id: str) -> int:
        """The number of the last event in a run's journal; 0 if it is empty."""
        ...

    def append(
        self,
        run_id: str,
        event: Event,
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
        *,
        holder: str | None = None,
    ) -> Commit:
        """Journal one event with the values it names; the store numbers it (`Event.seq`).

        Args:
            holder: who must have the run's lease when that is committed; otherwise nothing is
                written, and the commit raises RunLeased. A process that was stopped for longer
                than its lease, and goes on, thus changes nothing any more.
        """
        ...

    async def events(self, run_id: str, wanted: Callable[[str], bool] | None = None) -> list[Event]:
        """The whole journal of a run, in order, in one read; only of such paths, if `wanted` says which."""
        ...

    async def events_after(self, run_id: str, seq: int) -> list[Event]:
        """What a run's journal has after an event, in order."""
        ...

    def peek(
        self, run_id: str, *, path: str | None = None, kind: EventKind | None = None, around: int = 0
    ) -> list[Event]:
        """The durable events of a path or of a kind, or all if neither is given, in order; on the spot.

        Args:
            around: with those of a path, also those of the paths that the journal goes through
                near there, for about so many events; none if it does not come to the path.
        """
        ...

    async def result_paths(self, run_id: str) -> list[tuple[int, str]]:
        """Number and path of each result in a run's journal, in order."""
        ...

    async def values(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        """Encoded values by digest; absent ones are left out."""
        ...

    def values_now(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        """The first of these values, for synchronous code, and with it those that take little more time."""
        ...

    async def memo(self, key: str) -> MemoEntry | None: ...

    async def shared_result(self, key: str, *, ahead: bool = False) -> tuple[MemoEntry, bytes] | None:
        """What the memo has for a key, with the value; None if either is not there.

        Args:
            ahead: no code that could look outside has run since the last call but what was journaled
                as executed, or waited for something: others may be read with it that answer later calls.
        """
        ...

    async def collect(self, run_ids: Sequence[str]) -> Collected:
        """Durably remove runs that are over, and the mail, values and shared results nothing needs then.

        Left out are runs that are not over, that somebody drives, or that a run which
        stays was forked from. Safe while others read and write.
        """
        ...

    async def memos(self, prefix: str = "", limit: int = 100) -> list[MemoEntry]:
        """Entries whose key begins so, expired ones included, newest first."""
        ...

    async def forget(self, key: str) -> bool:
        """Durably remove a memo entry; False if there is none. Recorded results stay."""
        ...

    async def profile(self, agent: str) -> str | None:
        """What `save_profile` was last given for an agent."""
        ...

    def save_profile(self, agent: str, profile: str) -> Commit:
        """Keep what the runs of an agent tell of its next one (JSON), in order with `append`."""
        ...

    async def acquire_lease(self, run_id: str, holder: str, ttl: float) -> Lease:
        """Take the right to drive a run.

        A lease whose holder is a dead process of this host is taken over at
        once, any other when it has expired. Raises RunLeased otherwise.
        """
        ...

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        """Raises RunLeased if another process took it over."""
        ...

    async def release_lease(self, lease: Lease) -> None: ...

    async def lease_of(self, run_id: str) -> Lease | None:
        """The lease in force, or `None` if nobody drives the run now."""
        ...
