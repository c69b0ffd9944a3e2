"""What the engine's metrics say of goodput: read from Prometheus' text, as `/metrics` gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from .accounts import Sums


class Engine(BaseModel):
    """An engine with our scheduler."""

    classes: dict[str, Sums] = {}
    """Requests since it started; `others` had no objective, were refused or aborted."""
    running: int = 0
    waiting: int = 0
    kv_cache: float | None = None
    """Share of its KV cache that is in use."""
    preemptions: int = 0
    degraded: int = 0
    rejected: int = 0
    holding: bool = False
    """Whether some wait though there is room for them."""
    steps: int = 0
    step_seconds: float = 0.0
    """All measured steps together."""

    @property
    def held(self) -> int:
        """Requests that are held back now."""
        return self.waiting if self.holding else 0


def engine_of(text: str) -> Engine | None:
    """The engine that wrote these metrics; None if it has none of our scheduler's."""
    found = Engine()
    ours = False
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            note = _NOTES.get(sample.name)
            if note is not None:
                note(found, sample.labels, sample.value)
                ours = ours or sample.name.startswith("agentvm:")
    # Every class is told of from the start, at nought.
    found.classes = {slo: sums for slo, sums in found.classes.items() if sums != Sums()}
    return found if ours else None


def _of_class(engine: Engine, labels: Mapping[str, str]) -> Sums:
    return engine.classes.setdefault(labels.get("slo", ""), Sums())


def _requests(engine: Engine, labels: Mapping[str, str], value: float) -> None:
    outcome = labels.get("outcome", "")
    name = outcome if outcome in ("met", "missed") else "others"
    sums = _of_class(engine, labels)
    setattr(sums, name, getattr(sums, name) + int(value))


def _tokens(name: str) -> Callable[[Engine, Mapping[str, str], float], None]:
    def note(engine: Engine, labels: Mapping[str, str], value: float) -> None:
        sums = _of_class(engine, labels)
        setattr(sums, name, getattr(sums, name) + int(value))

    return note


def _count(name: str) -> Callable[[Engine, Mapping[str, str], float], None]:
    def note(engine: Engine, labels: Mapping[str, str], value: float) -> None:
        setattr(engine, name, getattr(engine, name) + int(value))

    return note


def _sum(name: str) -> Callable[[Engine, Mapping[str, str], float], None]:
    def note(engine: Engine, labels: Mapping[str, str], value: float) -> None:
        setattr(engine, name, getattr(engine, name) + value)

    return note


def _holding(engine: Engine, labels: Mapping[str, str], value: float) -> None:
    engine.holding = engine.holding or value > 0


def _kv_cache(engine: Engine, labels: Mapping[str, str], value: float) -> None:
    engine.kv_cache = value


_NOTES: Final = {
    "agentvm:requests_total": _requests,
    "agentvm:output_tokens_total": _tokens("output_tokens"),
    "agentvm:goodput_tokens_total": _tokens("good_tokens"),
    "agentvm:preemptions_total": _count("preemptions"),
    "agentvm:degraded_total": _count("degraded"),
    "agentvm:rejected_total": _count("rejected"),
    "agentvm:holding": _holding,
    "agentvm:step_seconds_count": _count("steps"),
    "agentvm:step_seconds_sum": _sum("step_seconds"),
    "vllm:num_requests_running": _count("running"),
    "vllm:num_requests_waiting": _count("waiting"),
    "vllm:kv_cache_usage_perc": _kv_cache,
}
