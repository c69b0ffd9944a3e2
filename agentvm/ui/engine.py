"""What the engine's metrics say of goodput: read from Prometheus' text, as `/metrics` gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel


class SloClass(BaseModel):
    """Requests of one class since the engine started."""

    met: int = 0
    missed: int = 0
    others: int = 0
    """Without an objective, refused or aborted."""
    output_tokens: int = 0
    good_tokens: int = 0


class Engine(BaseModel):
    """An engine with our scheduler."""

    classes: dict[str, SloClass] = {}
    running: int = 0
    waiting: int = 0
    kv_cache: float | None = None
    """Share of its KV cache that is in use."""
    preemptions: int = 0
    degraded: int = 0
    rejected: int = 0


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
    return found if ours else None


def _of_class(engine: Engine, labels: Mapping[str, str]) -> SloClass:
    return engine.classes.setdefault(labels.get("slo", ""), SloClass())


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


def _kv_cache(engine: Engine, labels: Mapping[str, str], value: float) -> None:
    engine.kv_cache = value


_NOTES: Final = {
    "agentvm:requests_total": _requests,
    "agentvm:output_tokens_total": _tokens("output_tokens"),
    "agentvm:goodput_tokens_total": _tokens("good_tokens"),
    "agentvm:preemptions_total": _count("preemptions"),
    "agentvm:degraded_total": _count("degraded"),
    "agentvm:rejected_total": _count("rejected"),
    "vllm:num_requests_running": _count("running"),
    "vllm:num_requests_waiting": _count("waiting"),
    "vllm:kv_cache_usage_perc": _kv_cache,
}
