"""Levers: all that the plug-in does to vLLM's scheduler beyond its public face.

The scheduler interface is not public. Every private name is used in this module
alone, each behind a *lever*: something to pull before a step. A lever is probed
when the engine starts: what it touches must be there, and vLLM's `schedule` must
read what it sets. One that is missing cannot be pulled, which is said once, with
what is lost; the engine then serves as stock vLLM does.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from agentvm_serving.order.queue import RankedQueue
from agentvm_serving.policy import Rank

from .environment import vllm_version

logger = logging.getLogger("vllm.agentvm")  # below "vllm", so that it appears in the engine's own log

QUEUES: Final = ("waiting", "skipped_waiting")
"""Queues to keep in rank order, where the version has them (`skipped_waiting`: 0.26 to 0.31)."""
ADMISSION: Final = ("max_num_active_reqs", "max_num_running_reqs")
"""What bounds admissions, the first that the version reads. The second (0.26) also bounds what runs."""


@dataclass(frozen=True, slots=True)
class Lever:
    """What one lever needs of vLLM."""

    name: str
    loss: str
    """What is lost without it."""
    attributes: tuple[str, ...] = ()
    """Attributes of the scheduler, with dots between."""
    calls: tuple[tuple[str, int], ...] = ()
    """Methods of the scheduler, and with how many arguments they are called."""
    read: tuple[str, ...] = ()
    """Names `schedule` must read: else setting them changes nothing. A bar between: one of them."""


LEVERS: Final = (
    Lever(
        "order",
        "requests are served in vLLM's own order",
        attributes=("running", "waiting", "requests", "policy", "scheduler_config.max_num_seqs"),
        calls=(("add_request", 1), ("schedule", 0), ("update_from_output", 2), ("_free_request", 1)),
        read=("running", "waiting"),
    ),
    Lever(
        "hold",
        "a running request cannot be paused",
        attributes=("current_step",),
        read=("current_step", "next_decode_eligible_step"),
    ),
    Lever(
        "evict",
        "a running request cannot be made to give way",
        attributes=("running", "waiting"),
        calls=(("_preempt_request", 2),),
    ),
    Lever("admit", "admissions cannot be limited", ("max_num_running_reqs",), read=("|".join(ADMISSION),)),
    Lever(
        "budget",
        "prompts are cut without regard to the pace that running requests were promised",
        attributes=("max_num_scheduled_tokens",),
        read=("max_num_scheduled_tokens",),
    ),
    Lever(
        "fits",
        "nobody can tell whether a request's memory is free",
        attributes=("block_size",),
        calls=(("kv_cache_manager.block_pool.get_num_free_blocks", 0),),
    ),
    Lever("reject", "no request can be refused", calls=(("finish_requests", 2),)),
)


class Levers:
    """The levers of one scheduler. Pulling one that is missing does nothing."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.missing: dict[str, str] = {
            lever.name: "; ".join(found) for lever in LEVERS if (found := _obstacles(scheduler, lever))
        }
        """Names of the levers that cannot be pulled, and why not."""
        self._asynchronous = bool(getattr(_part(scheduler, "scheduler_config"), "async_scheduling", False))
        names = _names_read(scheduler)
        self._admission = next((each for each in ADMISSION if each in names), ADMISSION[0])
        self._evicted: list[Any] = []
        self._rejected: list[tuple[Any, str]] = []

    def __contains__(self, name: str) -> bool:
        return name not in self.missing

    def warn(self) -> None:
        """Say once which levers are missing and what is lost."""
        if self.missing:
            losses = {lever.name: lever.loss for lever in LEVERS}
            said = "; ".join(f"{losses[name]} ({why})" for name, why in self.missing.items())
            logger.warning(
                "AgentVM cannot steer all of this engine, vLLM %s: %s. "
                "Supported are vLLM 0.26 to 0.33 with --scheduling-policy fcfs.",
                vllm_version() or "of unknown version",
                said,
            )

    # order -----------------------------------------------------------------

    def take_order(self, rank: Callable[[Any], Rank]) -> list[RankedQueue]:
        """Replace the waiting queues by ranked ones."""
        names = [name for name in QUEUES if hasattr(self._scheduler, name)]
        queues = [RankedQueue(rank, getattr(self._scheduler, name)) for name in names]
        for name, queue in zip(names, queues, strict=True):
            setattr(self._scheduler, name, queue)
        return queues

    def sort_running(self, place: Callable[[Any], tuple[bool, Rank]]) -> None:
        """Put `running` in order: vLLM serves it from its head, and takes blocks back from its tail."""
        self._scheduler.running.sort(key=place)

    # one step --------------------------------------------------------------

    @contextmanager
    def step(self, tokens: int | None = None, admit: int | None = None) -> Iterator[None]:
        """Around vLLM's `schedule`: limits that hold for this step alone.

        Args:
            tokens: most tokens to work on.
            admit: most requests to have running.
        """
        scheduler = self._scheduler
        before = {}
        if admit is not None and self._admission == "max_num_running_reqs":
            admit = max(admit, len(scheduler.running))  # vLLM asserts that no more run
        for lever, name, value in (
            ("budget", "max_num_scheduled_tokens", tokens),
            ("admit", self._admission, admit),
        ):
            if value is not None and lever in self:
                before[name] = getattr(scheduler, name)
                setattr(scheduler, name, max(1, min(value, before[name])))
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(scheduler, name, value)
            # Only now: vLLM must not take a request back in the step that it was evicted in.
            for request in self._evicted:
                scheduler.waiting.prepend_request(request)
            self._evicted.clear()

    def hold(self, request: Any) -> bool:
        """Let a running request sit out this step; its KV stays. Whether it could be."""
        scheduler = self._scheduler
        if "hold" not in self or (self._asynchronous and scheduler.num_spec_tokens):
            return False  # drafts of the held request are on their way already
        # `schedule` counts the step up before it compares.
        eligible = scheduler.current_step + 2
        request.next_decode_eligible_step = max(request.next_decode_eligible_step, eligible)
        return True

    def evict(self, request: Any) -> bool:
        """Take a running request's KV away; it waits, from the next step on. Whether it could be.

        Call it before `step` is entered.
        """
        if "evict" not in self:
            return False
        scheduler = self._scheduler
        scheduler.running.remove(request)
        scheduler._preempt_request(request, time.monotonic())
        scheduler.waiting.remove_request(request)
        self._evicted.append(request)
        return True

    def fits(self, tokens: int) -> bool:
        """Whether the KV of so many tokens has room now."""
        if "fits" not in self:
            return True
        free = self._scheduler.kv_cache_manager.block_pool.get_num_free_blocks()
        return bool(-(-tokens // self._scheduler.block_size) <= free)

    # reject ----------------------------------------------------------------

    def reject(self, request: Any, why: str) -> bool:
        """End a request at once; its client is told why with the step's outputs. Whether it could be."""
        if "reject" not in self or self._scheduler.requests.get(request.request_id) is not request:
            return False
        from vllm.v1.request import RequestStatus

        self._scheduler.finish_requests([request.request_id], RequestStatus.FINISHED_ABORTED)
        self._rejected.append((request, why))
        return True

    def tell_rejected(self, outputs: dict[int, Any]) -> None:
        """Add the ends of rejected requests to what a step gives its clients."""
        if not self._rejected:
            return
        from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs

        for request, why in self._rejected:
            end = EngineCoreOutput(
                request_id=request.request_id,
                new_token_ids=[],
                finish_reason=request.get_finished_reason(),
                stop_reason=why,
            )
            outputs.setdefault(request.client_index, EngineCoreOutputs()).outputs.append(end)
        self._rejected.clear()


def _obstacles(scheduler: Any, lever: Lever) -> list[str]:
    """Why a lever cannot be pulled; empty if it can."""
    found = [f"no {name!r}" for name in lever.attributes if _part(scheduler, name) is None]
    found += [why for name, count in lever.calls if (why := _uncallable(scheduler, name, count))]
    names = _names_read(scheduler)
    found += [
        f"`schedule` does not read {name!r}"
        for name in lever.read
        if names and names.isdisjoint(name.split("|"))
    ]
    if lever.name == "order" and not found:
        found += _disorder(scheduler)
    return found


def _disorder(scheduler: Any) -> list[str]:
    """Why the queues and `running` cannot be put in order."""
    found = [] if isinstance(scheduler.running, list) else ["`running` is no list"]
    if str(getattr(scheduler.policy, "value", scheduler.policy)) != "fcfs":
        # Under vLLM's priority policy it also picks its victims by priority: two orders at once.
        found.append("the engine was started with --scheduling-policy other than fcfs")
    from vllm.v1.core.sched.request_queue import RequestQueue

    needed = sorted(RequestQueue.__abstractmethods__)
    return found + [f"its queues need {name!r}" for name in needed if not hasattr(RankedQueue, name)]


def _part(scheduler: Any, path: str) -> Any:
    part = scheduler
    for name in path.split("."):
        part = getattr(part, name, None)
    return part


def _uncallable(scheduler: Any, path: str, count: int) -> str | None:
    """Why a method cannot be called with so many arguments."""
    method = _part(scheduler, path)
    if not callable(method):
        return f"no method {path!r}"
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError as error:
        return f"{path!r} takes other arguments ({error})"
    return None


def _names_read(scheduler: Any) -> frozenset[str]:
    """The names that vLLM's own `schedule`, below ours, reads; empty where nobody can tell."""
    for cls in type(scheduler).__mro__:
        if "schedule" in vars(cls) and cls.__module__.startswith("vllm."):
            code = getattr(inspect.unwrap(vars(cls)["schedule"]), "__code__", None)
            return frozenset(code.co_names if code else ())
    return frozenset()
