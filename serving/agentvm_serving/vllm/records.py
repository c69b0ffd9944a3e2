"""What became of each request: one record, from its arrival to its end, with the reasons."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from agentvm_compiler.wire import Hints
from agentvm_serving.goodput import Goodput, ServedCall, ServedRequest, goodput_of
from agentvm_serving.slo import deadline_of, pace_of, ttft_of

from .programs import program_of

KEPT: Final = 1_000
"""Ended requests whose records are kept."""

ENDED_BY_ITSELF: Final = frozenset(("FINISHED_STOPPED", "FINISHED_LENGTH_CAPPED", "FINISHED_REPETITION"))
"""Statuses of requests that came to their end; they tell how long such requests are."""

SHOWN: Final = (
    "request",
    "key",
    "slo",
    "arrival",
    "deadline",
    "first_scheduled_at",
    "finished_at",
    "status",
    "why",
    "refused",
    "held_seconds",
    "preemptions",
    "preempted_at",
    "updates",
    "prompt_tokens",
    "expected_tokens",
    "output_tokens",
    "good_tokens",
    "in_time",
    "outcome",
)
"""What a client sees of a record."""


@dataclass(slots=True, eq=False)
class Record:
    """One request. Moments are Unix seconds."""

    request: str
    """vLLM's name of it."""
    arrival: float
    hints: Hints | None
    """What its caller asked for."""
    prompt_tokens: int = 0
    expected_tokens: int = 0
    """Output tokens that were expected when it came."""
    first_scheduled_at: float | None = None
    finished_at: float | None = None
    status: str = ""
    """vLLM's name of the way it ended; empty until then."""
    why: str = ""
    """Why it was ended, or served best effort against its wish; empty if neither."""
    refused: bool = False
    """Whether the scheduler ended it."""
    held_seconds: float = 0.0
    """Of the wait for its start, the time in which it was held back though there was a slot."""
    preempted_at: list[float] = field(default_factory=list)
    updates: int = 0
    """How often its hints were changed."""
    output_tokens: int = 0
    good_tokens: int = 0
    """Output tokens that came in time."""
    in_time: bool | None = None
    """Whether its objective was met; `None` if it had none."""
    token_times: list[float] = field(default_factory=list)
    """When its output tokens came (`latency`), or the last one."""

    @property
    def key(self) -> str:
        """The caller's name of it; empty if it has none."""
        return self.hints.key if self.hints is not None else ""

    @property
    def slo(self) -> str:
        """Its class."""
        return self.hints.slo if self.hints is not None else "best_effort"

    @property
    def counted_as(self) -> str:
        """The class that it counts for: `compound` if it is a call of a program."""
        return self.slo if program_of(self.hints) is None else "compound"

    @property
    def deadline(self) -> float | None:
        """When it should be done."""
        return deadline_of(self.hints, self.arrival) if self.slo == "deadline" else None

    @property
    def preemptions(self) -> int:
        """How often it had to give up its memory."""
        return len(self.preempted_at)

    @property
    def outcome(self) -> str:
        """How it ended, in a word; empty until then."""
        if not self.status:
            return ""
        if self.status == "FINISHED_ABORTED":
            return "refused" if self.refused else "aborted"
        return {True: "met", False: "missed", None: "no_objective"}[self.in_time]

    def produced(self, tokens: int, now: float) -> None:
        """Note that so many output tokens are out."""
        new = tokens - self.output_tokens
        if new > 0:
            self.output_tokens = tokens
            if self.slo == "latency":
                self.token_times.extend([now] * new)
            else:
                self.token_times[:] = [now]

    def ended(self, status: str, now: float) -> Goodput:
        """Note the end, and account for the request."""
        self.finished_at, self.status = now, status
        good = goodput_of(self._served())
        self.good_tokens = good.tokens
        self.in_time = bool(good.requests) if good.of_requests else None
        return good

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: getattr(self, name) for name in SHOWN}

    def _served(self) -> ServedRequest:
        times = self.token_times if self.slo == "latency" else self.token_times * self.output_tokens
        call = ServedCall(self.arrival, self.prompt_tokens, times, self.status in ENDED_BY_ITSELF)
        if self.hints is not None and self.slo == "latency":
            return ServedRequest("latency", [call], ttft=ttft_of(self.hints), tbt=pace_of(self.hints))
        if self.slo == "deadline":
            return ServedRequest("deadline", [call], deadline=self.deadline)
        return ServedRequest("best_effort", [call])


class Records:
    """The records of open requests, and the newest of those that ended."""

    def __init__(self) -> None:
        self.open: dict[str, Record] = {}
        """By vLLM's name."""
        self.ended: deque[Record] = deque()
        self._keys: Counter[str] = Counter()
        """Of those that ended."""

    def close(self, record: Record) -> None:
        """Its request has ended."""
        del self.open[record.request]
        self.ended.append(record)
        self._keys[record.key] += 1
        if len(self.ended) > KEPT:
            gone = self.ended.popleft().key
            self._keys[gone] -= 1
            if not self._keys[gone]:
                del self._keys[gone]

    def has_ended(self, key: str) -> bool:
        """Whether there is a record of a request with that key that has ended."""
        return key in self._keys

    def of(self, keys: Collection[str]) -> list[Record]:
        """Records of the requests with those keys of the caller's, oldest first. O(all)."""
        return [each for group in (self.ended, self.open.values()) for each in group if each.key in keys]
