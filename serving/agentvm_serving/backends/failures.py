"""What went wrong at an endpoint, as one `BackendError` that says what to do next.

Transient is what the same request may survive later: no connection, a timeout,
an overloaded or failing server. Everything else is the request's own fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentvm_compiler.errors import BackendError

TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})
CONTEXT_WORDS = (
    "context length",
    "context_length",
    "context window",
    "max_model_len",
    "maximum model length",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call went, for messages."""

    url: str
    model: str

    def __str__(self) -> str:
        return f"model {self.model!r} at {self.url}"


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed when sent again."""
    status = status_of(error)
    if status is None:
        return True  # never reached the server, or lost it on the way
    if code_of(error) in ("insufficient_quota", "billing_not_active"):
        return False
    return status >= 500 or status in TRANSIENT_STATUSES


def status_of(error: Exception) -> int | None:
    """HTTP status of a failure; one inside a stream carries it as its code."""
    status = getattr(error, "status_code", None)
    if status is None and (code := code_of(error)).isdigit():
        status = int(code)
    if status is None and getattr(error, "body", None) is not None:
        status = 500  # an error event in a stream that had begun
    return status


def code_of(error: Exception) -> str:
    """The API's own code of a failure, or nothing."""
    body = getattr(error, "body", None)
    code = getattr(error, "code", None) or (body.get("code") if isinstance(body, dict) else None)
    return str(code or "")


def type_of(error: Exception) -> str:
    """What the API calls the kind of a failure, or nothing."""
    body = getattr(error, "body", None)
    return str((body.get("type") if isinstance(body, dict) else None) or "")


def retry_after(error: Exception) -> float | None:
    """Seconds the server asks us to wait, if it does."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers["retry-after"])
    except (KeyError, ValueError):
        return None


def explain(
    error: Exception, place: Place, *, attempts: int = 1, models: list[str] | None = None
) -> BackendError:
    """Say what failed, where, and the remedy.

    Args:
        attempts: how often the request was sent.
        models: what the endpoint serves, if it could be asked.
    """
    status, said = status_of(error), _said(error)
    transient = is_transient(error)
    if status is None:
        what = f"cannot reach {place.url} for model {place.model!r} ({said})"
        remedy = "Check the URL, that the server runs, and the network"
    elif status in (401, 403):
        what = f"{place} refused the credentials (HTTP {status}: {said})"
        remedy = "Set OPENAI_API_KEY, or give the backend an api_key that may use this model"
    elif status == 404:
        what = f"{place} was not found (HTTP 404: {said})"
        remedy = (
            f"Models it serves: {', '.join(models)}"
            if models
            else "Check the model's name, and that the URL ends where /chat/completions begins (often /v1)"
        )
    elif any(word in said.lower() for word in CONTEXT_WORDS) or code_of(error) == "context_length_exceeded":
        what = f"the prompt and max_tokens do not fit the context of {place} ({said})"
        remedy = "Shorten the prompt, lower max_tokens, or serve the model with a larger --max-model-len"
    elif status == 429:
        what = f"{place} is over its limit (HTTP 429: {said})"
        remedy = "Wait, lower the number of parallel calls, or raise the quota"
    elif transient:
        what = f"{place} failed (HTTP {status}: {said})"
        remedy = "Look at the server's log; the same call may succeed later"
    else:
        what = f"{place} rejected the request (HTTP {status}: {said})"
        remedy = "Change the call's options or schema to what this endpoint supports"
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    return BackendError(f"{what}{tried}. {remedy}.", transient=transient)


def refused(why: str, place: Place) -> BackendError:
    """The error of a call that our scheduler ended, with its reason."""
    remedy = (
        " Give it more time, a smaller prompt or max_tokens, or serve hopeless calls best effort "
        "(AGENTVM_ON_HOPELESS=degrade)."
        if "in time" in why
        else ""
    )
    return BackendError(f"the scheduler of {place} ended the call ({why}).{remedy}", transient=False)


def _said(error: Exception) -> str:
    """The server's own words, or the reason there are none, on one line."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") if isinstance(inner, dict) else inner
    if not message:
        cause = error.__cause__
        message = (
            f"{error} {cause}" if cause is not None and str(cause) else str(error) or type(error).__name__
        )
    line = " ".join(str(message).split()).rstrip(".")
    return line if len(line) <= 400 else f"{line[:400]}..."
