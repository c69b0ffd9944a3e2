"""Scales: objectives and limits that fit an engine of some size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """Objectives of requests, and what is too long for the engine."""

    ttft: float
    """Seconds to the first token of a chat."""
    tbt: float
    """Seconds between its tokens."""
    within: float
    """Seconds for a `deadline` request, and for each stage of a program."""
    most_input: int
    """Tokens at which prompts are cut."""
    most_output: int
    """Tokens at which answers are cut; also what clients allow a call."""
    most_context: int
    """Tokens at which the session of an agent ends."""
    most_stages: int
    """Stages at which programs are cut."""
    saturated: float | None = None
    """Items a second that saturate the engine for which the objectives were chosen, if they fit one."""


SMALL: Final = Scale(
    ttft=2.0,
    tbt=0.15,
    within=12.0,
    most_input=3000,
    most_output=1000,
    most_context=3000,
    most_stages=8,
    saturated=2.4,
)
"""For a model of 135M on a CPU, as `replay:cpu135m` has it."""

LARGE: Final = Scale(
    ttft=2.0,
    tbt=0.1,
    within=20.0,
    most_input=7500,
    most_output=1024,
    most_context=64_000,
    most_stages=40,
)
"""For a model of 8B on a GPU; the objectives are JITServe's (NSDI'26, section 6.1)."""
