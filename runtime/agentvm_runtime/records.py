"""The records of a run: what the store keeps and the executor writes.

A *path* names a node's execution within a run (`map#1[2]/llm#1`); a *site*
names the node in the program. An *execution key* is the hash of everything a
result depends on; a *digest* is the hash of an encoded value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NewType

Digest = NewType("Digest", str)


class RunStatus(StrEnum):
    """Where a run stands. `RUNNING` without a lease in force means interrupted."""

    QUEUED = "queued"
    """Written down, and begun by no process yet."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SUSPENDED = "suspended"
    UNCERTAIN = "uncertain"
    CANCELLED = "cancelled"
    DEADLINE_MISSED = "deadline_missed"


class EventKind(StrEnum):
    """What a journal event says."""

    DONE = "done"
    """A node finished; `value` is its result."""
    FAILED = "failed"
    """A node raised; `value` is the exception."""
    INTENT = "intent"
    """A write tool is about to start."""
    INHERITED = "inherited"
    """A fork came to its end; `detail` says what it did not take over."""
    RESUMED = "resumed"
    """A process took the run over; what follows was written by it."""
    BEGUN = "begun"
    """An agent was called: with a deadline of its own, in `detail`, or by a new task of traced code."""
    ENDED = "ended"
    """The program raised `value`; `detail` says at which paths that was recorded."""
    MISSED = "missed"
    """A deadline passed: of the agent at `path`, or of the run."""
    TIGHTENED = "tightened"
    """The run's deadline was brought forward; `detail` has it. In a mailbox: somebody wants that."""
    FORGOTTEN = "forgotten"
    """In no journal: stands for a failure that was tried again. What it used still counts."""
    ATTEMPT = "attempt"
    """An attempt failed, and another will follow; `detail` says which, why and when."""
    ASKED = "asked"
    """A person was asked; `detail` has the question and the JSON Schema of its answer."""
    ANSWERED = "answered"
    """In a mailbox: somebody answers a question; `value` is the answer."""
    SCHEDULED = "scheduled"
    """What the engine's scheduler noted of model calls that have ended; `detail` has it by path."""
    RELEASED = "released"
    """Somebody has said that a write in doubt may be started again."""
    CANCELLED = "cancelled"
    """In a mailbox: somebody wants the run stopped for good."""


class Source(StrEnum):
    """Where a node's result came from."""

    EXECUTED = "executed"
    MEMO = "memo"
    """Recorded by another run, or elsewhere in this one."""
    SHARED = "shared"
    """The same work was in flight and its result was taken (single flight)."""
    PERSON = "person"
    """Somebody answered a question, or told how a write in doubt has ended."""
    JOURNAL = "journal"
    """Recorded earlier by this run; never journaled again."""
    GIVEN = "given"
    """An override of a fork; never journaled."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of an agent."""

    id: str
    agent: str
    """`module:qualname` of the agent."""
    program: str
    """Hash of the compiled program."""
    inputs: Digest
    """Encoded mapping of parameter name to value."""
    created_at: float
    """Unix seconds."""
    status: RunStatus = RunStatus.RUNNING
    deadline_at: float | None = None
    """Unix seconds."""
    finished_at: float | None = None
    """Unix seconds."""
    result: Digest | None = None
    error: Digest | None = None
    parent: str | None = None
    """The run this one was forked from."""
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON: `file` (where the agent's source is), `llm` (backend spec), and the like."""


@dataclass(slots=True)
class Event:
    """One line of a run's journal. Never changed; not frozen, as that takes four times as long to make."""

    kind: EventKind
    path: str
    site: str = ""
    node: str = ""
    """Node kind (`llm`, `tool`, ...)."""
    key: str = ""
    """Execution key; empty where the work has none."""
    value: Digest | None = None
    """`None` for a result that cannot be stored (see `agentvm_runtime.values`)."""
    source: Source = Source.EXECUTED
    started_at: float = 0.0
    finished_at: float = 0.0
    """Unix seconds."""
    detail: dict[str, Any] = field(default_factory=dict)
    """JSON: token usage, TTFT, deadline sent, idempotency key, and the like."""
    seq: int = 0
    """Position in the journal, from 1; 0 until the store has numbered it."""


CALLS = "calls"
"""In the detail of `SCHEDULED`: by path, what was noted of each request of a call, as in `CallRecord`."""
CHANGED = "changed"
"""In an event's detail: digest of the arguments and result as the callee left them (see `restoring`)."""
HALFWAY = "halfway"
"""In the detail of a failure of Python code: digest of it and of the names the code had assigned."""
FORGETS = "forgets"
"""In the detail of a resumption: digest of the failure that ended the attempt before, to be tried again."""
SINCE = "since"
"""In the detail of a result or intent in traced code: what was done since the last one (see `sequencing`)."""
DEADLINE = "deadline_at"
"""In the detail of `BEGUN`, `MISSED` and `TIGHTENED`: the deadline, Unix seconds."""
AT = "at"
"""In the detail of `ENDED`: paths of the failures that the program ended with."""


def remembered(journal: Iterable[Event], forgets: Digest | None = None) -> list[Event]:
    """The journal without the failed work that a later attempt tried again, or is about to.

    Args:
        forgets: the failure that is about to be tried again.
    """
    kept: list[Event] = []
    for event in journal:
        if FORGETS in event.detail:
            kept = _without(kept, event.detail[FORGETS])
        kept.append(event)
    return kept if forgets is None else _without(kept, forgets)


def _without(journal: list[Event], failure: Digest) -> list[Event]:
    failed = failed_with(journal, failure)
    return [_forgotten(each) if each.path in failed else each for each in journal]


def failed_with(journal: Iterable[Event], failure: Digest) -> set[str]:
    """The paths of the failures that the program ended with when it ended with this one."""
    equal: set[str] = set()
    ended: set[str] | None = None
    for each in journal:
        if each.kind is EventKind.FAILED and each.value == failure:
            equal.add(each.path)
        elif each.kind is EventKind.ENDED and each.value == failure:
            ended = set(each.detail[AT])
    return equal if ended is None else ended  # an older version did not tell


def _forgotten(event: Event) -> Event:
    match event.kind:
        # With a failure go the attempts that led to it, and the deadline it may have missed.
        case EventKind.FAILED | EventKind.ATTEMPT | EventKind.BEGUN:
            return replace(event, kind=EventKind.FORGOTTEN, value=None)
        # A write that raised is no write in doubt, and whoever asks to try again asks for it too.
        case EventKind.INTENT:
            return replace(event, kind=EventKind.RELEASED)
    return event


def named(event: Event) -> list[Digest]:
    """The values that an event names."""
    value, detail = event.value, event.detail
    named = [] if value is None else [value]
    if CHANGED in detail:
        named.append(Digest(detail[CHANGED]))
    if HALFWAY in detail:
        named.append(Digest(detail[HALFWAY]))
    return named


@dataclass(slots=True)
class MemoEntry:
    """A result any run may reuse. Never changed, as an event."""

    key: str
    value: Digest
    run_id: str
    """The run that computed it."""
    path: str = ""
    created_at: float = 0.0
    expires_at: float | None = None
    """Unix seconds; `None` never expires."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed from a store."""

    runs: tuple[str, ...]
    values: int
    memo: int
    """Results that runs shared."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process to drive one run until a moment."""

    run_id: str
    holder: str
    """`host:pid:nonce` of the process."""
    expires_at: float
    """Unix seconds."""
    after: str = field(default="", compare=False)
    """When it is taken: the holder before, if that did not give it back but died or lost it."""
