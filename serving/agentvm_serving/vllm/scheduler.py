"""The scheduler class: vLLM's own, with requests in the order of a policy.

A mixin over whichever stock scheduler the configuration asks for. It changes
two orders: `waiting`, from whose head vLLM admits, and `running`, from whose
tail it takes blocks back when the KV cache is full. What the orders are is decided
in `agentvm_serving.order`, what it does to vLLM's private parts is in `levers`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from agentvm_serving.order.tracker import batch_of
from agentvm_serving.policy import DEFAULT_POLICY, RequestView, policy_named
from agentvm_serving.slo import changed

from . import HOPELESS_VARIABLE, PACE_VARIABLE, POLICY_VARIABLE, SWITCH_VARIABLE
from .control import connect
from .journal import Counts
from .ordering import OrderMixin


class PolicyMixin(OrderMixin):
    """Keeps account of a stock scheduler's requests, and lets clients change them."""

    may_change_policy = False
    """Whether clients may change the policy."""
    rejects = False
    """Whether requests that cannot meet their objective are rejected; else they are served best effort."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._step_began = 0.0

    @property
    def counts(self) -> Counts:
        """How many requests reached each stage."""
        return self._observer.counts

    # vLLM's interface ------------------------------------------------------

    def add_request(self, request: Any) -> None:
        """Rank a new request, then let vLLM enqueue it."""
        if request.request_id in self._tracker.views:  # the next input of a streaming session
            super().add_request(request)
            return
        view, _ = self._observer.arrived(request)
        judged = self._judge(request.request_id, view)
        self._desk.plan([view])
        super().add_request(request)
        self._drop(judged)

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Plan one step, with `running` in rank order so that its tail is what can wait longest."""
        began = time.perf_counter()
        if self._queues and self._order() and self.rejects:
            self._reject_hopeless()
        self._step_began = now = self.clock()
        most = self._desk.most_running(len(self.running))
        self._observer.holding(self._holds_back(most), now)
        with self._levers.step(self._most_tokens(), most):
            output = super().schedule(*args, **kwargs)
        if self._observer.scheduled(output, self._step_began, time.perf_counter() - began):
            self._desk.sorted = False
        return output

    def _holds_back(self, most: int | None) -> bool:
        """Whether somebody waits who would have a slot if more were to run than so many."""
        if most is None or most >= self._tracker.slots:
            return False
        return sum(map(len, self._queues)) > max(0, most - len(self.running))

    def update_from_output(self, output: Any, *args: Any, **kwargs: Any) -> Any:
        """Learn how long the step took, then let vLLM take its tokens."""
        now = self.clock()
        if self._desk.measures(len(output.num_scheduled_tokens)):
            self._observer.stepped(
                batch_of(self.requests, output.num_scheduled_tokens), now - self._step_began
            )
        self._step_began = now  # of the next step, if that is under way already
        outputs = super().update_from_output(output, *args, **kwargs)
        self._observer.produced(now)
        self._levers.tell_rejected(outputs)
        return outputs

    def _select_waiting_queue_for_scheduling(self) -> Any:
        """Take from whichever queue has the smaller rank at its head (vLLM before 0.32 has two)."""
        stock = super()._select_waiting_queue_for_scheduling()
        queues = [queue for queue in self._queues if queue]
        if stock is None or len(queues) < 2:
            return stock
        return min(queues, key=lambda queue: self._desk.rank(queue.peek_request()))

    def _free_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Forget a finished or aborted request, after vLLM has freed it."""
        freed = super()._free_request(request, *args, **kwargs)
        self._observer.ended(request, self.clock())
        self._note(self._desk.ended(request.request_id, degrade=not self.rejects))
        return freed

    def shutdown(self) -> None:
        """Close the event log with the scheduler."""
        super().shutdown()
        self._observer.close()

    # what clients may ask of it while requests wait or run -----------------

    def update_hints(self, fields: Mapping[str, Any], key: str = "", run: str = "") -> int:
        """Change hints of the requests with that key, or of that run; how many there are. O(log N) each.

        A change for a key that is not here is kept for the request, which may be on its way.

        Raises:
            InputError: the fields are none of hints, or have no such values.
        """
        changed(None, fields)
        names = self._tracker.chosen(key, run)
        for name in names:
            if (request := self.requests.get(name)) is not None:  # else it was dropped with one before it
                self._change(request, fields)
        if key and not names and not self._observer.records.has_ended(key):
            self._tracker.keep_early(key, fields)
        return len(names)

    def cancel(self, key: str = "", run: str = "") -> int:
        """End the requests with that key, or of that run; how many there were."""
        requests = [self.requests[name] for name in self._tracker.chosen(key, run)]
        return sum(self._refuse(request, "cancelled") for request in requests)

    def records(self, *keys: str) -> list[Mapping[str, Any]]:
        """What became of the requests with those keys, oldest first."""
        return [each.as_json() for each in self._observer.records.of(frozenset(keys))]

    def _reject_hopeless(self) -> None:
        """Reject what has become hopeless while it waited. O(W)."""
        for request in [each for queue in self._queues for each in queue if not each.num_output_tokens]:
            view = self._tracker.views.get(request.request_id)
            if view is not None:
                self._drop(self._judge(request.request_id, view))

    def _judge(self, name: str, view: RequestView) -> dict[str, str | None]:
        """Why a request, and what shares its fate, cannot meet its objective; else `None`, if that is new."""
        judged = self._desk.judge(name, view, degrade=not self.rejects)
        self._note(judged)
        return judged

    def _note(self, judged: Mapping[str, str | None]) -> None:
        for name, why in judged.items():
            self._observer.judged(name, why, self.rejects)

    def _drop(self, judged: Mapping[str, str | None]) -> None:
        """Refuse those that cannot be in time, if that is what was asked for."""
        for name, why in judged.items() if self.rejects else ():
            if why is not None and (request := self.requests.get(name)) is not None:
                self._refuse(request, f"it cannot be in time: {why}")

    def _change(self, request: Any, fields: Mapping[str, Any]) -> None:
        name = request.request_id
        view, record = self._tracker.views[name], self._observer.records.open[name]
        # Taken out first: a queue finds a request by the rank it had.
        queue = next((each for each in self._queues if request in each), None)
        if queue is not None:
            queue.remove_request(request)
        record.hints = changed(record.hints, fields)
        self._tracker.change(name, record.hints)
        self._observer.updated(request)
        judged = self._judge(name, view)
        self._desk.plan([view])
        if queue is not None:
            queue.add_request(request)
        self._desk.sorted = False
        self._drop(judged)

    def _refuse(self, request: Any, why: str) -> bool:
        """End a request; whether it could be."""
        record = self._observer.records.open[request.request_id]
        if "reject" in self._levers:
            record.why, record.refused = why, True
        return self._levers.reject(request, f"agentvm: {why}")


def scheduler_class(asynchronous: bool) -> type[Any]:
    """The stock scheduler for that mode, with the mixin over it."""
    if asynchronous:
        from vllm.v1.core.sched.async_scheduler import AsyncScheduler as Base
    else:
        from vllm.v1.core.sched.scheduler import Scheduler as Base
    return type(f"AgentVM{Base.__name__}", (PolicyMixin, Base), {"__module__": __name__})


def create(vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
    """Make the engine's scheduler as the environment says; what `scheduler_cls` names.

    A factory and not a class, because which stock scheduler fits (asynchronous
    or not) is known only once the configuration is complete.
    """
    policy = os.environ.get(POLICY_VARIABLE) or DEFAULT_POLICY
    rejects = os.environ.get(HOPELESS_VARIABLE) == "reject"
    keeps_pace = os.environ.get(PACE_VARIABLE) == "1"
    connect()
    made = creator(policy, rejects=rejects, keeps_pace=keeps_pace)(vllm_config, *args, **kwargs)
    made.may_change_policy = os.environ.get(SWITCH_VARIABLE) == "1"
    return made


def creator(policy: str, *, rejects: bool = False, keeps_pace: bool = False) -> Callable[..., Any]:
    """A factory of schedulers with that policy.

    Args:
        rejects: whether requests that cannot meet their objective are rejected.
        keeps_pace: whether prompts are cut to keep the pace promised to running requests.

    Raises:
        ConfigError: there is no policy of that name.
    """
    settings = {
        "policy_in_force": policy_named(policy),
        "rejects": rejects,
        "keeps_pace": keeps_pace,
        "__module__": __name__,
    }

    def make(vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
        cls = scheduler_class(bool(vllm_config.scheduler_config.async_scheduling))
        return type(cls.__name__, (cls,), settings)(vllm_config, *args, **kwargs)

    return make
