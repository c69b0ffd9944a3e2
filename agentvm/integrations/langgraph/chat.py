"""Model calls of LangGraph and LangChain through AgentVM's backends, with deadlines.

The engine's scheduler learns of each call until when it is wanted, which program
and run it belongs to, and which node of the graph makes it; what the run will
still ask for it learns from earlier runs of the program.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import Field, PrivateAttr

from agentvm.backends import open_llm
from agentvm.config import default_llm
from agentvm.durations import Duration, seconds
from agentvm.integrations import background
from agentvm_compiler.errors import InputError
from agentvm_compiler.wire import Hints, Message, ModelCall, Sampling

ROLES = {"human": "user", "ai": "assistant", "system": "system"}


@dataclass(frozen=True)
class _Run:
    id: str
    ends_at: float
    """Unix seconds."""


_run: ContextVar[_Run | None] = ContextVar("agentvm_langgraph_run", default=None)
_numbers = itertools.count(1)


@contextmanager
def deadline(within: Duration, *, run: str | None = None) -> Iterator[None]:
    """Calls made inside are due when this time is over; of nested ones the sooner counts.

    Args:
        within: from now, e.g. `"20s"`.
        run: the name of this execution, to change or cancel its calls at the engine; made up by default.

    Raises:
        ConfigError: not a duration.
    """
    ends_at = time.time() + seconds(within, what="deadline")
    outer = _run.get()
    if outer is not None:
        ends_at, run = min(ends_at, outer.ends_at), run or outer.id
    token = _run.set(_Run(run or uuid.uuid4().hex, ends_at))
    try:
        yield
    finally:
        _run.reset(token)


class ChatAgentVM(BaseChatModel):
    """A chat model of LangChain over a backend of AgentVM's.

    Structured output is guided by the engine (`with_structured_output`). Tools are not bound: let the
    model choose one with `agentvm.integrations.functions.one_of` as the output's type.
    """

    llm: Any = Field(default_factory=default_llm)
    """A spec, e.g. `vllm:smollm2-135m` or `openai:URL#MODEL`, or a backend."""
    model: str | None = None
    """Which model of the backend's; by default its own."""
    program: str = ""
    """What the engine knows this graph as: runs of one program teach it what the next will ask for."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    _backend: Any = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "agentvm"

    def close(self) -> None:
        """Stop what the backend started. A later call starts it again."""
        backend, self._backend = self._backend, None
        if backend is not None:
            background.run_now(backend.aclose())

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Answers of a type (pydantic, dataclass, TypedDict, ...), or by a JSON Schema as a dict."""
        if include_raw or kwargs:
            raise InputError(
                "ChatAgentVM.with_structured_output() takes a schema and no options: the engine guides "
                "the output by it. For the raw message use .bind(returns=schema)."
            )
        return self.bind(returns=schema) | RunnableLambda(partial(_parsed, returns=schema))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return background.run_now(self._answer(self._call(messages, stop, run_manager, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await background.run(self._answer(self._call(messages, stop, run_manager, kwargs)))

    def _call(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, manager: Any, options: dict[str, Any]
    ) -> ModelCall:
        from agentvm_runtime.structured import schema_of

        returns = options.pop("returns", str)
        told = {
            name: options.pop(name, getattr(self, name))
            for name in ("temperature", "top_p", "max_tokens", "seed")
        }
        if options:
            raise InputError(f"ChatAgentVM does not know the option {next(iter(options))!r}.")
        node = (getattr(manager, "metadata", None) or {}).get("langgraph_node", "")
        return ModelCall(
            messages=tuple(map(_message, messages)),
            model=self.model,
            sampling=Sampling(**told, stop=tuple(stop or ())),
            schema=returns if isinstance(returns, dict) else schema_of(returns),
            returns=returns,
            hints=_hints(self.program, node),
        )

    async def _answer(self, call: ModelCall) -> ChatResult:
        if self._backend is None:
            self._backend = open_llm(self.llm) if isinstance(self.llm, str) else self.llm
        result = await self._backend.complete(call)
        usage = result.usage
        message = AIMessage(
            result.text,
            response_metadata={"finish_reason": result.finish_reason, "model_name": result.model},
            usage_metadata={
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def _hints(program: str, node: str) -> Hints:
    run = _run.get()
    if run is None:
        return Hints(program=program)
    return Hints(
        key=f"{run.id}/{node or 'llm'}#{next(_numbers)}",
        program=program,
        run=run.id,
        path=node,
        slo="deadline",
        deadline=run.ends_at,
        run_deadline=run.ends_at,
    )


def _message(message: BaseMessage) -> Message:
    if message.type not in ROLES:
        raise InputError(
            f"ChatAgentVM takes system, human and AI messages, not one of type {message.type!r}."
        )
    return Message(ROLES[message.type], str(message.text))


def _parsed(message: AIMessage, returns: Any) -> Any:
    from agentvm_runtime.structured import parse

    text = str(message.text)
    return json.loads(text) if isinstance(returns, dict) else cast(Any, parse(text, returns))
