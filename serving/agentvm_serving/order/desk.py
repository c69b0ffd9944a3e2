"""The desk: ranks requests by a policy, and says what else the policy wants of a step.

An engine's adapter keeps its queues in the order of these ranks, and `running` with
those that decode before those whose prompts are still read: an engine serves the first
first until its budget of tokens is spent, and a prompt that comes first would spend it
all, while everybody else waits for the next token. Only where the KV cache is about to be
full do ranks alone count, since an engine takes blocks back from the last.

The vLLM plug-in and the simulator ask the same desk. The order is kept as requests
come and go; no step sorts what did not change.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from heapq import nlargest
from itertools import islice
from typing import Any, Final

from agentvm_serving.policy import EngineView, Policy, Rank, RequestView, policy_named
from agentvm_serving.policy.admission import hopeless
from agentvm_serving.policy.exchange import displaced
from agentvm_serving.policy.guard import feed_overdue
from agentvm_serving.policy.pace import most_tokens
from agentvm_serving.policy.views import WAITS
from agentvm_serving.slo import best_effort

from .fates import Fate, Fates
from .queue import RankedQueue
from .tracker import MEASURED_A_STEP, Tracker

LOOKED: Final = 10
"""Steps after which a policy whose ranks never change is looked after."""
EXCHANGED: Final = 2
"""Running requests that give way after one plan, at most."""
BLOCK: Final = 16
"""Tokens that one more block of KV holds: what each that runs may ask for in the next step."""
LAST: Final = WAITS - 1
"""The tier after all others that may start."""

logger = logging.getLogger("vllm.agentvm")  # below "vllm", so that it appears in the engine's own log


def reads(request: Any) -> bool:
    """Whether more than its next token is to be worked on: its prompt, or all it has after an eviction."""
    more: int = request.num_tokens - request.num_computed_tokens
    return more > 1


class Desk:
    """One engine's.

    Args:
        clock: Unix seconds.
        reads: the same as `reads`, where an adapter finds it faster.
    """

    def __init__(
        self,
        policy: Policy,
        tracker: Tracker,
        clock: Callable[[], float],
        reads: Callable[[Any], bool] = reads,
    ) -> None:
        self.policy = policy
        self.tracker = tracker
        self.queues: list[RankedQueue] = []
        """What waits."""
        self.sorted = True
        """Whether `running` is in order; the adapter unsets it when it admits."""
        self.reading = 0
        """How many at the end of `running` still had prompts to read when it was sorted."""
        self._reads = reads
        self._scarce = False
        """Whether `running` is in the order of ranks alone."""
        self._clock = clock
        self._fates = Fates()
        self._planned = 0
        self._unmeasured = 0
        self._prompt_tokens: int | None = None
        """Most prompt tokens of a step, if the policy minds."""
        self._places: int | None = None
        """Most requests to have running while some wait, found with each plan; `None` if nobody minds."""

    def order(self, running: Sequence[Any], fits: Callable[[int], bool]) -> tuple[bool, bool]:
        """Rank all anew when that is due, the more seldom the more there are: O(sqrt(N)) a step.

        Args:
            fits: whether the KV of so many tokens has room now.

        Returns:
            Whether it was due; whether `running` is to be sorted by `place`.
        """
        planned = self.steps_to_plan <= 1
        self._planned = 0 if planned else self._planned + 1
        if planned:
            self._look(running)
        scarce = not fits(BLOCK * len(running))
        # Removals keep the order; it changes with admissions, plans, and prompts that are read.
        read = not scarce and not all(map(self._reads, running[len(running) - self.reading :]))
        if self.sorted and scarce == self._scarce and not read:
            return planned, False
        self._scarce, self.sorted = scarce, True
        self.reading = 0 if scarce else sum(map(self._reads, running))
        return planned, True

    def place(self, request: Any) -> tuple[bool, Rank]:
        """Where a request stands among those that run: the smallest is served first and evicted last."""
        return not self._scarce and self._reads(request), self.rank(request)

    @property
    def steps_to_plan(self) -> int:
        """At which call of `order` from here all are ranked anew: 1 is the next one."""
        return max(self.policy.every or LOOKED, math.isqrt(len(self.tracker.views))) - self._planned

    def pass_steps(self, count: int) -> None:
        """So many calls of `order` had nothing to do: less than `steps_to_plan`, `running` in order."""
        self._planned += count

    def measures(self, requests: int) -> bool:
        """Whether a step with so many requests is one to learn from. Call it once a step."""
        return bool(self.measured(requests, 1))

    def measured(self, requests: int, steps: int) -> range:
        """The same of several steps with so many requests: which of them, from 0."""
        every = max(1, -(-requests // MEASURED_A_STEP))
        found = range(max(0, every - 1 - self._unmeasured), steps if requests > 0 else 0, every)
        self._unmeasured = steps - 1 - found[-1] if found else self._unmeasured + steps
        return found

    def plan(self, views: Collection[RequestView], engine: EngineView | None = None) -> None:
        """Let the policy rank some requests; one that fails must not take the engine with it.

        Args:
            engine: as it is now, if that is known already.
        """
        try:
            most = self.policy.plan(views, engine or self._engine())
            if len(views) == len(self.tracker.views):  # a new one alone says nothing of the others
                self._prompt_tokens = most
        except Exception:
            logger.exception(
                "AgentVM: policy %r failed, this is a bug; requests are served in order of arrival from here",
                self.policy,
            )
            self.policy = policy_named("fcfs")
            # All, not those views alone: ranks of two policies cannot be compared.
            self.policy.plan(self.tracker.views.values(), self._engine())
            self._reorder()

    def rank(self, request: Any) -> Rank:
        """Where a request stands."""
        view = self.tracker.views.get(request.request_id)
        # A request vLLM put in a queue without `add_request` goes last, not down with the engine.
        return view.rank if view is not None else (LAST, 0.0, id(request))

    def judge(self, name: str, view: RequestView, degrade: bool) -> dict[str, str | None]:
        """Why a request, new or changed, cannot meet its objective; `None` if it may.

        Args:
            degrade: whether it is then served best effort.

        Returns:
            That by its name, and what changes with it for those that share its fate.
        """
        opened = self._fates.left(name)
        self._fates.joined(name, view.hints)
        own = self._hopeless(view)
        sealed = None if own is None else self._fates.lost(name, own)
        why = own or self._fates.why(name)
        if why is not None and degrade and view.hints is not None:
            view.change(best_effort(view.hints))
        found = {name: why}
        for fate in dict.fromkeys((opened, sealed)):
            found |= {} if fate is None else self._settle(fate, name, degrade)
        return found

    def ended(self, name: str, degrade: bool) -> dict[str, str | None]:
        """A request that was judged has ended. What changes with it for those that share its fate."""
        opened = self._fates.left(name)
        return {} if opened is None else self._settle(opened, name, degrade)

    def _hopeless(self, view: RequestView) -> str | None:
        alone = self.tracker.alone(self._clock(), view)
        return hopeless(view, alone) if alone is not None else None

    def _settle(self, fate: Fate, name: str, degrade: bool) -> dict[str, str | None]:
        """Let those share a fate that was sealed, or is open again; but for the one with that name.

        Returns:
            Why they are in vain, where that is new, and `None` for those that may hope again.
        """
        calls = self._fates.calls(fate)
        calls.pop(name, None)
        if not degrade:
            # Dropped is only what is known to be joined: a site tells that a program said so, not a pattern.
            joined = (each for each, hints in calls.items() if hints.site and hints.siblings > 1)
            shared = ((each, self._fates.why(each)) for each in joined)
            return {each: why for each, why in shared if why is not None}
        views = {each: view for each in calls if (view := self.tracker.views.get(each)) is not None}
        stood = {each: view.hints is calls[each] for each, view in views.items()}
        for each, view in views.items():
            view.change(calls[each])
            if not stood[each] and (own := self._hopeless(view)) is not None:
                self._fates.lost(each, own)
        found: dict[str, str | None] = {}
        for each, view in views.items():
            why = self._fates.why(each)
            if why is not None:
                view.change(best_effort(calls[each]))
            if stood[each] == (why is not None):
                found[each] = why
        if found:
            self.plan([views[each] for each in found])
            self._reorder()
        return found

    def giving_way(self, running: Sequence[Any], fits: Callable[[int], bool]) -> list[Any]:
        """Running requests to evict for waiting ones, where the policy has it and it is worth it.

        Args:
            fits: whether the KV of so many tokens has room now.
        """
        queue = self.queues[0]
        if not (getattr(self.policy, "exchanges", False) and queue and len(running) >= self.tracker.places):
            return []
        views = self.tracker.views
        first = [views[each.request_id] for each in islice(queue, EXCHANGED)]
        last = nlargest(EXCHANGED, running, key=self.rank)
        victims = displaced(first, [views[each.request_id] for each in last], self._engine())
        return [
            request
            for request, victim, wants in zip(last, victims, first, strict=False)
            if fits(wants.prompt_tokens - victim.cached_tokens)
        ]

    def most_running(self, running: int) -> int | None:
        """Most requests to have running, if some that wait should not start now."""
        waiting = may_start = 0
        for queue in self.queues:
            waiting += len(queue)
            may_start += queue.below(WAITS)
        if not waiting:
            return None
        if may_start == waiting:
            return self._places
        return running + may_start if self._places is None else min(self._places, running + may_start)

    def most_tokens(self, running: int, paced: Collection[RequestView] = ()) -> int | None:
        """Most tokens of a step, if the policy or the pace of running requests is to bound it.

        Args:
            paced: the `latency` requests whose tokens are coming, if they are to.
        """
        planned = None if self._prompt_tokens is None else running + self._prompt_tokens
        kept = most_tokens(paced, running, self._engine()) if paced else None
        return min((each for each in (planned, kept) if each is not None), default=None)

    def _look(self, running: Sequence[Any]) -> None:
        views = self.tracker.views.values()
        minded = any(view.has_objective for view in views)
        self._places = self.tracker.places if minded else None
        if self.policy.every:
            self.tracker.refresh(running)
        engine = self._engine()
        if self.policy.every:
            self.plan(views, engine)
        if feed_overdue(views, engine) or self.policy.every:
            self._reorder()

    def _reorder(self) -> None:
        """Put all where their new ranks belong."""
        for queue in self.queues:
            queue.reorder()
        self.sorted = False

    def _engine(self) -> EngineView:
        return self.tracker.engine(self._clock(), max((each.last_tier for each in self.queues), default=0))
