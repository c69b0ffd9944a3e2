"""The scheduler class: vLLM's own, with requests in the order of a policy.

A mixin over whichever stock scheduler the configuration asks for. It changes
two orders and nothing else: `waiting`, from whose head vLLM admits, and
`running`, from whose tail it takes blocks back when the KV cache is full. Both
are kept as requests come and go; no step sorts what did not change.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from agentvm_serving.policy import DEFAULT_POLICY, Rank, RequestView, policy_named
from agentvm_serving.slo import from_extra_args

from . import POLICY_VARIABLE
from .compat import obstacles, ranked_queues
from .journal import Counts, EventLog, unix_seconds
from .queue import RankedQueue

logger = logging.getLogger("vllm.agentvm")  # below "vllm", so that it appears in the engine's own log

if TYPE_CHECKING:

    class _Stock:
        """What the mixin uses of vLLM's `Scheduler`."""

        running: list[Any]

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def add_request(self, request: Any) -> None: ...
        def schedule(self, *args: Any, **kwargs: Any) -> Any: ...
        def _select_waiting_queue_for_scheduling(self) -> Any: ...
        def _free_request(self, request: Any, *args: Any, **kwargs: Any) -> Any: ...
        def shutdown(self) -> None: ...
else:
    _Stock = object


class PolicyMixin(_Stock):
    """Orders a stock scheduler's requests by a policy, and logs their stages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = os.environ.get(POLICY_VARIABLE) or DEFAULT_POLICY
        self._policy = policy_named(name)
        self._views: dict[str, RequestView] = {}
        self._unscheduled: set[str] = set()
        self._ranks: dict[str, Rank] = {}
        self._admitted = False
        self._ordinal = 0
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
        logger.info("AgentVM orders requests by policy %r", name)

    def add_request(self, request: Any) -> None:
        """Rank a new request, then let vLLM enqueue it."""
        if request.request_id not in self._views:  # else the next input of a streaming session
            self._introduce(request)
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Plan one step, with `running` in rank order so that its tail is the last due."""
        if self._ordering and self._admitted:
            # Removals keep the order, so only an admission calls for sorting.
            self.running.sort(key=self._rank)
            self._admitted = False
        output = super().schedule(*args, **kwargs)
        self._note_admissions(output)
        return output

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
        view = self._views.pop(name, None)
        self._ranks.pop(name, None)
        self._unscheduled.discard(name)
        if view is not None:
            self.counts.finished += 1
            produced = int(getattr(request, "num_output_tokens", 0))
            self._log("finished", name, view, status=request.status.name, output_tokens=produced)
        return freed

    def shutdown(self) -> None:
        """Close the event log with the scheduler."""
        super().shutdown()
        self._events.close()

    def _introduce(self, request: Any) -> None:
        name = request.request_id
        hints = from_extra_args(getattr(request.sampling_params, "extra_args", None), request=name)
        view = RequestView(
            ordinal=self._ordinal,
            arrival=unix_seconds(request.arrival_time),
            hints=hints,
            prompt_tokens=request.num_prompt_tokens,
        )
        self._ordinal += 1
        self._views[name] = view
        self._ranks[name] = self._policy(view)
        self._unscheduled.add(name)
        self.counts.added += 1
        self.counts.with_hints += hints is not None
        self._log("added", name, view)

    def _note_admissions(self, output: Any) -> None:
        cached = output.scheduled_cached_reqs
        resumed = getattr(cached, "resumed_req_ids", None)
        self._admitted |= bool(output.scheduled_new_reqs or resumed)
        if not self._unscheduled:
            return
        for new in output.scheduled_new_reqs:  # a resumed request may appear here again
            if new.req_id in self._unscheduled:
                self._unscheduled.remove(new.req_id)
                self.counts.first_scheduled += 1
                self._log("first_scheduled", new.req_id, self._views[new.req_id])

    def _rank(self, request: Any) -> Rank:
        # A request vLLM put in a queue without `add_request` goes last, not down with the engine.
        return self._ranks.get(request.request_id, (float("inf"), id(request)))

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
    """Make the engine's scheduler; what vLLM's `scheduler_cls` names.

    A factory and not a class, because which stock scheduler fits (asynchronous
    or not) is known only once the configuration is complete.
    """
    cls = scheduler_class(bool(vllm_config.scheduler_config.async_scheduling))
    return cls(vllm_config, *args, **kwargs)
