"""Plain values that cross between the runtime and the serving layer.

The compiler owns them because it is what knows a call and its forecast; the
runtime fills them in and the serving layer reads them, and neither imports the
other. Everything here is immutable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

HINTS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in the OpenAI chat convention."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `None` leaves the choice to the model's own default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def deterministic(self) -> bool:
        """Whether equal calls give equal answers: greedy, or with a fixed seed."""
        return self.temperature == 0 or self.seed is not None


class Stage(BaseModel):
    """One step of the work that remains after a call on its program's critical path."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    times: int = Field(default=1, ge=1)
    """How many such stages come one after the other."""
    calls: int = Field(default=1, ge=0)
    """Model calls that run side by side in this stage."""
    input_tokens: int = Field(default=0, ge=0)
    """Expected prompt tokens of one call."""
    output_tokens: int = Field(default=0, ge=0)
    """Expected output tokens of one call."""
    output_tokens_upper: int = Field(default=0, ge=0)
    """Upper quantile of the output tokens of one call."""
    tool_seconds: float = Field(default=0.0, ge=0)
    """Expected time in tools, seconds."""


class Hints(BaseModel):
    """What the scheduler is told with every model call (design, section 6).

    Unknown fields are ignored so that an older engine accepts a newer client.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = HINTS_VERSION
    key: str = ""
    """The caller's own name of this call, unique within the run: `RUN/PATH`."""
    program: str = ""
    """Hash of the program that makes the call."""
    run: str = ""
    path: str = ""
    """Where in the run the call stands, e.g. `map#1[2]/llm#1`."""
    site: str = ""
    """Where in the program the call stands, e.g. `research.llm#1`."""
    slo: Literal["latency", "deadline", "best_effort"] = "best_effort"
    deadline: float | None = None
    """When this call should be done: Unix seconds."""
    run_deadline: float | None = None
    """When the whole run should be done: Unix seconds."""
    ttft: float | None = None
    """Wanted time to first token, seconds (`latency` only)."""
    tbt: float | None = None
    """Wanted time between tokens, seconds (`latency` only)."""
    remaining: tuple[Stage, ...] = Field(default=())
    """Forecast of what follows this call on its critical path, next stage first."""
    siblings: int = Field(default=1, ge=1)
    """Calls joined with this one by the same later node, itself included."""
    prefix_group: str = ""
    """Calls with the same non-empty group begin with the same prompt text."""


@dataclass(frozen=True, slots=True)
class HintsChange:
    """What has changed about a model call that was sent."""

    key: str
    """Of its hints."""
    fields: Mapping[str, Any]
    """Of its hints, with their new values."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What a scheduler noted of a model call. Moments are Unix seconds on the engine's clock."""

    key: str
    """Of its hints."""
    queued_at: float
    started_at: float | None = None
    """When it was first worked on."""
    finished_at: float | None = None
    held_seconds: float = 0.0
    """Of its wait for that, the time in which it was held back though the engine had room for more."""
    preempted_at: tuple[float, ...] = ()
    """When it had to give up its memory, and waited again."""
    updates: int = 0
    """How often its hints were changed."""
    expected_tokens: int = 0
    """Output tokens that were expected of it when it came."""
    outcome: str = ""
    """`met`, `missed`, `no_objective`, `refused` or `aborted`; empty until it ends."""
    why: str = ""
    """Why it was refused, or served best effort; empty if neither."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One request to a model backend."""

    messages: tuple[Message, ...]
    model: str | None = None
    """Name the program asked for; `None` is the backend's own model."""
    sampling: Sampling = field(default_factory=Sampling)
    schema: dict[str, Any] | None = None
    """JSON Schema the answer must follow, or `None` for free text."""
    returns: Any = str
    """The Python type the program asked for; for doubles, never sent to an engine."""
    prompt: str = ""
    """The prompt as the program wrote it; empty if it gave messages."""
    path: str = ""
    """Where in the run the call stands."""
    hints: Hints = field(default_factory=Hints)
    trace: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers that tell an engine within what trace it is asked (W3C Trace Context)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input tokens, those served from a prefix cache."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the stages of one call were reached: Unix seconds on this machine's clock."""

    sent_at: float = 0.0
    first_token_at: float | None = None
    finished_at: float = 0.0

    @property
    def ttft(self) -> float | None:
        """Time to first token, seconds; `None` if the backend did not stream."""
        return None if self.first_token_at is None else self.first_token_at - self.sent_at

    @property
    def ttlt(self) -> float:
        """Time to last token, seconds."""
        return self.finished_at - self.sent_at


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A backend's answer."""

    text: str
    """Free text, or JSON text where the call had a schema."""
    finish_reason: str = "stop"
    """`stop`, `length` (cut by max_tokens) or `abort`."""
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    model: str = ""
    """Identity of the model that answered."""
