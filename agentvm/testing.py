"""Test doubles: a scripted model, a scripted person, plain Python execution, a clock one sets.

`ScriptedLLM` fits the port of a model backend, so the same double serves
`AgentVM(llm=...)` and `plain(llm=...)`; the second runs agents as the ordinary
Python they are, which is what compiled execution is compared with.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from agentvm_compiler.calls import Agent, LlmRequest, Tool, serving
from agentvm_compiler.errors import BackendError, ConfigError
from agentvm_compiler.human import HumanRequest, human_request, is_human
from agentvm_compiler.wire import ModelCall, ModelResult, Timing, Usage

from .sdk import now

if TYPE_CHECKING:
    from agentvm_runtime.ports import ModelBackend
    from agentvm_runtime.questions import Human

__all__ = ["FakeClock", "Script", "ScriptedHuman", "ScriptedLLM", "plain"]

Script: TypeAlias = Callable[[ModelCall], Any] | str | Sequence[Any] | Mapping[str, Any]
"""A function of the call, one answer for all, answers in order of asking, or answers by prompt."""


_NOW: Any = now  # to a type checker a function, in fact a Tool


class ScriptedLLM:
    """A model that answers what it is told to.

    Args:
        script: `fn(call) -> str | object` (may be async), one text for every call, a
            list of answers taken in order, or a mapping from prompt to answer. For
            `returns=T` an answer is an object of `T` or its JSON text.
        identity: what execution keys see; give different doubles different names
            where they share a store and greedy answers must not be shared.
        clock: Unix seconds, for the timing of results.
    """

    def __init__(
        self, script: Script, *, identity: str = "scripted", clock: Callable[[], float] | None = None
    ) -> None:
        self._script = script
        self._identity = identity
        self._clock = clock or _NOW.fn
        self.calls: list[ModelCall] = []
        """Every call, in the order they arrived."""
        self.closed = False

    @property
    def prompts(self) -> list[str]:
        """The prompt of every call, as the program wrote it."""
        return [each.prompt for each in self.calls]

    def identity(self, model: str | None) -> str:
        return self._identity if model is None else f"{self._identity}/{model}"

    async def complete(
        self, call: ModelCall, progress: Callable[[int, str], None] | None = None
    ) -> ModelResult:
        sent_at = self._clock()
        number = len(self.calls)
        self.calls.append(call)
        answer = self._answer(call, number)
        if inspect.isawaitable(answer):
            answer = await answer
        text = _text(answer, call)
        tokens = len(text.split())
        if progress is not None:
            progress(tokens, text)
        finished_at = self._clock()
        return ModelResult(
            text=text,
            usage=Usage(sum(len(turn.content.split()) for turn in call.messages), tokens),
            timing=Timing(sent_at=sent_at, first_token_at=finished_at, finished_at=finished_at),
            model=self.identity(call.model),
        )

    async def aclose(self) -> None:
        self.closed = True

    def _answer(self, call: ModelCall, number: int) -> Any:
        if callable(self._script):
            return self._script(call)
        if isinstance(self._script, str):
            return self._script
        if isinstance(self._script, Mapping):
            if call.prompt not in self._script:
                known = ", ".join(f"{each!r:.60}" for each in self._script)
                raise BackendError(f"ScriptedLLM has no answer for {call.prompt!r:.200}. It knows: {known}.")
            return self._script[call.prompt]
        if number >= len(self._script):
            raise BackendError(
                f"ScriptedLLM has {len(self._script)} answers and was asked once more: {call.prompt!r:.200}"
            )
        return self._script[number]


def _text(answer: Any, call: ModelCall) -> str:
    """The answer as an engine would give it: text, or JSON text."""
    from agentvm_runtime.structured import dump

    if type(answer) is str:
        return answer
    if call.returns is str:
        raise ConfigError(
            f"ScriptedLLM answered {call.prompt!r:.80} with a {type(answer).__name__}, "
            "but the call returns text. Answer with a str, or ask with llm(..., returns=...)."
        )
    return dump(answer, call.returns)


class ScriptedHuman:
    """A person who answers what they are told to; for `AgentVM(human=...)` and `plain(human=...)`.

    Args:
        script: a function of the request (`.question`, `.returns`, `.path`; may be async), a list
            of answers taken in order, a mapping from question to answer, or one answer for all.
    """

    def __init__(self, script: Any) -> None:
        self._script = script
        self.requests: list[HumanRequest] = []
        """Every question, in the order they were put."""

    @property
    def questions(self) -> list[str]:
        """The text of every question."""
        return [each.question for each in self.requests]

    def __call__(self, request: HumanRequest) -> Any:
        number = len(self.requests)
        self.requests.append(request)
        if callable(self._script):
            return self._script(request)
        if isinstance(self._script, Mapping):
            if request.question not in self._script:
                raise ConfigError(f"ScriptedHuman has no answer to {request.question!r:.200}.")
            return self._script[request.question]
        if isinstance(self._script, list):
            if number >= len(self._script):
                raise ConfigError(
                    f"ScriptedHuman has {number} answers, and was asked {request.question!r:.200}."
                )
            return self._script[number]
        return self._script


class _Plain:
    """Dispatcher of ordinary Python: calls go straight to the functions."""

    def __init__(
        self, llm: ModelBackend | None, human: Human | None, clock: Callable[[], float] | None
    ) -> None:
        self._llm = llm
        self._human = human
        self._clock = clock

    async def llm(self, request: LlmRequest) -> Any:
        if self._llm is None:
            raise ConfigError("llm() was called inside plain() without a model. Give one: plain(llm=...).")
        from agentvm_runtime.structured import ask, schema_of

        call = ModelCall(
            messages=request.messages,
            model=request.model,
            sampling=request.sampling,
            schema=schema_of(request.returns),
            returns=request.returns,
            prompt=request.prompt,
        )
        value, _ = await ask(self._llm.complete, call)
        return value

    async def tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_human(tool) and self._human is not None:
            return await self._ask(self._human, human_request(*args, **kwargs))
        return await tool.fn(*args, **kwargs)

    async def _ask(self, human: Human, request: HumanRequest) -> Any:
        from agentvm_runtime.questions import accepted

        given = human(request)
        if inspect.isawaitable(given):
            given = await given
        return accepted(given, request.returns)

    def sync_tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._clock is not None and tool is _NOW:
            return self._clock()
        return tool.fn(*args, **kwargs)

    async def agent(self, agent: Agent, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await agent.fn(*args, **kwargs)


class plain:
    """Run agents and tools as ordinary Python inside this context.

    Nothing is compiled, journaled or shared; `llm` goes to the given double and
    is validated as the virtual machine does. Entering it gives the backend, for a
    look at its `.calls`.

    Args:
        llm: a backend, or a script to make a `ScriptedLLM` of.
        human: who answers `ask_human`, or a script to make a `ScriptedHuman` of.
        clock: what `now()` returns.
    """

    # A class: `contextlib.contextmanager` assigns to exceptions that pass through it, and some refuse.

    def __init__(
        self,
        llm: ModelBackend | Script | None = None,
        *,
        human: Any = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        backend: Any = llm if llm is None or hasattr(llm, "complete") else ScriptedLLM(llm)
        self._backend = backend
        person = human if human is None or callable(human) else ScriptedHuman(human)
        self._serving = serving(_Plain(backend, person, clock))

    def __enter__(self) -> Any:
        self._serving.__enter__()
        return self._backend

    def __exit__(self, *raised: object) -> None:
        self._serving.__exit__(*raised)


class FakeClock:
    """A clock that moves only when told to; call it for the time.

    `sleep` waits until `advance` has moved the clock far enough. Sleepers wake in
    the order of their moments.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def __call__(self) -> float:
        return self._now

    def now(self) -> float:
        """Unix seconds."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many tasks wait in `sleep`."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move the clock; wakes whoever has slept enough."""
        if seconds < 0:
            raise ConfigError(f"FakeClock.advance({seconds}): a clock does not run backwards")
        self._now += seconds
        self._sleepers.sort(key=lambda each: each[:2])
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = self._sleepers.pop(0)
            if not future.done():
                future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        self._sleepers.append((self._now + seconds, self._count, future))
        await future
