"""`jit`: deadline order over the set of requests that is feasible together.

Just-in-time scheduling after JITServe (NSDI'26, arXiv 2504.20068) inside the
frame of real-time scheduling. A request has a *chance* to be in time: the share
of requests from the same place in a program, no shorter than it is already,
that would fit into the time it has left. Requests are taken in deadline order,
each with the chance it has at its projected start, when those before it have
run. Where waiting would cost one too much of its chance, the set is too large:
the request of least *goodput density* (expected goodput for its expected work,
section 4.2 there) among those so far is left out, as Moore and Hodgson (1968)
leave out the longest job. What is left out runs as far as there is room.

Density order alone, as in GMAX, was measured to fall behind deadline order
wherever most deadlines can be met; deadline order alone wastes the engine on
requests that will be late.

O(N log N) for N requests; the plan holds for some steps.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from .orders import prefill
from .views import EngineView, RequestView

FEASIBLE, LEFT_OUT, HOPELESS = 0, 1, 2
"""Tiers of the rank."""
STARVED: Final = -1
"""Tier of those that have waited too long."""
EARLIER: Final = 1e12
"""Seconds that put a chat before whatever goes by density."""


@dataclass(slots=True, eq=False)
class _Job:
    """What a plan finds out about one request."""

    view: RequestView
    due: float
    """When its next token (`latency`) or its last one is due, Unix seconds."""
    chance: float
    """Probability of goodput if it went on now."""
    density: float
    """Expected goodput, tokens, for a second of one slot."""
    work: float
    """Expected seconds of one slot."""
    later: float = 0.0
    """Expected seconds of one slot that the program's later stages take."""
    waits: bool = False
    """Whether its start is still to come, so that those before it cost it time."""


@dataclass(frozen=True, slots=True)
class Jit:
    """The policy.

    Nearer to 1, `keep` leaves out more and sooner: more tokens in time under
    overload, of fewer requests.
    """

    keep: float = 0.97
    """Share of its chance that a request must keep when it waits for those before it."""
    least: float = 0.5
    """Chance under which a request is hopeless."""
    patience: float = 60.0
    """Seconds of waiting after which a request goes first, so that none starves."""
    starved_share: float = 0.125
    """Share of the slots that such requests may take, at least one."""
    every: int = 10
    dense: bool = False
    """Whether the feasible set goes by density, after its chats: more tokens in time, fewer requests."""
    ahead: float = 0.0
    """Share of the work of programs' later stages that counts when the set is judged too large."""
    exchanges: bool = False
    """Whether running requests out of the feasible set give way to those in it (`exchange`)."""

    def plan(self, views: Collection[RequestView], engine: EngineView) -> None:
        jobs = [_job(view, engine) for view in views]
        for job in jobs:
            job.view.rank = (HOPELESS, -job.chance, job.view.ordinal)
        hopeful = [each for each in jobs if each.chance >= self.least]
        for job in hopeful:
            job.view.rank = (LEFT_OUT, -job.density, job.view.ordinal)
        wanted = sorted((each for each in hopeful if each.density), key=lambda each: each.due)
        left_out = set(map(id, self._left_out(wanted, engine)))
        for job in wanted:
            if id(job) not in left_out:
                job.view.rank = (FEASIBLE, self._place(job), job.view.ordinal)
        self._feed_starved(views, engine)

    def _place(self, job: _Job) -> float:
        """Where a job goes in the feasible set, the smallest first."""
        if not self.dense:
            return job.due
        hints = job.view.hints
        return job.due - EARLIER if hints is not None and hints.slo == "latency" else -job.density

    def _left_out(self, jobs: Iterable[_Job], engine: EngineView) -> list[_Job]:
        """Those that would make others late, of jobs in deadline order."""
        taken: list[tuple[float, int, _Job]] = []
        out: list[_Job] = []
        work = 0.0
        for number, job in enumerate(jobs):
            heapq.heappush(taken, (job.density, number, job))
            work += (load := self._load(job))
            while job.waits and not self._fits(job, engine, max(0.0, work - load)):
                _, _, worst = heapq.heappop(taken)
                out.append(worst)
                work -= self._load(worst)
                if worst is job:
                    break
        return out

    def _load(self, job: _Job) -> float:
        return job.work + self.ahead * job.later

    def _fits(self, job: _Job, engine: EngineView, before: float) -> bool:
        """Whether the job keeps its chance if it waits for so much work (seconds of one slot)."""
        start = engine.now + before / engine.slots
        return _chance(job.view, engine, job.due, start) >= self.keep * job.chance

    def _feed_starved(self, views: Collection[RequestView], engine: EngineView) -> None:
        """Let those go first that have waited longest, as many as have a share of the slots."""
        room = max(1, int(self.starved_share * engine.slots))
        starved = [
            view for view in views if view.rank[0] != FEASIBLE and engine.now - view.arrival > self.patience
        ]
        for view in heapq.nsmallest(room, starved, key=lambda view: view.ordinal):
            view.rank = (STARVED, view.arrival, view.ordinal)


def _job(view: RequestView, engine: EngineView) -> _Job:
    hints = view.hints
    start = prefill(view, engine)
    left = engine.length(view).expected - view.output_tokens
    # The others wait while a prompt is worked on; decoding takes one slot of many.
    work = left * engine.step + start * engine.slots
    if hints is None or hints.slo == "best_effort":
        return _Job(view, view.deadline, 1.0, 0.0, work)
    if hints.slo == "latency":
        return _token_by_token(view, engine, start, left, work)
    due = view.deadline
    value = float(view.output_tokens + left)
    after_work = 0.0
    for stage in hints.remaining:
        calls = stage.calls / hints.siblings
        due -= stage.times * (stage.output_tokens * engine.step + stage.tool_seconds + engine.step)
        after_work += stage.times * calls * stage.output_tokens * engine.step
        value += stage.times * calls * stage.output_tokens
    value += engine.attained.get(view.program, 0) / hints.siblings
    chance = _chance(view, engine, due, engine.now)
    return _Job(view, due, chance, chance * value / (work + after_work), work, after_work, not view.running)


def _chance(view: RequestView, engine: EngineView, due: float, start: float) -> float:
    """Probability that the request is done when due, if it goes on at a moment."""
    seconds = due - start - prefill(view, engine) - engine.step
    tokens = view.output_tokens + math.floor(seconds / engine.step)
    return engine.chance(view, tokens)


def _token_by_token(view: RequestView, engine: EngineView, start: float, left: int, work: float) -> _Job:
    """A latency request: late tokens do not count, but a faster engine than asked for catches up."""
    due = view.next_due
    late = engine.now + start + engine.step - due
    gained = view.pace - engine.step
    if late <= 0:
        good = float(left)
    elif gained <= 0:
        good = 0.0
    else:
        good = max(0.0, left - math.ceil(late / gained))
    return _Job(view, due, 1.0 if good else 0.0, good / work, work)
