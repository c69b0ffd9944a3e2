"""A backend for any OpenAI-compatible endpoint.

Calls are streamed, so that the time to the first token is known and output
tokens are reported as they come. A call is sent again only while its failure is
transient, attempts are left, and the wait still ends before its deadline.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import anyio

from agentvm_compiler.wire import ModelCall, ModelResult, Timing
from agentvm_serving.slo import to_extra_args
from agentvm_serving.vllm.refusals import REFUSED

from .failures import Place, explain, is_transient, refused, retry_after, status_of, type_of
from .http import PerLoop, client_module
from .schema import answer_format
from .steering import Steering
from .stream import Progress, StreamedAnswer

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 20.0
BACKOFF_SECONDS = 0.5
BACKOFF_LIMIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint accepts beyond the common core; learnt from what it refuses."""

    hints: bool | None
    """Whether it takes `vllm_xargs`; `None`: ask it before the first call."""
    max_tokens: str = "max_tokens"
    """How it calls the output limit (OpenAI's newer models: `max_completion_tokens`)."""

    def without(self, complaint: str) -> Dialect | None:
        """A dialect that avoids what the endpoint complained of; `None` if there is none."""
        if self.hints and any(
            word in complaint for word in ("vllm_xargs", "continuous_usage", "extra", "unrecog")
        ):
            return replace(self, hints=False)
        if self.max_tokens == "max_tokens" and "max_completion_tokens" in complaint:
            return replace(self, max_tokens="max_completion_tokens")
        return None


_UNKNOWN_FIELD = (
    "vllm_xargs",
    "continuous_usage",
    "extra inputs",
    "extra fields",
    "unrecognized request argument",
)
"""How endpoints call a field they do not know."""


