"""A backend that serves a model itself: a vLLM engine as a child process.

The engine starts with the first call, or `start`, and ends with `aclose` or
with this process. Calls then go to it as to any OpenAI-compatible endpoint,
over a Unix socket nobody else can reach.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import anyio

from agentvm_compiler.errors import BackendError
from agentvm_compiler.wire import ModelCall, ModelResult
from agentvm_serving.policy import DEFAULT_POLICY, policy_named
from agentvm_serving.vllm import HOPELESS_VARIABLE, POLICY_VARIABLE
from agentvm_serving.vllm.environment import cpu_build

from .engine import EngineProcess, require_vllm
from .failures import Place
from .http import PerLoop
from .openai import OpenAIBackend
from .steering import Steering
from .stream import Progress
from .weights import find_model, fingerprint

START_SECONDS = 600.0
"""How long an engine may take to start: a slow machine loads a large model in minutes."""


class VllmBackend:
    """Answers model calls with an engine of its own.

    Args:
        model: folder of a model, or a name `resolve_model` knows.
        dtype: of the weights; by default float32 on a CPU build, else the model's own.
        policy: how the scheduler orders requests, see `agentvm_serving.policy.POLICIES`.
        on_hopeless: what becomes of a call that cannot meet its objective even alone: `degrade` (it is
            served best effort) or `reject` (it fails at once, with a BackendError that says why).
        arguments: more options of `vllm serve`, e.g. `["--max-num-seqs", "8"]`.
        variables: more environment variables of the engine.
        log_folder: where the engine's log goes; by default the user's log folder.
        start_timeout: seconds the engine may take to start.

    Raises:
        ConfigError: there is no such model or policy.
    """

    def __init__(
        self,
        model: str,
        *,
        resolve_model: Callable[[str], str] | None = None,
        dtype: str | None = None,
        policy: str = DEFAULT_POLICY,
        on_hopeless: Literal["degrade", "reject"] = "degrade",
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        log_folder: Path | None = None,
        start_timeout: float = START_SECONDS,
    ) -> None:
        policy_named(policy)
        self.folder = find_model(model, resolve_model)
        self.model = model
        self._dtype = dtype
        self._arguments = tuple(arguments)
        self._variables = {HOPELESS_VARIABLE: on_hopeless, **(variables or {}), POLICY_VARIABLE: policy}
        self._log_folder = log_folder
        self._start_timeout = start_timeout
        self._engine: EngineProcess | None = None
        self._endpoint: OpenAIBackend | None = None
        self._failure: BackendError | None = None
        self._starting: PerLoop[anyio.Lock] = PerLoop(anyio.Lock)
        self.scheduler = Steering(
            lambda: self._endpoint and self._endpoint.client(), Place("the engine", self.model)
        )
        """Tells the engine's scheduler of changes to calls that were made before."""

    def identity(self, model: str | None) -> str:
        """The model's folder name, a fingerprint of its weights, and the dtype; starts nothing."""
        if model not in (None, self.model):
            return f"{model}@vllm"  # not served here: the call itself will say so
        return f"{self.folder.name}@{self._fingerprint}:{self.dtype}"

    @property
    def dtype(self) -> str:
        """The type the weights are computed in; `auto` leaves it to the model."""
        return self._dtype or ("float32" if cpu_build() else "auto")

    @property
    def starting(self) -> bool:
        """Whether the engine is being started, which calls wait for."""
        return self._engine is not None and self._endpoint is None

    @property
    def engine(self) -> EngineProcess | None:
        """The engine's process, once started."""
        return self._engine

    async def start(self) -> None:
        """Start the engine and wait until it serves. Idempotent; starts a dead one again.

        Raises:
            ConfigError: no vLLM is installed.
            BackendError: it did not start; the message has its last words and its log's path.
        """
        async with self._starting.get():
            if self._engine is not None and self._endpoint is not None and self._engine.alive:
                return
            if self._failure is not None:
                # Calls that waited together must not each start, and wait for, the same failure.
                raise BackendError(str(self._failure)) from self._failure
            # A caller cancelled while it waited leaves a starting engine; the next one goes on waiting.
            if self._engine is None or not self._engine.alive:
                await self._discard()
                require_vllm()
                self._engine = EngineProcess(self._options(), self._variables, self._log())
            try:
                await self._engine.ready(self._start_timeout)
            except BackendError as error:
                self._failure = None if error.transient else error
                await self._discard()
                raise
            self._endpoint = _Local(self)

    async def complete(self, call: ModelCall, progress: Progress | None = None) -> ModelResult:
        """Answer one call; starts the engine on the first. Cancelling frees the engine's slot."""
        await self.start()
        engine, endpoint = self._engine, self._endpoint
        assert engine is not None and endpoint is not None
        try:
            return await endpoint.complete(call, progress)
        except BackendError as error:
            if engine.alive or self._engine is not engine:
                raise
            death = engine.death("ended while it served")
            raise BackendError(str(death), transient=True) from error

    async def aclose(self) -> None:
        """End the engine. Idempotent."""
        with anyio.CancelScope(shield=True):
            await self._discard()

    async def _discard(self) -> None:
        endpoint, engine = self._endpoint, self._engine
        self._endpoint = self._engine = None
        if endpoint is not None:
            await endpoint.aclose()
        if engine is not None:
            await engine.aclose()

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.folder)

    def _options(self) -> list[str]:
        names = list(dict.fromkeys([self.model, self.folder.name]))
        options = ["--model", str(self.folder), "--served-model-name", *names]
        if not any(argument.startswith("--dtype") for argument in self._arguments):
            options += ["--dtype", self.dtype]
        return [*options, *self._arguments]

    def _log(self) -> Path:
        if self._log_folder is None:
            import platformdirs

            self._log_folder = platformdirs.user_log_path("agentvm") / "engine"
        stamp = time.strftime("%Y%m%dT%H%M%S")
        return self._log_folder / f"{stamp}-{self.folder.name}-{time.monotonic_ns() % 10**6:06}.log"


class _Local(OpenAIBackend):
    """The engine's endpoint. Its answers carry the identity of the weights."""

    def __init__(self, backend: VllmBackend) -> None:
        engine: Any = backend.engine
        # No timeout: the engine is ours and watched, and a long queue on a slow machine is no failure.
        super().__init__(
            "http://engine/v1",
            backend.model,
            "none",
            hints=True,
            attempts=2,
            timeout=None,
            transport=engine.transport,
        )
        self._backend = backend

    def identity(self, model: str | None) -> str:
        return self._backend.identity(model)
