"""What PostgreSQL's errors mean to a person, and which of them pass."""

from __future__ import annotations

from agentvm_runtime.errors import StoreError

from .url import PostgresUrl

_INTACT = "What was recorded before is intact: resume the runs afterwards."
# By SQLSTATE, or its first two characters: what is wrong, and what to do.
_CAUSES = {
    "08": ("the connection was lost", f"Check the server and the network. {_INTACT}"),
    "25006": ("the server is read-only", "Name the primary server, not a replica."),
    "28": ("the server refuses this user", "Check user name and password in the URL."),
    "3D000": ("there is no such database", "Create it (createdb NAME), or name another in the URL."),
    "42501": (
        "this user may not",
        "Let its owner grant CREATE, or name another ?schema=NAME.",
    ),
    "53100": ("the server's disk is full", f"Free some space. {_INTACT}"),
    "53300": ("the server has too many connections", "Close some, or raise max_connections."),
    "57P": ("the server is shutting down or starting", f"Try again when it is up. {_INTACT}"),
    "58": ("the server reports a system error", f"Check its disk and its log. {_INTACT}"),
    "XX": ("the database is damaged", "Look at the server's log, and restore it from a backup."),
}
_CONFLICTS = frozenset({"40001", "40P01", "23505", "55P03"})
"""Serialization failure, deadlock, a number taken by another process, a lock not to be had."""


def _state(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def is_conflict(error: BaseException) -> bool:
    """Whether another process was in the way; nothing was written."""
    return _state(error) in _CONFLICTS


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone or could not be made, and may come back."""
    name = type(error).__name__
    if name == "InterfaceError":
        return "closed" in str(error)
    return isinstance(error, OSError | TimeoutError) or _state(error)[:3] in ("080", "57P")


def explain(error: BaseException, url: PostgresUrl, doing: str) -> StoreError:
    """A `StoreError` that says what, where and what to do next."""
    state = _state(error)
    found = next((_CAUSES[key] for key in (state, state[:3], state[:2]) if key in _CAUSES), None)
    if found is None and is_lost(error):
        found = "the server cannot be reached", f"Is it running, and is the URL right? {_INTACT}"
    cause, remedy = found or (type(error).__name__, "Look at the server's log.")
    text = " ".join(str(error).split()) or type(error).__name__
    return StoreError(f"store {url.name}: cannot {doing}: {cause} ({text}). {remedy}")
