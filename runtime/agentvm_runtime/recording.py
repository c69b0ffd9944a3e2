"""Recording: what the journal gets to know of work, before and after it is done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agentvm_compiler.calls import CallContext
from agentvm_compiler.ir import UNBOUND

from .errors import UnstorableValue
from .journaling import USED, Journal
from .keys import idempotency_key
from .limits import due
from .observing import UNOBSERVED, RunObserver
from .ports import Commit
from .reasons import CHANGED_KEY, MISS, STALE, WHY
from .records import CHANGED, HALFWAY, SINCE, Digest, Event, EventKind, MemoEntry, Source
from .restoring import Before, before, change, held_by
from .secret import redact
from .sharing import unshared
from .values import digest, encode
from .work import Outcome, Work

_DONE, _REUSED = EventKind.DONE, (Source.MEMO, Source.SHARED)


class Recorder(Journal):
    """Journals writes that are about to start, results and exceptions."""

    observer: RunObserver = UNOBSERVED

    def writes_under_way(self, path: str) -> list[str]:
        """Paths of the writes within some work that have begun and not ended."""
        active = [each for each in self.progress.active if each.startswith(f"{path}/")]
        return [each for each in active if each in self.history.intents]

    def intend(self, work: Work) -> Commit:
        """Journal that a write is about to start."""
        detail: dict[str, Any] = {"idempotency_key": self.context(work).idempotency_key}
        if self.lineage is not None and not self.history.wrote:
            detail[USED] = list(self.lineage.used)
        if work.ticket is not None:
            detail = _with_since(work.ticket.begun(), detail)
        now = time.time()
        event = Event(
            EventKind.INTENT, work.path, work.site, work.node, work.key, None, started_at=now, detail=detail
        )
        self.history.add(event)
        return self.append(event)

    def begin(self, work: Work) -> None:
        """Journal that a task of traced code begins with this work: by its key the task is known again."""
        now = time.time()
        begun = EventKind.BEGUN
        self.append(Event(begun, work.path, work.site, work.node, work.key, started_at=now, finished_at=now))

    def context(self, work: Work) -> CallContext:
        """What a tool that is called for this work is told.

        Its idempotency key is the same for all attempts, also for that of an ancestor of
        this fork whose outcome is not known.
        """
        begun = None if self.lineage is None else self.lineage.unsettled(work)
        key = begun.detail["idempotency_key"] if begun is not None else None
        key = key or idempotency_key(self.record.id, work.path, work.key)
        return CallContext(self.record.id, work.path, key, due())

    def look_at(self, work: Work) -> Before | None:
        """The arguments of a call from traced code, before it is made."""
        return None if work.arguments is None else before(work.arguments)

    def _changes(
        self, before: Before | None, result: Any = None
    ) -> tuple[dict[str, Any], dict[Digest, bytes]]:
        """For the journal: what the call did to its arguments, if anything."""
        found = None if before is None else change(before, result)
        if found is None:
            return {}, {}
        data, positions = found
        return {CHANGED: digest(data), "positions": positions}, {digest(data): data}

    def finished(self, work: Work, outcome: Outcome, started: float, before: Before | None = None) -> Commit:
        """Journal a result.

        Raises:
            UnstorableValue: it has no codec.
        """
        data = _encoded(work, outcome.value)
        name = digest(data)
        memo, alone = None, unshared(self, work)
        if not alone:
            now = time.time()
            expires = None if work.ttl is None else now + work.ttl
            memo = MemoEntry(work.shared, name, self.record.id, work.path, now, expires)
        detail, values = {WHY: self._why(work, alone), **outcome.detail}, {name: data}
        if before is not None:
            changed, others = self._changes(before, outcome.value)
            detail |= changed
            values |= others
        return self.note(work, name, outcome.source, started, detail, values, memo)

    def _why(self, work: Work, alone: str) -> str:
        """Why the work was done, and no recorded result used; `alone` is why it is not shared, if so."""
        found = self.history.results.get(work.path)
        if found is None and self.lineage is not None:
            found = self.lineage.recorded(work.path)
        if found is not None and found.key != work.key:
            return CHANGED_KEY
        return alone or (MISS if work.ttl is None else STALE)

    def failed(
        self, work: Work, error: BaseException, started: float, before: Before | None = None
    ) -> Commit:
        """Journal an exception."""
        data = encoded_error(error)
        changed, values = self._changes(before, held_by(error) if _is_storable(error) else None)
        detail = {**changed, **(work.usage.taken() if work.usage else {})}
        return self._failure(work, error, data, started, detail, values)

    def computed(self, work: Work, name: Digest, data: bytes, started: float) -> Commit:
        """Journal what plain Python computed."""
        return self.note(work, name, Source.EXECUTED, started, {}, {name: data})

    def broken(
        self, work: Work, error: BaseException, names: Mapping[str, Any], started: float
    ) -> Commit | None:
        """Journal what Python code raised, and the names it had assigned by then, if that can be stored."""
        bound = {name: value for name, value in names.items() if value is not UNBOUND}
        try:
            data = encode(error)
            both = encode((error, bound, [name for name in names if name not in bound]))
        except UnstorableValue:
            return None
        return self._failure(work, error, data, started, {HALFWAY: digest(both)}, {digest(both): both})

    def _failure(
        self,
        work: Work,
        error: BaseException,
        data: bytes,
        started: float,
        detail: dict[str, Any],
        values: Mapping[Digest, bytes],
    ) -> Commit:
        """Journal an exception, encoded, with what else is to be known of it."""
        if work.ticket is not None:
            detail = _with_since(work.ticket.done(), detail)
        event = Event(
            EventKind.FAILED,
            work.path,
            work.site,
            work.node,
            work.key,
            digest(data),
            started_at=started,
            finished_at=time.time(),
            detail=detail,
        )
        self.progress.executed += 1
        self.failures.add(error, work.path, digest(data), work.node)
        return self.append(event, {digest(data): data, **values})

    def volatile(self, work: Work, started: float) -> Commit:
        """Journal that Python code ran whose result cannot be stored; on resume it runs again."""
        return self.note(work, None, Source.EXECUTED, started, {})

    def folded(self, work: Work, started: float) -> None:
        """Journal that something was added to a large container, whose contents are not recorded anew."""
        known = self.history.results.get(work.path)
        if known is not None and known.value is None and known.key == work.key:
            self.progress.reused += 1
        else:
            self.volatile(work, started)

    def note(
        self,
        work: Work,
        value: Digest | None,
        source: Source,
        started: float,
        detail: dict[str, Any],
        values: Mapping[Digest, bytes] | None = None,
        memo: MemoEntry | None = None,
    ) -> Commit:
        if source in _REUSED:
            self.progress.reused += 1
            self.observer.reused(work, source)
        else:
            self.progress.executed += 1
        if work.ticket is not None:
            detail = _with_since(work.ticket.done(), detail)
        event = Event(
            _DONE,
            work.path,
            work.site,
            work.node,
            work.key,
            value,
            source,
            started,
            time.time(),
            detail,
        )
        return self.append(event, values, memo)


def _with_since(since: str | None, detail: dict[str, Any]) -> dict[str, Any]:
    return detail if since is None else {**detail, SINCE: since}


def encoded_error(error: BaseException) -> bytes:
    """The exception as bytes; one that cannot be stored as its text."""
    try:
        return encode(error)
    except UnstorableValue:
        return encode(RuntimeError(redact(f"{type(error).__name__}: {error}")))


def _is_storable(error: BaseException) -> bool:
    try:
        encode(error)
    except UnstorableValue:
        return False
    return True


def _encoded(work: Work, value: Any) -> bytes:
    try:
        return encode(value, name=f"the result of {work.site}")
    except UnstorableValue as error:
        raise UnstorableValue(f"{error} (at {work.path})") from None
