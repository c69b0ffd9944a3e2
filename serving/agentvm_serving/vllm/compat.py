"""What the plug-in needs of vLLM's private parts, checked before it relies on them.

The scheduler interface is not public. Everything the mixin touches is named
here; when a version lacks some of it, the engine serves in its own order and
says so, rather than failing in the middle of a request.
"""

from __future__ import annotations

from typing import Any

from .queue import RankedQueue

ATTRIBUTES = ("running", "waiting", "requests", "policy", "scheduler_config")
METHODS = ("add_request", "schedule", "update_from_output", "_free_request", "finish_requests")
QUEUES = ("waiting", "skipped_waiting")
"""Queues to keep in rank order, where the version has them (`skipped_waiting`: 0.26 to 0.31)."""


def obstacles(scheduler: Any) -> list[str]:
    """Why this scheduler cannot be reordered; empty if it can."""
    found = [f"no attribute {name!r}" for name in ATTRIBUTES if not hasattr(scheduler, name)]
    found += [f"no method {name!r}" for name in METHODS if not callable(getattr(scheduler, name, None))]
    if found:
        return found
    if not isinstance(scheduler.running, list):
        found.append("`running` is not a list")
    for queue in ranked_queues(scheduler):
        needed = getattr(type(getattr(scheduler, queue)), "__abstractmethods__", frozenset()) | _interface()
        found += [f"{queue!r} needs {name!r}" for name in sorted(needed) if not hasattr(RankedQueue, name)]
    if str(getattr(scheduler.policy, "value", scheduler.policy)) != "fcfs":
        # Under vLLM's priority policy it also picks its victims by priority: two orders at once.
        found.append("the engine was started with --scheduling-policy other than fcfs")
    return found


def ranked_queues(scheduler: Any) -> list[str]:
    """Names of the scheduler's queues that are kept in rank order."""
    return [name for name in QUEUES if hasattr(scheduler, name)]


def _interface() -> frozenset[str]:
    from vllm.v1.core.sched.request_queue import RequestQueue

    return frozenset(RequestQueue.__abstractmethods__)
