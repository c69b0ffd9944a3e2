"""Prometheus metrics of the scheduler, on the server's `/metrics` beside vLLM's own.

The scheduler runs in the engine's process and `/metrics` is answered by the API
server's. What joins them is vLLM's own way with several API servers: Prometheus'
multi-process mode, on where `PROMETHEUS_MULTIPROC_DIR` names a folder. Our server
sets it; started by `vllm serve`, set it to an empty folder.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from agentvm_serving.goodput import Goodput

from .programs import Program, program_of
from .records import Record

CLASSES: Final = ("latency", "deadline", "compound", "best_effort")
OUTCOMES: Final = ("met", "missed", "no_objective", "refused", "aborted")
SLACK: Final = (-60, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 60)
ERROR: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 2, 5, 10)
STEP: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
SCHEDULING: Final = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2)


class Metrics:
    """What the scheduler counts and measures."""

    def __init__(self) -> None:
        self.requests = Counter(
            "agentvm:requests",
            "Ended requests by class and outcome: met, missed, no_objective, refused, aborted. "
            "A program (compound) is one, and counts at its deadline.",
            ("slo", "outcome"),
        )
        self.tokens = Counter("agentvm:output_tokens", "Output tokens of ended requests by class.", ("slo",))
        self.goodput = Counter(
            "agentvm:goodput_tokens", "Those of them that came in time for their objective.", ("slo",)
        )
        self.slack = Histogram(
            "agentvm:slack_seconds",
            "Time left before the deadline when a request ended; below zero it was late.",
            buckets=SLACK,
        )
        self.queued = Histogram(
            "agentvm:queue_seconds", "Time from arrival to first being scheduled.", ("slo",)
        )
        self.length_error = Histogram(
            "agentvm:length_error",
            "Error of the output length expected at arrival, as a multiple of the true one.",
            buckets=ERROR,
        )
        self.step_error = Histogram(
            "agentvm:step_time_error",
            "Error of the expected duration of a step, as a multiple of the true one.",
            buckets=ERROR,
        )
        self.steps = Histogram("agentvm:step_seconds", "Duration of a step.", buckets=STEP)
        self.scheduling = Histogram(
            "agentvm:scheduling_seconds",
            "Duration of `schedule`, vLLM's own part included.",
            buckets=SCHEDULING,
        )
        self.holding = Gauge(
            "agentvm:holding",
            "1 while requests wait though there is a slot for them, as running ones would be late.",
            multiprocess_mode="livesum",
        )
        self.held = Counter(
            "agentvm:held_seconds",
            "Of requests' waits for a start, the time in which they were held back though there was room.",
        )
        self.preempted = Counter("agentvm:preemptions", "Running requests that had to give up their memory.")
        self.degraded = Counter(
            "agentvm:degraded", "Requests served best effort since they could not meet their objective."
        )
        self.rejected = Counter("agentvm:rejected", "Requests refused since they could not meet theirs.")
        self.updates = Counter("agentvm:hint_updates", "Changes of hints of requests that were here.")
        for slo in CLASSES:  # so that they are there, at nought, before the first such request
            self.tokens.labels(slo)
            self.goodput.labels(slo)
            self.queued.labels(slo)
            for outcome in OUTCOMES:
                self.requests.labels(slo, outcome)

    def ended(self, record: Record, good: Goodput) -> None:
        """Count an ended request. One that is part of a program counts when that is decided."""
        self.tokens.labels(record.counted_as).inc(record.output_tokens)
        if program_of(record.hints) is None:
            self.requests.labels(record.slo, record.outcome).inc()
            self.goodput.labels(record.slo).inc(good.tokens)
        self.held.inc(record.held_seconds)
        if record.finished_at is not None and record.deadline is not None:
            self.slack.observe(record.deadline - record.finished_at)
        if record.in_time is not None and record.output_tokens and record.status != "FINISHED_ABORTED":
            self.length_error.observe(abs(record.expected_tokens / record.output_tokens - 1))

    def decided(self, program: Program) -> None:
        """Count a program."""
        self.requests.labels("compound", "met" if program.met else "missed").inc()
        self.goodput.labels("compound").inc(program.tokens if program.met else 0)


@cache
def metrics() -> Metrics:
    """The metrics of this process: Prometheus takes each name once."""
    return Metrics()
