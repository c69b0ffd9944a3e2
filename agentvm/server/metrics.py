"""Prometheus metrics of a server: its API, the runs it drives, those that wait in the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from agentvm_runtime.records import RunStatus

from .asgi import Scope

if TYPE_CHECKING:
    from .house import House

OPEN = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.UNCERTAIN)
"""Statuses of runs that are not over, which the store is asked for: those that are over are too many."""
_MANY = 100_000
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What a server counts and measures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Histogram(
            "agentvm_api_seconds",
            "Time from a request to the first byte of its answer.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_LATENCY,
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Note an answer; by its route, not its path, whose number has no bound."""
        route: Any = scope.get("route")
        path = getattr(route, "path", "") or "(none)"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.answers.labels(method, path, str(status)).observe(seconds)


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def exposition(house: House) -> bytes:
    """The server's metrics in Prometheus' text format."""
    counts = {str(status): len(await house.vm.store.list_runs(status=status, limit=_MANY)) for status in OPEN}
    house.metrics.registry.register(collector := _Now(house, counts))
    try:
        return generate_latest(house.metrics.registry)
    finally:
        house.metrics.registry.unregister(collector)


class _Now:
    """How things stand at the moment."""

    def __init__(self, house: House, counts: dict[str, int]) -> None:
        self._house = house
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        runs = GaugeMetricFamily("agentvm_runs", "Runs in the store that are not over.", labels=["status"])
        for status, number in self._counts.items():
            runs.add_metric([status], number)
        yield runs
        ended = CounterMetricFamily(
            "agentvm_runs_ended", "Attempts at runs that came to an end here.", labels=["status"]
        )
        for status, number in self._house.runner.ended.items():
            ended.add_metric([status], number)
        yield ended
        yield GaugeMetricFamily("agentvm_runs_driven", "Runs driven here.", value=self._house.runner.driven)
        yield GaugeMetricFamily("agentvm_event_streams", "Event streams open.", value=self._house.streams)
