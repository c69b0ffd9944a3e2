"""Rest: the processes of an engine on a CPU pause while they wait for each other.

vLLM's processes look for the next message of another without a pause, so that no
microsecond is lost beside a GPU. On a CPU a step takes tens of milliseconds, and what looks
for its end takes a whole core away from the server, the agents and their tools.
"""

from __future__ import annotations

import logging
import time
from typing import Final

logger = logging.getLogger("vllm.agentvm")  # below "vllm", so that it appears in the engine's own log

PAUSE: Final = 0.0005
"""Seconds between two looks. Not until vLLM notifies: of two messages in a row it may notify of one alone."""


def rest() -> None:
    """Let this process look for messages in shared memory now and then, and not all the time."""
    from vllm.distributed.device_communicators import shm_broadcast

    if not hasattr(shm_broadcast, "sched_yield"):
        logger.warning("AgentVM: this vLLM waits in another way; its processes may take a core between steps")
        return
    shm_broadcast.sched_yield = _pause  # what it does between two looks


def _pause() -> None:
    time.sleep(PAUSE)
