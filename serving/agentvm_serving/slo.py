"""Service-level objectives: hints on the wire, and the deadline a policy orders by.

Hints reach the engine as one JSON string under the key `agentvm`, because both
ways in (`SamplingParams.extra_args`, and `vllm_xargs` over HTTP) carry flat
values only. Reading them never raises: the engine serves many clients, and one
client's broken hints must not stop the others.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from agentvm_compiler.errors import InputError
from agentvm_compiler.wire import Hints

logger = logging.getLogger(__name__)

EXTRA_KEY: Final = "agentvm"
"""The name under which hints travel."""

LENGTH_KEY: Final = "agentvm_length"
"""The name under which a benchmark, which knows it, tells the `oracle` how long the answer will be."""

BEST_EFFORT_SECONDS: Final = 60.0
"""Virtual deadline of a request without one, seconds after its arrival.

Being relative to arrival it makes plain clients first come, first served among
themselves, and ages them past any deadline later than it, so none starves.
"""

LATENCY_TTFT_SECONDS: Final = 2.0
"""Time to first token assumed for a `latency` request that names none (JITServe, section 6)."""

LATENCY_TBT_SECONDS: Final = 0.1
"""Time between tokens assumed for a `latency` request that names none (JITServe, section 6)."""

LARGEST: Final = 1e12
"""No number in hints is as large: seconds, tokens and counts all stay well below."""


def to_extra_args(hints: Hints) -> dict[str, Any]:
    """Flatten hints into what `extra_args` and `vllm_xargs` can carry."""
    # The version always travels: it is what tells an engine with another default how to read the rest.
    fields = {"version": hints.version, **hints.model_dump(mode="json", exclude_defaults=True)}
    return {EXTRA_KEY: json.dumps(fields, separators=(",", ":"))}


def from_extra_args(extra_args: Mapping[str, Any] | None, *, request: str = "?") -> Hints | None:
    """Read the hints of one request.

    Args:
        request: name of the request, for the warning.

    Returns:
        `None` if the client sent none, or none that can be read (logged).
    """
    raw = extra_args.get(EXTRA_KEY) if extra_args else None
    if raw is None:
        return None
    try:
        hints = Hints.model_validate_json(raw) if isinstance(raw, str | bytes) else Hints.model_validate(raw)
        wrong = _unsound(hints)
    except ValidationError as error:
        wrong = _first(error)
    if wrong is None:
        return hints
    logger.warning(
        "request %s: hints under %r cannot be read (%s); it is served best effort. "
        "Send what agentvm_serving.slo.to_extra_args returns.",
        request,
        EXTRA_KEY,
        wrong,
    )
    return None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole value"
    return f"{where}: {first['msg']}"


def _unsound(hints: Hints) -> str | None:
    """Which number is none that can be reckoned with; `None` if all can."""
    for part in (hints, *hints.remaining):
        for name, value in part:
            if isinstance(value, int | float) and not abs(value) < LARGEST:  # so that NaN is caught
                return f"{name}: {value} is out of range"
    return None


def changed(hints: Hints | None, fields: Mapping[str, Any]) -> Hints:
    """Hints with some fields changed.

    Raises:
        InputError: the fields are none of hints, or have no such values.
    """
    unknown = sorted(set(fields) - set(Hints.model_fields))
    if unknown:
        raise InputError(f"hints have no field {unknown[0]!r}. They have: {', '.join(Hints.model_fields)}")
    known = hints.model_dump() if hints is not None else {}
    try:
        result = Hints.model_validate({**known, **fields})
    except ValidationError as error:
        raise InputError(f"hints cannot be changed so: {_first(error)}") from None
    if (wrong := _unsound(result)) is not None:
        raise InputError(f"hints cannot be changed so: {wrong}")
    return result


def best_effort(hints: Hints) -> Hints:
    """The same hints without an objective."""
    return hints.model_copy(update={"slo": "best_effort", "deadline": None, "run_deadline": None})


def true_length_of(extra_args: Mapping[str, Any] | None) -> int | None:
    """The length of the answer, where a benchmark tells."""
    told = extra_args.get(LENGTH_KEY) if extra_args else None
    return int(told) if isinstance(told, int | float) and math.isfinite(told) else None


def deadline_of(hints: Hints | None, arrival: float, output_tokens: int = 0) -> float:
    """When a request is due: Unix seconds, always finite.

    A `latency` request is due at its next token; any other at its own deadline,
    else (class `deadline`) at its run's, else at the virtual one.

    Args:
        arrival: Unix seconds.
        output_tokens: how many the request has already produced.
    """
    due = math.inf
    if hints is not None:
        wanted = hints.deadline
        if wanted is None and hints.slo == "deadline":
            wanted = hints.run_deadline
        # A NaN compares false with everything, and would scramble the whole queue.
        if wanted is not None and math.isfinite(wanted):
            due = wanted
        if hints.slo == "latency":
            token = arrival + ttft_of(hints) + output_tokens * pace_of(hints)
            if math.isfinite(token):
                due = min(due, token)
    return arrival + BEST_EFFORT_SECONDS if due == math.inf else due


def ttft_of(hints: Hints) -> float:
    """Seconds wanted to the first token of a `latency` request."""
    return LATENCY_TTFT_SECONDS if hints.ttft is None else hints.ttft


def pace_of(hints: Hints) -> float:
    """Seconds wanted between two tokens of a `latency` request."""
    wanted = hints.tbt
    return LATENCY_TBT_SECONDS if wanted is None or not math.isfinite(wanted) else wanted
