"""In what order a simulated engine serves: vLLM's own two, or a policy's, kept as on real engines."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Protocol

from agentvm_serving.estimate.steps import Batch
from agentvm_serving.order.desk import Desk
from agentvm_serving.order.queue import RankedQueue
from agentvm_serving.order.tracker import Tracker
from agentvm_serving.policy import Policy

from .engine import BLOCK, EPOCH, Engine
from .request import Request

Key = tuple[int, float, str]


class Order(Protocol):
    """What waits, and in what order it and what runs is served."""

    @property
    def quiet(self) -> float:
        """Steps that may be made, with the one that was begun, before the order is looked at again."""
        ...

    def __len__(self) -> int:
        """How many wait."""
        ...

    def arrived(self, request: Request) -> None:
        """A new request."""
        ...

    def put_back(self, request: Request) -> None:
        """One that was preempted waits again."""
        ...

    def first(self) -> Request:
        """Who is admitted next."""
        ...

    def admit(self) -> Request:
        """Take it from the queue; it runs."""
        ...

    def begin(self, running: list[Request], fits: Callable[[int], bool]) -> Sequence[Request]:
        """A step begins: put `running` in order. Which of them are evicted."""
        ...

    def most_running(self, running: int) -> int | None:
        """Most requests to have running in this step, if somebody minds."""
        ...

    def most_tokens(self, running: int) -> int | None:
        """Most tokens of this step, if somebody minds."""
        ...

    def victim(self, running: Sequence[Request]) -> int:
        """Place of the one that is preempted."""
        ...

    def passed(self, steps: int) -> None:
        """So many more steps were made than were begun."""
        ...

    def stepped(self, batch: Batch, began: float, ends: Sequence[float]) -> None:
        """Steps were made.

        Args:
            batch: of the first; each later one has as many more tokens of context as requests decode.
        """
        ...

    def ended(self, request: Request, now: float) -> None:
        """A request came to its end."""
        ...

    def abandoned(self, request: Request, *, waits: bool) -> None:
        """Nobody wants a request any more."""
        ...


class Fcfs:
    """vLLM's own: first come, first served; who is preempted goes first."""

    quiet = math.inf

    def __init__(self) -> None:
        self._queue: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def arrived(self, request: Request) -> None:
        self._queue.append(request)

    def put_back(self, request: Request) -> None:
        self._queue.appendleft(request)

    def first(self) -> Request:
        return self._queue[0]

    def admit(self) -> Request:
        return self._queue.popleft()

    def begin(self, running: list[Request], fits: Callable[[int], bool]) -> Sequence[Request]:
        return ()

    def most_running(self, running: int) -> int | None:
        return None

    def most_tokens(self, running: int) -> int | None:
        return None

    def victim(self, running: Sequence[Request]) -> int:
        return len(running) - 1

    def passed(self, steps: int) -> None: ...

    def stepped(self, batch: Batch, began: float, ends: Sequence[float]) -> None: ...

    def ended(self, request: Request, now: float) -> None: ...

    def abandoned(self, request: Request, *, waits: bool) -> None:
        if waits:
            self._queue.remove(request)


class Priority(Fcfs):
    """vLLM's own with priorities: whoever is due first."""

    def __init__(self) -> None:
        self._sorted: list[tuple[Key, Request]] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def arrived(self, request: Request) -> None:
        insort(self._sorted, (_key(request), request), key=lambda entry: entry[0])

    put_back = arrived

    def first(self) -> Request:
        return self._sorted[0][1]

    def admit(self) -> Request:
        return self._sorted.pop(0)[1]

    def abandoned(self, request: Request, *, waits: bool) -> None:
        if waits:
            self._sorted.remove((_key(request), request))

    def victim(self, running: Sequence[Request]) -> int:
        return max(range(len(running)), key=lambda place: _key(running[place])[:2])


def _key(request: Request) -> Key:
    # Milliseconds, as priorities are whole numbers.
    return int(request.asked.due * 1000), request.asked.at, request.request_id


_RANK = attrgetter("view.rank")
"""What `Desk.rank` finds, in a fraction of the time."""


def _reads(request: Request) -> bool:
    """What the desk's `reads` finds, in a fraction of the time."""
    return request.since < 0 and request.prompt + request.made - request.computed > 1


class ByPolicy:
    """A policy's order.

    Args:
        clock: virtual seconds.
    """

    def __init__(self, policy: Policy, engine: Engine, clock: Callable[[], float]) -> None:
        # As the plug-in reckons: of the blocks that there are.
        tracker = Tracker(engine.max_num_seqs, engine.blocks * BLOCK, engine.max_num_batched_tokens)
        self._clock = clock
        self._tracker = tracker
        self._desk = Desk(policy, tracker, lambda: EPOCH + clock(), _reads)
        self._queue = RankedQueue(_RANK)
        self._desk.queues = [self._queue]

    @property
    def quiet(self) -> float:
        return self._desk.steps_to_plan

    def __len__(self) -> int:
        return len(self._queue)

    def arrived(self, request: Request) -> None:
        asked = request.asked
        view = request.view = self._tracker.introduce(
            asked.name,
            EPOCH + asked.at,
            asked.hints,
            prompt_tokens=request.prompt,
            limit=asked.limit,
            true_length=asked.call.output_tokens,
        )
        self._desk.judge(asked.name, view, degrade=True)
        self._desk.plan([view])
        self._queue.add_request(request)

    def put_back(self, request: Request) -> None:
        self._queue.add_request(request)

    def first(self) -> Request:
        first: Request = self._queue.peek_request()
        return first

    def admit(self) -> Request:
        self._desk.sorted = False
        admitted: Request = self._queue.pop_request()
        return admitted

    def begin(self, running: list[Request], fits: Callable[[int], bool]) -> Sequence[Request]:
        planned, moved = self._desk.order(running, fits)
        if moved:
            running.sort(key=_RANK)
            if self._desk.reading:  # as `Desk.place` has it
                running.sort(key=_reads)
        return self._desk.giving_way(running, fits) if planned else ()

    def most_running(self, running: int) -> int | None:
        return self._desk.most_running(running)

    def most_tokens(self, running: int) -> int | None:
        return self._desk.most_tokens(running)

    def victim(self, running: Sequence[Request]) -> int:
        return len(running) - 1

    def passed(self, steps: int) -> None:
        self._desk.pass_steps(steps)

    def stepped(self, batch: Batch, began: float, ends: Sequence[float]) -> None:
        requests = batch.decodes + batch.prompts
        for number in self._desk.measured(requests, len(ends)):
            made = batch
            if number:  # only decoding goes on for several steps
                made = Batch(decodes=batch.decodes, context=batch.context + number * batch.decodes)
            # By the clock that a real engine's scheduler has.
            before = ends[number - 1] if number else began
            self._tracker.measured(made, EPOCH + ends[number] - (EPOCH + before))

    def ended(self, request: Request, now: float) -> None:
        self._tracker.forget(request.request_id, request.made, by_itself=True, now=EPOCH + now)
        self._desk.ended(request.request_id, degrade=True)

    def abandoned(self, request: Request, *, waits: bool) -> None:
        if waits:
            self._queue.remove_request(request)
        self._tracker.forget(request.request_id, request.made, by_itself=False, now=EPOCH + self._clock())
