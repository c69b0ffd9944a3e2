"""`reserve`: as many programs as the engine can carry to their ends, and the others kept out of it.

A GPU has room for nearly all requests at once, so their order says little; what is
scarce is the time of a step, which all that run share. Everybody who is let in makes
everybody's steps longer, and under overload all are late together. So the plan picks
how long a step may be, and who runs at that pace:

- A request is in time at steps of `s` seconds if `s` is at most its *pace*: the time it
  has left, without the tools and prompts to come, over the output tokens that it and the
  stages after it make in a row.
- In a step of `s` there is room for `(s - decode) / per_prefill` prompt tokens beside the
  decoding of those that run. A request needs *bandwidth* of it: the prompt tokens that
  it and the stages after it bring, over the time it has for them.
- At each `s`, requests are taken while their bandwidths fit: what runs or has begun, then
  chats (which need little, soon), then the largest goodput for its cost. The `s` at which
  those taken are worth most is the one; while more wait than run, room that is left is
  worth something, too, since others will come for it.

Prompts are cut so that no step takes longer. Who was not taken waits outside (`WAITS`),
until there is bandwidth to spare.

After JITServe's minimum bandwidth and goodput density (NSDI'26, section 4.2) and the
reservation of token rates of SLOs-Serve (arXiv 2504.08784, section 3); that the length
of steps is chosen with the set is ours. O(K N log N), K step lengths, N requests, of
which at most `SEEN` wait.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .views import WAITS, EngineView, RequestView

TAKEN, LEFT_OUT, HOPELESS = 0, 1, 2
"""Tiers of the rank."""
LENGTHS: Final = 12
"""Step lengths that are tried, from that of a small piece of a prompt to that of as many tokens as may be."""
LEAST: Final = 64
"""Prompt tokens that a step may always work on, so that prompts come to their end."""
TIGHT: Final = 1.1
"""Share of the room for prompts that what has begun may have reserved: beyond it, steps are too short."""
SEEN: Final = 256
"""Waiting requests that a plan looks at, the soonest due."""
SOON: Final = 10.0
"""Seconds in which the prompt of a request without an objective is to be read, if there is room."""
EARLIER: Final = 1e12
"""Seconds that put a chat before whatever has a deadline."""


@dataclass(slots=True, eq=False)
class _Job:
    """What a plan finds out about one request."""

    view: RequestView
    missing: int
    """Prompt tokens of its own that are not in the cache."""
    left: int
    """Output tokens of its own to come, expected."""
    chat: bool = False
    begun: bool = False
    """Whether it runs, or its program has made calls already."""
    goodput: float = 0.0
    """Tokens at stake; 0 without an objective, or if it is lost."""
    prompts: float = 0.0
    """Prompt tokens to come, with those of later stages."""
    outputs: float = 0.0
    in_a_row: float = 0.0
    """Output tokens that must come one after the other."""
    prompts_in_a_row: float = 0.0
    ends: float = math.inf
    """When the last token is due, less the time of tools: Unix seconds."""
    density: float = 0.0
    """Tokens at stake for a second of the engine."""

    def pace(self, engine: EngineView) -> float:
        """Longest step, seconds, with which it is in time."""
        if self.chat:
            ahead = max(0.0, self.view.next_due - engine.now) if self.view.output_tokens else 0.0
            return self.view.pace + ahead / self.left
        # A prompt that is read in pieces takes about twice as long as at once.
        reading = 2 * engine.per_prefill * self.prompts_in_a_row
        return (self.ends - engine.now - reading) / self.in_a_row

    def bandwidth(self, now: float, step: float) -> float:
        """Prompt tokens a second that it needs with such steps."""
        if not self.prompts:
            return 0.0
        if self.chat:
            return self.prompts / max(0.2, self.ends - now)
        return self.prompts / max(0.2, self.ends - now - self.in_a_row * step)

    def decodes(self, now: float, step: float) -> float:
        """Share of the time in which it decodes."""
        if self.view.running:
            return 1.0
        return min(1.0, self.in_a_row * step / max(0.1, self.ends - now))


@dataclass(frozen=True, slots=True)
class _Set:
    """Who runs, and how long steps may be then."""

    step: float
    jobs: Sequence[_Job]
    spare: float
    """Prompt tokens a second that nobody has reserved."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """The policy."""

    every: int = 10
    going: float = 0.7
    """Share of the pace that what has begun must have: lengths are estimates, and it is half paid for."""
    fresh: float = 0.8
    """The same for what has not."""
    ahead: float = 60.0
    """Seconds for which room that is left is worth what requests bring on average, if more wait than run."""

    def plan(self, views: Collection[RequestView], engine: EngineView) -> int | None:
        if len(views) == 1:
            self._meet(next(iter(views)))
            return None
        jobs = [_job(view, engine) for view in _seen(views, engine)]
        minded = [job for job in jobs if job.goodput]
        if not minded:
            for view in views:
                view.rank = (TAKEN, view.arrival, view.ordinal)
            return None
        chosen = self._best(minded, [job for job in jobs if not job.goodput], engine)
        taken = set(map(id, chosen.jobs))
        rest = [job for job in jobs if id(job) not in taken]
        self._keep_out(views, rest, chosen, engine)
        for job in chosen.jobs:
            start = job.view.next_due - EARLIER if job.chat else job.ends - job.in_a_row * chosen.step
            job.view.rank = (TAKEN, start, job.view.ordinal)
        return max(LEAST, int((chosen.step - engine.decode) / engine.per_prefill))

    def _meet(self, view: RequestView) -> None:
        """A new one alone: the others are not to be seen. A program waits for the next plan."""
        waits = not view.running and view.hints is not None and bool(view.hints.remaining)
        view.rank = (WAITS if waits else TAKEN, view.deadline, view.ordinal)

    def _best(self, minded: list[_Job], others: Iterable[_Job], engine: EngineView) -> _Set:
        """The set of most worth over all step lengths."""
        brought = sum(job.view.prompt_tokens + job.prompts for job in minded)
        worth = sum(job.goodput for job in minded) / max(1.0, brought)
        outside = sum(not job.view.running for job in minded)
        worth *= self.ahead * min(1.0, outside / max(1, len(minded) - outside))
        minded.sort(key=lambda job: (not job.view.running, not job.begun, not job.chat, -job.density))
        unminded = sum(job.view.running for job in others) * engine.marginal
        least = engine.base + LEAST * engine.per_prefill
        most = max(engine.decode, engine.base) + engine.budget * engine.per_prefill
        found: tuple[float, _Set] | None = None
        for number in range(LENGTHS):
            step = least * (most / least) ** (number / (LENGTHS - 1))
            jobs, room, reserved = self._taken(minded, engine, step, engine.base + unminded)
            if TIGHT * room < reserved and number < LENGTHS - 1:
                continue  # what has begun does not fit: steps are too short for its prompts
            value = sum(job.goodput for job in jobs) + worth * room
            if found is None or value >= found[0]:
                found = value, _Set(step, jobs, room - reserved)
        assert found is not None
        return found[1]

    def _taken(
        self, minded: Iterable[_Job], engine: EngineView, step: float, decode: float
    ) -> tuple[list[_Job], float, float]:
        """Who fits into steps of a length, its room for prompts (tokens a second), what is reserved of it."""
        jobs: list[_Job] = []
        reserved = 0.0
        for job in minded:
            if job.pace(engine) < step * (self.going if job.begun else self.fresh):
                decode += engine.marginal if job.view.running else 0.0  # it is late, and runs all the same
                continue
            needs = job.bandwidth(engine.now, step)
            with_it = decode + job.decodes(engine.now, step) * engine.marginal
            if not (job.begun or job.chat) and reserved + needs > _room(step, with_it, engine):
                continue
            decode = with_it
            reserved += needs
            jobs.append(job)
        return jobs, _room(step, decode, engine), reserved

    def _keep_out(
        self, views: Collection[RequestView], rest: Sequence[_Job], chosen: _Set, engine: EngineView
    ) -> None:
        """Rank those that were not taken; who waits starts only where bandwidth is to spare."""
        for view in views:
            view.rank = (WAITS + HOPELESS, view.arrival, view.ordinal)
        least = engine.decode + LEAST * engine.per_prefill
        for job in rest:
            hopes = job.goodput and job.pace(engine) >= least
            place = (LEFT_OUT, -job.density) if hopes else (HOPELESS, job.view.arrival)
            job.view.rank = (*place, job.view.ordinal)
        spare = chosen.spare if chosen.jobs else math.inf
        for job in sorted(rest, key=lambda job: job.view.rank):
            if job.view.running:
                continue
            if spare < job.missing / SOON:
                tier, start, ordinal = job.view.rank
                job.view.rank = (WAITS + tier, start, ordinal)
            spare -= job.missing / SOON


def _room(step: float, decode: float, engine: EngineView) -> float:
    """Prompt tokens a second beside so much decoding in each step."""
    return max(0.0, step - decode) / (engine.per_prefill * step)


def _seen(views: Collection[RequestView], engine: EngineView) -> Iterable[RequestView]:
    """What runs, and of what waits as much as a plan can look at: the soonest due."""
    waiting = [view for view in views if not view.running]
    if len(waiting) <= SEEN:
        return views
    hopeful = [view for view in waiting if view.deadline > engine.now or not view.has_objective]
    kept = heapq.nsmallest(SEEN, hopeful or waiting, key=lambda view: (view.deadline, view.ordinal))
    return [*(view for view in views if view.running), *kept]


def _job(view: RequestView, engine: EngineView) -> _Job:
    hints = view.hints
    missing = view.prompt_tokens + view.output_tokens - view.cached_tokens
    job = _Job(
        view,
        missing if missing > 1 else 0,
        max(1, engine.length(view).expected - view.output_tokens),
        begun=view.running,
    )
    if hints is None or hints.slo == "best_effort":
        return job
    job.prompts, job.outputs, job.in_a_row = job.missing, job.left, job.left
    job.prompts_in_a_row, job.ends = job.missing, view.deadline
    if hints.slo == "latency":
        job.chat, job.ends = True, view.next_due
        lost = view.next_due < engine.now and not view.output_tokens
        job.goodput = 0.0 if lost else float(job.left)
    else:
        attained = engine.attained.get(view.program, 0)
        job.begun = view.running or bool(attained)
        job.goodput = view.output_tokens + job.left + attained / hints.siblings
        for stage in hints.remaining:
            calls = stage.times * stage.calls / hints.siblings
            job.prompts += calls * stage.input_tokens
            job.outputs += calls * stage.output_tokens
            job.goodput += calls * stage.output_tokens
            job.in_a_row += stage.times * stage.output_tokens
            job.prompts_in_a_row += stage.times * stage.input_tokens
            job.ends -= stage.times * stage.tool_seconds
    cost = job.prompts * engine.per_prefill + job.outputs * engine.marginal
    job.density = job.goodput / max(1e-6, cost)
    return job
