"""The engine that is imitated: a step-time model, and how a vLLM on it would be set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from agentvm_serving.estimate.steps import Batch

from .models import StepTime

BLOCK: Final = 16
"""Tokens of a KV block."""
EPOCH: Final = 1.7e9
"""Unix seconds at which virtual time begins."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One replica."""

    step: StepTime
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 2048
    max_model_len: int = 4096
    kv_tokens: int = 60_000
    """Tokens the KV cache holds."""
    policy: str = "fcfs"
    """vLLM's own `scheduling_policy`: `fcfs` or `priority`."""
    overhead: float = 0.0
    """Seconds of each step besides the model's."""
    overhead_per_request: float = 0.0
    """Seconds for each request in it."""
    prefix_cache: bool = False
    """Whether prompts that begin alike share KV blocks."""
    preemption: Literal["recompute", "swap"] = "recompute"
    """What becomes of a preempted request's KV; vLLM's own scheduler recomputes (simulator only)."""
    swap_per_token: float = 0.0
    """Seconds to move one token's KV to the host or back (`swap`)."""

    @property
    def blocks(self) -> int:
        """KV blocks; vLLM keeps one of them for itself."""
        return self.kv_tokens // BLOCK

    def seconds(self, batch: Batch) -> float:
        """How long a step takes. Linear in `batch.context`."""
        requests = batch.decodes + batch.prompts
        return self.step.seconds(batch) + self.overhead + self.overhead_per_request * requests
