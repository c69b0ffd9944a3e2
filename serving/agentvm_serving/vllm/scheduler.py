"""The scheduler class: vLLM's own, with requests in the order of a policy.

A mixin over whichever stock scheduler the configuration asks for. It changes
two orders and nothing else: `waiting`, from whose head vLLM admits, and
`running`, from whose tail it takes blocks back when the KV cache is full. Both
are kept as requests come and go; no step sorts what did not change.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentvm_serving.policy import DEFAULT_POLICY, Policy, Rank, RequestView, policy_named

from . import POLICY_VARIABLE
from .compat import obstacles, ranked_queues
from .journal import Counts, EventLog
from .queue import RankedQueue
from .tracker import Tracker, batch_of

PLANNED_A_STEP = 100
"""Requests that are ranked anew for each step, on average, at most."""
LAST = sys.maxsize
"""The tier after all others."""
ENDED_BY_ITSELF = frozenset(("FINISHED_STOPPED", "FINISHED_LENGTH_CAPPED"))
"""Statuses of requests that tell how long such requests are."""

logger = logging.getLogger("vllm.agentvm")  # below "vllm", so that it appears in the engine's own log

if TYPE_CHECKING:

    class _Stock:
        """What the mixin uses of vLLM's `Scheduler`."""

        running: list[Any]
        requests: dict[str, Any]
        scheduler_config: Any

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def add_request(self, request: Any) -> None: ...
        def schedule(self, *args: Any, **kwargs: Any) -> Any: ...
        def update_from_output(self, output: Any, *args: Any, **kwargs: Any) -> Any: ...
        def _select_waiting_queue_for_scheduling(self) -> Any: ...
        def _free_request(self, request: Any, *args: Any, **kwargs: Any) -> Any: ...
        def shutdown(self) -> None: ...
else:
    _Stock = object


