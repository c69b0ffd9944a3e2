"""The ways to reach a model, each fitting the runtime's `ModelBackend` port.

Importing this package imports no engine and no HTTP client; `open_backend`
imports what its spec needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agentvm_compiler.errors import ConfigError
from agentvm_compiler.wire import ModelCall, ModelResult

FORMS = "vllm:MODEL_OR_PATH, openai:BASE_URL#MODEL, sim:PROFILE"


class Backend(Protocol):
    """What every backend offers; see the runtime's `ModelBackend` for the contract."""

    def identity(self, model: str | None) -> str: ...

    async def complete(
        self, call: ModelCall, progress: Callable[[int, str], None] | None = None
    ) -> ModelResult: ...

    async def aclose(self) -> None: ...


def open_backend(spec: str, *, resolve_model: Callable[[str], str] | None = None) -> Backend:
    """Make the backend a spec names; starts nothing.

    Args:
        spec: `vllm:MODEL_OR_PATH`, `openai:BASE_URL#MODEL` or `sim:PROFILE`.
        resolve_model: the folder of a fetched model by its name; raises ConfigError if unknown.

    Raises:
        ConfigError: the spec has no known form, or names what is not there.
    """
    kind, _, rest = spec.partition(":")
    if kind == "vllm" and rest:
        from .vllm import VllmBackend

        return VllmBackend(rest, resolve_model=resolve_model)
    if kind == "openai" and rest:
        url, _, model = rest.partition("#")
        if not model or not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"llm spec {spec!r} lacks its {'URL' if model else 'model'}. "
                "Write it as openai:BASE_URL#MODEL, e.g. openai:https://api.openai.com/v1#gpt-4o-mini"
            )
        from .openai import OpenAIBackend

        return OpenAIBackend(url, model)
    if kind == "sim" and rest:
        from .simulated import simulated

        return simulated(rest)
    raise ConfigError(f"llm spec {spec!r} has no known form. Accepted forms: {FORMS}")


__all__ = ["FORMS", "Backend", "open_backend"]
