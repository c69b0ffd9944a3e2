"""A stock scheduler's requests in the order that the desk keeps (`agentvm_serving.order`)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from agentvm_compiler.errors import InputError
from agentvm_serving.order.desk import Desk
from agentvm_serving.order.queue import RankedQueue
from agentvm_serving.order.tracker import Tracker
from agentvm_serving.policy import DEFAULT_POLICY, Policy, policy_named

from .levers import Levers
from .observer import Observer

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
        self._tracker = self._new_tracker()
        self._observer = Observer(self._tracker, self.log_stats)
        self._levers = Levers(self)
        self._levers.warn()
        self._set_up(self.policy_in_force)

    def _new_tracker(self) -> Tracker:
        memory = self.cache_config.num_gpu_blocks * self.block_size
        budget = self.scheduler_config.max_num_batched_tokens
        return Tracker(self.scheduler_config.max_num_seqs, memory, budget)

    def _set_up(self, policy: Policy) -> None:
        self._desk = Desk(policy, self._tracker, lambda: self.clock())
        if "order" in self._levers:
            self._desk.queues = self._levers.take_order(self._desk.rank)
            logger.info("AgentVM orders requests by %r", self._desk.policy)

    def serve_by(self, policy: str) -> None:
        """Order requests by another policy from here, as if the engine had just started: nothing is known.

        Raises:
            ConfigError: there is no such policy.
            InputError: there are requests.
        """
        chosen = policy_named(policy)
        if self.requests:
            raise InputError(
                f"the engine has {len(self.requests)} requests: change its policy when it has none"
            )
        self._tracker = self._observer.tracker = self._new_tracker()
        self._set_up(chosen)

    @property
    def _queues(self) -> list[RankedQueue]:
        """What waits; empty where vLLM's own order stays."""
        return self._desk.queues

    def _order(self) -> bool:
        """Put the requests in order, and let some give way. Whether all were ranked anew."""
        planned, moved = self._desk.order(self.running, self._levers.fits)
        if moved:
            self._levers.sort_running(self._desk.place)
        if planned:
            for request in self._desk.giving_way(self.running, self._levers.fits):
                self._levers.evict(request)
        return planned

    def _most_tokens(self) -> int | None:
        """Most tokens of this step, if the policy or the pace of running requests is to bound it."""
        decoding = self._observer.decoding() if self.keeps_pace else ()
        return self._desk.most_tokens(len(self.running), [self._tracker.views[name] for name in decoding])
