"""The clients of a workload in virtual time: what they ask and when, and what they got.

A stage's calls are made together, when those of the stage before are done and
its tools have run. The simulator and the replay on vLLM's scheduler serve the same clients.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentvm_compiler.errors import InputError
from agentvm_compiler.wire import Hints
from agentvm_serving.goodput import ServedCall, ServedRequest
from agentvm_serving.workload import Call, Forecast, Item, Profile, hints_of, profile_of

from .engine import EPOCH


@dataclass(frozen=True, slots=True)
class Asked:
    """One call, as it reaches the engine."""

    name: str
    item: Item
    stage: int
    number: int
    """Of the call in its stage."""
    call: Call
    hints: Hints
    at: float
    """Seconds of virtual time."""
    limit: int
    """Most output tokens that it may have."""
    due: float
    """Its deadline, or when its first token is due; virtual seconds."""

    @property
    def length(self) -> int:
        """Output tokens that it will have."""
        return min(self.call.output_tokens, self.limit)


class Clients:
    """All clients of a workload.

    Args:
        profile: what the hints know of lengths; by default what the whole workload tells.
        longest: tokens that a prompt and its answer may have together.
    """

    def __init__(
        self,
        items: Sequence[Item],
        profile: Profile | None,
        forecast: Forecast,
        longest: int,
    ) -> None:
        self.items = items
        self.first = min((each.arrival for each in items), default=0.0)
        """When the first one comes."""
        self.under_way = 0
        """Calls that are not finished."""
        self._profile = profile or profile_of(items)
        self._forecast: Forecast = forecast
        self._longest = longest
        self._coming = [(item.arrival, number, item, 0) for number, item in enumerate(items)]
        heapq.heapify(self._coming)
        self._pushed = len(items)
        self._left: dict[str, int] = {}
        """Calls of an item's present stage that are not finished."""
        self._made: dict[str, list[ServedCall]] = {}

    @property
    def next_at(self) -> float:
        """When the next calls are made, as far as is known."""
        return self._coming[0][0] if self._coming else math.inf

    def asking(self, now: float) -> Iterator[Asked]:
        """The calls that have been made by now, in order."""
        while self._coming and self._coming[0][0] <= now:
            at, _, item, stage = heapq.heappop(self._coming)
            calls = item.stages[stage]
            self._left[item.id] = len(calls)
            self.under_way += len(calls)
            for number, call in enumerate(calls):
                yield self._asked(item, stage, number, call, at)

    def _asked(self, item: Item, stage: int, number: int, call: Call, at: float) -> Asked:
        name = f"{item.id}/{stage}/{number}"
        room = self._longest - call.input_tokens
        if room < 1:
            raise InputError(
                f"call {name} has a prompt of {call.input_tokens} tokens, the engine takes {self._longest} "
                "with the answer. Choose an engine with a larger context (option len), or cut the prompt"
            )
        hints = hints_of(item, stage, self._profile, EPOCH, self._forecast, number)
        due = at + (item.ttft or 0.0) if hints.deadline is None else hints.deadline - EPOCH
        return Asked(name, item, stage, number, call, hints, at, min(item.limit or room, room), due)

    def finished(self, asked: Asked, times: Sequence[float], now: float) -> None:
        """A call is done.

        Args:
            times: when its tokens came.
        """
        item, stage = asked.item, asked.stage
        self.under_way -= 1
        self._made.setdefault(item.id, []).append(ServedCall(asked.at, asked.call.input_tokens, times))
        self._left[item.id] -= 1
        if self._left[item.id]:
            return
        del self._left[item.id]
        if stage + 1 < len(item.stages):
            self._pushed += 1
            heapq.heappush(self._coming, (now + item.gap_before(stage + 1), self._pushed, item, stage + 1))

    def served(self) -> list[ServedRequest]:
        """What each item got, in their order."""
        return [
            ServedRequest(
                item.slo,
                self._made[item.id],
                None if item.within is None else item.arrival + item.within,
                item.ttft,
                item.tbt,
            )
            for item in self.items
        ]