class OpenAIBackend:
    """Answers model calls at one endpoint.

    Args:
        base_url: where `/chat/completions` is, e.g. `https://api.openai.com/v1`.
        model: the model of calls that name none.
        api_key: without it, the environment's `OPENAI_API_KEY`; local servers need none.
        hints: whether to send scheduling hints; by default only to a vLLM.
        attempts: how often a call is sent at most.
        timeout: seconds without a byte after which an attempt has failed; `None` waits.
        transport: a transport of the installed openai's HTTP client, e.g. over a Unix socket.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        hints: bool | None = None,
        attempts: int = 4,
        timeout: float | None = 600.0,
        transport: Callable[[], Any] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.attempts = max(1, attempts)
        self._api_key = api_key
        self._dialect = Dialect(hints)
        self._timeout = timeout
        self._transport = transport
        self._clients: PerLoop[Any] = PerLoop(self._connect)
        self._jitter = random.Random()
        self.scheduler = Steering(self.client, Place(self.base_url, model), lambda: bool(self._dialect.hints))
        """Tells our scheduler, if it serves there, of changes to requests that were sent before."""

    def identity(self, model: str | None) -> str:
        """`MODEL@BASE_URL`: an endpoint does not say which weights it serves."""
        return f"{model or self.model}@{self.base_url}"

    async def complete(self, call: ModelCall, progress: Progress | None = None) -> ModelResult:
        """Answer one call. Cancelling closes the stream, which frees the engine's slot.

        Raises:
            BackendError: it could not be answered; says where, why and the remedy.
        """
        import openai

        place = Place(self.base_url, call.model or self.model)
        failures = (openai.APIError, client_module().HTTPError, _Cut)
        if self._dialect.hints is None:
            self._dialect = replace(self._dialect, hints=await self._is_vllm())
        sent_at = time.time()
        attempt = 1
        while True:
            dialect = self._dialect
            try:
                return await self._attempt(call, place.model, dialect, sent_at, progress)
            except failures as error:
                if status_of(error) in (400, 422) and (other := dialect.without(str(error).lower())):
                    logger.warning("%s does not accept all we sent (%s); going on without", place, error)
                    self._dialect = other
                    continue
                delay = self._delay(attempt, error)
                due = call.hints.deadline
                if (
                    not is_transient(error)
                    or attempt >= self.attempts
                    or (due is not None and time.time() + delay >= due)
                ):
                    models = await self.models() if status_of(error) == 404 else None
                    raise explain(error, place, attempts=attempt, models=models) from error
                logger.info("%s: attempt %d failed (%s); next in %.1f s", place, attempt, error, delay)
                attempt += 1
                await anyio.sleep(delay)

    def client(self) -> Any:
        """The client of the endpoint, in this event loop."""
        return self._clients.get()

    async def models(self) -> list[str]:
        """Names of the models the endpoint serves; empty if it does not say."""
        return [model.id for model in await self._listing()]

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        client = self._clients.take()
        if client is not None:
            await client.close()

    async def _attempt(
        self, call: ModelCall, model: str, dialect: Dialect, sent_at: float, progress: Progress | None
    ) -> ModelResult:
        import openai

        wanted = answer_format(call.schema) if call.schema is not None else None
        answer = StreamedAnswer(progress)
        stream = await self._clients.get().chat.completions.create(
            model=model,
            messages=[{"role": message.role, "content": message.content} for message in call.messages],
            stream=True,
            **_options(call, dialect),
            **({"response_format": wanted.response_format} if wanted else {}),
        )
        try:
            async for chunk in stream:
                answer.take(chunk)
        except openai.APIError as error:
            if type_of(error) != REFUSED:
                raise
            answer.finish_reason = "abort"
        finally:
            # Shielded, or a cancelled call would leave its stream, and so the engine's slot, open.
            with anyio.move_on_after(5, shield=True):
                await stream.close()
        if answer.finish_reason in (None, "abort"):
            if (why := await self._why_ended(call.hints.key, dialect)) is not None:
                raise refused(why, Place(self.base_url, model))
            if answer.finish_reason is None:
                raise _Cut("the stream ended before the answer did")
        text = "".join(answer.parts)
        return ModelResult(
            text=wanted.unwrap(text) if wanted else text,
            finish_reason=answer.finish_reason or "abort",
            usage=answer.usage,
            timing=Timing(sent_at, answer.first_token_at, time.time()),
            model=self.identity(call.model),
        )

    async def _why_ended(self, key: str, dialect: Dialect) -> str | None:
        """Why our scheduler ended a call: vLLM gives a stream without tokens neither reason nor end."""
        if not (dialect.hints and key):
            return None
        records = await self.scheduler.records(key)
        return str(records[-1]["why"]) if records and records[-1]["refused"] else None

    def _connect(self) -> Any:
        import openai

        http = client_module()
        timeout = http.Timeout(self._timeout, connect=CONNECT_SECONDS)
        transport = {"transport": self._transport()} if self._transport else {}
        return openai.AsyncOpenAI(
            base_url=self.base_url,
            # The client refuses to start without a key, local servers ignore it.
            api_key=self._api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,  # its retries know nothing of the call's deadline
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, **transport),
        )

    async def _is_vllm(self) -> bool:
        return any(getattr(model, "owned_by", "") == "vllm" for model in await self._listing())

    async def _listing(self) -> list[Any]:
        import openai

        try:
            return list((await self._clients.get().models.list()).data)
        except (openai.APIError, client_module().HTTPError, AttributeError, TypeError, ValueError):
            return []

    def _delay(self, attempt: int, error: Exception) -> float:
        backoff: float = min(BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS * 2 ** (attempt - 1))
        # Full jitter above a floor: callers that failed together must not come back together.
        return max(retry_after(error) or 0.0, backoff * self._jitter.uniform(0.5, 1.0))


class _Cut(Exception):
    """A stream that ended without saying so."""


def _options(call: ModelCall, dialect: Dialect) -> dict[str, Any]:
    sampling = call.sampling
    options: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        dialect.max_tokens: sampling.max_tokens,
        "stop": list(sampling.stop) or None,
        "stream_options": {"include_usage": True},
        "extra_headers": dict(call.trace) or None,
    }
    if dialect.hints:
        options["stream_options"]["continuous_usage_stats"] = True
        options["extra_body"] = {"vllm_xargs": to_extra_args(call.hints)}
    return {name: value for name, value in options.items() if value is not None}