class PolicyMixin(_Stock):
    """Orders a stock scheduler's requests by a policy, and logs their stages."""

    policy_in_force: Policy = policy_named(DEFAULT_POLICY)
    """What ranks the requests."""
    clock = staticmethod(time.time)
    """Unix seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._policy = self.policy_in_force
        self._tracker = Tracker(slots=self.scheduler_config.max_num_seqs)
        self._unscheduled: set[str] = set()
        self._sorted = True
        self._planned = 0
        self._step_began = 0.0
        self.counts = Counts()
        self._events = EventLog.from_environment()
        problems = obstacles(self)
        self._ordering = not problems
        if problems:
            logger.warning(
                "AgentVM cannot order the requests of this engine (%s): it serves in vLLM's own order. "
                "Supported are vLLM 0.26 to 0.33 with --scheduling-policy fcfs.",
                "; ".join(problems),
            )
            return
        for queue in ranked_queues(self):
            setattr(self, queue, RankedQueue(self._rank, getattr(self, queue)))
        logger.info("AgentVM orders requests by %r", self._policy)

    def add_request(self, request: Any) -> None:
        """Rank a new request, then let vLLM enqueue it."""
        if request.request_id not in self._tracker.views:  # else the next input of a streaming session
            self._introduce(request)
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Plan one step, with `running` in rank order so that its tail is what can wait longest."""
        if self._ordering:
            self._plan()
        self._step_began = self.clock()
        output = super().schedule(*args, **kwargs)
        self._note_admissions(output)
        return output

    def update_from_output(self, output: Any, *args: Any, **kwargs: Any) -> Any:
        """Learn how long the step took, then let vLLM take its tokens."""
        batch = batch_of(self.requests, output.num_scheduled_tokens)
        if batch.prefill or batch.decodes:
            self._tracker.steps.measured(batch, self.clock() - self._step_began)
        self._step_began = self.clock()  # of the next step, if that is under way already
        return super().update_from_output(output, *args, **kwargs)

    def _plan(self) -> None:
        """Rank all anew when that is due, the more seldom the more there are."""
        every = self._policy.every
        self._planned += 1
        if every and self._planned >= max(every, len(self._tracker.views) // PLANNED_A_STEP):
            self._planned = 0
            self._tracker.refresh(self.requests, self.running)
            self._policy.plan(self._tracker.views.values(), self._tracker.engine(self.clock()))
            for name in ranked_queues(self):
                getattr(self, name).reorder()
            self._sorted = False
        if not self._sorted:
            # Removals keep the order, so only an admission or a plan calls for sorting.
            self.running.sort(key=self._rank)
            self._sorted = True

    def _select_waiting_queue_for_scheduling(self) -> Any:
        """Take from whichever queue has the smaller rank at its head (vLLM before 0.32 has two)."""
        stock = super()._select_waiting_queue_for_scheduling()
        queues = [queue for name in ranked_queues(self) if (queue := getattr(self, name))]
        if not self._ordering or stock is None or len(queues) < 2:
            return stock
        return min(queues, key=lambda queue: self._rank(queue.peek_request()))

    def _free_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Forget a finished or aborted request, after vLLM has freed it."""
        freed = super()._free_request(request, *args, **kwargs)
        name = request.request_id
        status = request.status.name
        view = self._tracker.forget(request, by_itself=status in ENDED_BY_ITSELF)
        self._unscheduled.discard(name)
        if view is not None:
            self.counts.finished += 1
            self._log("finished", name, view, status=status, output_tokens=request.num_output_tokens)
        return freed

    def shutdown(self) -> None:
        """Close the event log with the scheduler."""
        super().shutdown()
        self._events.close()

    def _introduce(self, request: Any) -> None:
        name = request.request_id
        view = self._tracker.introduce(request)
        self._policy.plan([view], self._tracker.engine(self.clock()))
        self._unscheduled.add(name)
        self.counts.added += 1
        self.counts.with_hints += view.hints is not None
        self._log("added", name, view)

    def _note_admissions(self, output: Any) -> None:
        cached = output.scheduled_cached_reqs
        resumed = getattr(cached, "resumed_req_ids", None)
        if output.scheduled_new_reqs or resumed:
            self._sorted = False
        if not self._unscheduled:
            return
        for new in output.scheduled_new_reqs:  # a resumed request may appear here again
            if new.req_id in self._unscheduled:
                self._unscheduled.remove(new.req_id)
                self.counts.first_scheduled += 1
                self._log("first_scheduled", new.req_id, self._tracker.views[new.req_id])

    def _rank(self, request: Any) -> Rank:
        view = self._tracker.views.get(request.request_id)
        # A request vLLM put in a queue without `add_request` goes last, not down with the engine.
        return view.rank if view is not None else (LAST, 0.0, id(request))

    def _log(self, event: str, name: str, view: RequestView, **fields: Any) -> None:
        key = view.hints.key if view.hints else ""
        self._events.write(event, name, key, deadline=view.deadline, arrival=view.arrival, **fields)


def scheduler_class(asynchronous: bool) -> type[Any]:
    """The stock scheduler for that mode, with the mixin over it."""
    if asynchronous:
        from vllm.v1.core.sched.async_scheduler import AsyncScheduler as Base
    else:
        from vllm.v1.core.sched.scheduler import Scheduler as Base
    return type(f"AgentVM{Base.__name__}", (PolicyMixin, Base), {"__module__": __name__})


def create(vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
    """Make the engine's scheduler, with the policy that the environment names; what `scheduler_cls` names.

    A factory and not a class, because which stock scheduler fits (asynchronous
    or not) is known only once the configuration is complete.
    """
    policy = os.environ.get(POLICY_VARIABLE) or DEFAULT_POLICY
    return creator(policy)(vllm_config, *args, **kwargs)


def creator(policy: str) -> Callable[..., Any]:
    """A factory of schedulers with that policy. Raises ConfigError if there is none of that name."""
    chosen = policy_named(policy)

    def make(vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
        cls = scheduler_class(bool(vllm_config.scheduler_config.async_scheduling))
        return type(cls.__name__, (cls,), {"policy_in_force": chosen, "__module__": __name__})(
            vllm_config, *args, **kwargs
        )

    return make
