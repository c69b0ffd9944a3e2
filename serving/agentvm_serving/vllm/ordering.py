"""Keeping a scheduler's requests in the order of a policy, and what else the policy wants of a step.

The order of `waiting` and `running` is kept as requests come and go; no step
sorts what did not change.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Any

from agentvm_serving.policy import DEFAULT_POLICY, Policy, Rank, RequestView, policy_named
from agentvm_serving.policy.exchange import displaced
from agentvm_serving.policy.guard import feed_overdue
from agentvm_serving.policy.pace import most_tokens
from agentvm_serving.policy.views import WAITS

from .levers import Levers
from .observer import Observer
from .queue import RankedQueue
from .tracker import Tracker

LOOKED = 10
"""Steps after which a policy whose ranks never change is looked after."""
EXCHANGED = 2
"""Running requests that give way after one plan, at most."""
LAST = WAITS - 1
"""The tier after all others that may start."""

logger = logging.getLogger("vllm.agentvm")  # below "vllm", so that it appears in the engine's own log

if TYPE_CHECKING:

    class _Stock:
        """What the mixin uses of vLLM's `Scheduler`."""

        running: list[Any]
        requests: dict[str, Any]
        scheduler_config: Any
        cache_config: Any
        block_size: int
        log_stats: bool

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def add_request(self, request: Any) -> None: ...
        def schedule(self, *args: Any, **kwargs: Any) -> Any: ...
        def update_from_output(self, output: Any, *args: Any, **kwargs: Any) -> Any: ...
        def _select_waiting_queue_for_scheduling(self) -> Any: ...
        def _free_request(self, request: Any, *args: Any, **kwargs: Any) -> Any: ...
        def shutdown(self) -> None: ...
else:
    _Stock = object


class OrderMixin(_Stock):
    """Orders a stock scheduler's requests by a policy."""

    policy_in_force: Policy = policy_named(DEFAULT_POLICY)
    """What ranks the requests."""
    keeps_pace = False
    """Whether prompts are cut so that no step takes longer than running requests were promised."""
    clock = staticmethod(time.time)
    """Unix seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._policy = self.policy_in_force
        memory = self.cache_config.num_gpu_blocks * self.block_size
        self._tracker = Tracker(self.scheduler_config.max_num_seqs, memory)
        self._observer = Observer(self._tracker, self.log_stats)
        self._sorted = True
        self._planned = 0
        self._places: int | None = None
        """Most requests to have running while some wait, found with each plan; `None` if nobody minds."""
        self._levers = Levers(self)
        self._levers.warn()
        self._queues: list[RankedQueue] = []
        if "order" in self._levers:
            self._queues = self._levers.take_order(self._rank)
            logger.info("AgentVM orders requests by %r", self._policy)

    def _order(self) -> bool:
        """Rank all anew when that is due, the more seldom the more there are: O(sqrt(N)) a step.

        Whether it was.
        """
        views = self._tracker.views.values()
        planned = False
        self._planned += 1
        if self._planned >= max(self._policy.every or LOOKED, math.isqrt(len(views))):
            self._planned = 0
            minded = any(view.has_objective for view in views)
            self._places = self._tracker.places if minded else None
            if self._policy.every:
                self._tracker.refresh(self.running)
                self._plan(views)
            if feed_overdue(views, self._tracker.engine(self.clock())) or self._policy.every:
                self._reorder()
            planned = True
        if not self._sorted:
            # Removals keep the order, so only an admission or a plan calls for sorting.
            self._levers.sort_running(self._rank)
            self._sorted = True
        if planned:
            self._exchange()
        return planned

    def _exchange(self) -> None:
        """Let running requests give way to waiting ones where the policy has it and it is worth it."""
        queue = self._queues[0]
        if not (
            getattr(self._policy, "exchanges", False) and queue and len(self.running) >= self._tracker.places
        ):
            return
        views = self._tracker.views
        first = [views[each.request_id] for each in islice(queue, EXCHANGED)]
        last = self.running[: -EXCHANGED - 1 : -1]
        ranked = [views[each.request_id] for each in last]
        victims = displaced(first, ranked, self._tracker.engine(self.clock()))
        for request, victim, wants in zip(last, victims, first, strict=False):
            if self._levers.fits(wants.prompt_tokens - victim.cached_tokens):
                self._levers.evict(request)

    def _most_running(self) -> int | None:
        """Most requests to have running, if some that wait should not start now."""
        waiting = sum(map(len, self._queues))
        if not waiting:
            return None
        may_start = sum(queue.below(WAITS) for queue in self._queues)
        limits = [self._places, len(self.running) + may_start if may_start < waiting else None]
        return min((each for each in limits if each is not None), default=None)

    def _most_tokens(self) -> int | None:
        """Most tokens of this step, if the pace of running requests is to bound it."""
        if not self.keeps_pace:
            return None
        paced = [self._tracker.views[name] for name in self._observer.decoding()]
        return most_tokens(paced, len(self.running), self._tracker.engine(self.clock()))

    def _plan(self, views: Collection[RequestView]) -> None:
        """Let the policy rank some requests; one that fails must not take the engine with it."""
        try:
            self._policy.plan(views, self._tracker.engine(self.clock()))
        except Exception:
            logger.exception(
                "AgentVM: policy %r failed, this is a bug; requests are served in order of arrival from here",
                self._policy,
            )
            self._policy = policy_named("fcfs")
            # All, not those views alone: ranks of two policies cannot be compared.
            self._policy.plan(self._tracker.views.values(), self._tracker.engine(self.clock()))
            self._reorder()

    def _reorder(self) -> None:
        """Put all where their new ranks belong."""
        for queue in self._queues:
            queue.reorder()
        self._sorted = False

    def _rank(self, request: Any) -> Rank:
        view = self._tracker.views.get(request.request_id)
        # A request vLLM put in a queue without `add_request` goes last, not down with the engine.
        return view.rank if view is not None else (LAST, 0.0, id(request))
