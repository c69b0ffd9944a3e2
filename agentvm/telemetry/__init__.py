"""Traces, metrics and logs of runs: who looks at a run, as the environment says.

OpenTelemetry is on where an OTLP endpoint is configured, or where the program has
set up OpenTelemetry itself; logs where somebody listens to the logger `agentvm.run`.
Neither costs anything where it is off.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from agentvm_runtime.observing import UNOBSERVED, Ending, RunObserver
from agentvm_runtime.records import RunRecord, Source
from agentvm_runtime.work import Outcome, Work

Observe: TypeAlias = Callable[[RunRecord, bool], RunObserver]
"""Makes the observer of a run that this process takes up; the flag says whether it is resumed."""

ENDPOINTS = tuple(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT" for kind in ("", "TRACES_", "METRICS_"))
logger = logging.getLogger("agentvm.telemetry")


def observe() -> Observe:
    """Who is to look at the runs of a machine that starts now."""
    from .logs import observe_logs

    found: list[Observe] = [each for each in (_traces(), observe_logs()) if each is not None]
    if len(found) == 1:
        return found[0]
    return lambda record, resumed: _All([each(record, resumed) for each in found]) if found else UNOBSERVED


def _traces() -> Observe | None:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    configured = any(os.environ.get(each) for each in ENDPOINTS)
    if not configured and not _is_set_up():
        return None
    try:
        from .otel import observe_traces
    except ImportError:
        logger.warning(
            "An OTLP endpoint is configured, but OpenTelemetry is not installed: "
            "pip install 'agentvm[telemetry]'. No traces are sent."
        )
        return None
    return observe_traces(export=configured)


def _is_set_up() -> bool:
    """Whether the program itself has told OpenTelemetry where traces go."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return False
    from opentelemetry import trace

    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class _All:
    """Several observers as one."""

    def __init__(self, observers: Sequence[RunObserver]) -> None:
        self._observers = observers

    def begin(self, work: Work) -> Ending:
        endings = [each.begin(work) for each in self._observers]

        def end(outcome: Outcome | None, error: BaseException | None) -> None:
            for each in reversed(endings):
                each(outcome, error)

        return end

    def reused(self, work: Work, source: Source) -> None:
        for each in self._observers:
            each.reused(work, source)

    def headers(self) -> Mapping[str, str]:
        return {name: value for each in self._observers for name, value in each.headers().items()}

    def end(self, record: RunRecord, error: BaseException | None) -> None:
        for each in self._observers:
            each.end(record, error)
