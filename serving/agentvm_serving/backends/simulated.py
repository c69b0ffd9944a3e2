"""A backend without a model: answers are made up, and take the time that a simulated engine takes for them.

For trying an agent's deadlines and the scheduler before there is a GPU. The engine is
the simulator's, with the scheduler's own code, in step with a clock: what is asked at
once shares its steps. Nothing runs beside the calls: whoever waits moves it on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

import anyio

from agentvm_compiler.errors import BackendError, ConfigError
from agentvm_compiler.wire import Hints, ModelCall, ModelResult, Timing, Usage
from agentvm_serving.policy import DEFAULT_POLICY
from agentvm_serving.sim.clients import Asked
from agentvm_serving.sim.engine import EPOCH, Engine
from agentvm_serving.sim.live import LiveReplica
from agentvm_serving.sim.request import Request
from agentvm_serving.slo import LATENCY_TTFT_SECONDS
from agentvm_serving.workload import Call, Item, Lengths
from agentvm_serving.workload.answers import json_of, prose, tokens_of

from .stream import Progress

UNLIMITED: Final = 512
"""Output tokens that an answer may have where a call sets no limit."""
SHORTEST: Final = 0.001
"""Seconds that a call waits at least before it looks again: timers are no finer."""
SPREAD: Final = 0.6
"""Of the logarithm of an answer's length, about a third of what it may have."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is said after `?` besides the engine's options."""

    speed: float = 1.0
    """How much faster than the engine the answers come."""
    tokens: int | None = None
    """Of every answer; by default drawn."""
    seed: int = 0
    """Of what is drawn."""
    policy: str = DEFAULT_POLICY


_READ: Final[dict[str, Callable[[str], float | int | str]]] = {
    "speed": float,
    "tokens": int,
    "seed": int,
    "policy": str,
}


def simulated(spec: str) -> SimulatedBackend:
    """The backend of what follows `sim:`.

    Raises:
        ConfigError: it has no such profile, option or policy; says which there are.
    """
    from agentvm_serving.bench.specs import virtual

    name, _, query = spec.partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    own: dict[str, float | int | str] = {}
    for option, value in given:
        if option in _READ:
            try:
                own[option] = _READ[option](value)
            except ValueError:
                raise ConfigError(f"llm spec 'sim:{spec}': {option}={value} is not a number") from None
    found = virtual(f"{name}?{urlencode([each for each in given if each[0] not in _READ])}")
    if found.replicas > 1:
        raise ConfigError(f"llm spec 'sim:{spec}': it is one engine. Leave out the number of replicas")
    options = Options(**own)  # type: ignore[arg-type]
    if options.speed <= 0 or (options.tokens or 1) < 1:
        raise ConfigError(f"llm spec 'sim:{spec}': speed and tokens must be above zero")
    return SimulatedBackend(f"sim:{spec}", found.engine, options)


@dataclass(slots=True, eq=False)
class _Waiting:
    """One call that is being answered."""

    request: Request
    answer: str
    told: int = 0
    """Tokens that were reported."""
    done: bool = False


@dataclass(eq=False)
class SimulatedBackend:
    """Answers model calls with made-up text, when the simulated engine would have.

    Args:
        name: its spec, which is its identity.
        clock: Unix seconds.
    """

    name: str
    engine: Engine
    options: Options = field(default_factory=Options)
    clock: Callable[[], float] = lambda: time.time()  # looked up anew: virtual time replaces it

    def __post_init__(self) -> None:
        from agentvm_serving.sim.simulator import orders

        self._replica = LiveReplica(self.engine, orders(self.options.policy, self.engine))
        self._began = self.clock()
        self._waiting: dict[Request, _Waiting] = {}
        self._number = 0
        self._changed: anyio.Event | None = None
        """Set when what is under way ends earlier than it was to."""

    def identity(self, model: str | None) -> str:
        """The spec: what is made up depends on nothing else."""
        return f"{model}@{self.name}" if model else self.name

    async def complete(self, call: ModelCall, progress: Progress | None = None) -> ModelResult:
        """Answer one call. Cancelling frees the engine's slot.

        Raises:
            BackendError: its prompt is longer than the engine takes.
        """
        sent_at = self.clock()
        waiting = self._ask(call)
        request = waiting.request
        try:
            while not waiting.done:
                await self._next()
                self._tell(waiting, progress)
        finally:
            if not waiting.done:
                del self._waiting[request]
                self._replica.abandon(request, self._now())
                self._wake()
        limit = call.sampling.max_tokens
        return ModelResult(
            waiting.answer,
            "length" if limit is not None and request.length >= limit and call.schema is None else "stop",
            Usage(request.prompt, request.length),
            Timing(sent_at, self._real(request.times[0]), self._real(request.times[-1])),
            self.identity(call.model),
        )

    async def aclose(self) -> None:
        """Nothing was started."""

    def _ask(self, call: ModelCall) -> _Waiting:
        asked, answer = self._asked(call)
        now = self._now()
        self._catch_up(now)
        request = self._replica.offer(asked)
        if self._idle:
            self._replica.start(now)
        waiting = self._waiting[request] = _Waiting(request, answer)
        self._wake()
        return waiting

    def _asked(self, call: ModelCall) -> tuple[Asked, str]:
        now, self._number = self._now(), self._number + 1
        prompt = max(1, sum(tokens_of(message.content) for message in call.messages))
        room = self.engine.max_model_len - prompt
        if room < 1:
            raise BackendError(
                f"{self.name}: a prompt of {prompt} tokens, the engine takes {self.engine.max_model_len} "
                "with the answer. Shorten it, or choose a larger context (option len)"
            )
        said = "\n".join(f"{message.role}: {message.content}" for message in call.messages)
        # Equal calls that need not have equal answers differ in where they stand in the run.
        where = "" if call.sampling.deterministic else call.hints.key or call.path
        draws = random.Random(f"{self.options.seed} {call.sampling.seed} {where} {said}")
        limit = min(call.sampling.max_tokens or room, room)
        length = self.options.tokens or Lengths(min(limit, UNLIMITED) / 3, SPREAD, limit).draw(draws)
        answer = prose(min(length, limit)) if call.schema is None else json_of(call.schema, draws)
        made = Call(prompt, min(length, limit))
        hints = self._virtual(call.hints, now)
        due = now + (hints.ttft or LATENCY_TTFT_SECONDS) if hints.deadline is None else hints.deadline - EPOCH
        name = f"{self._number} {call.hints.key}"
        item = Item(name, "deadline", now, ((made,),))
        return Asked(name, item, 0, 0, made, hints, now, limit, due), answer

    def _virtual(self, hints: Hints, now: float) -> Hints:
        """Hints in the engine's time, in which everything takes longer by the speed."""
        speed = self.options.speed
        changes: dict[str, object] = {}
        for name in ("deadline", "run_deadline"):
            if (moment := getattr(hints, name)) is not None:
                changes[name] = EPOCH + now + (moment - self.clock()) * speed
        for name in ("ttft", "tbt"):
            if (seconds := getattr(hints, name)) is not None:
                changes[name] = seconds * speed
        stages = [
            each.model_copy(update={"tool_seconds": each.tool_seconds * speed}) for each in hints.remaining
        ]
        return hints.model_copy(update={**changes, "remaining": tuple(stages)})

    @property
    def _idle(self) -> bool:
        return self._replica.end == float("inf")

    def _now(self) -> float:
        """The engine's time."""
        return (self.clock() - self._began) * self.options.speed

    def _real(self, at: float) -> float:
        return self._began + at / self.options.speed

    async def _next(self) -> None:
        """Wait until something ends on the engine, and let it end."""
        if self._changed is None:
            self._changed = anyio.Event()
        left = (self._replica.end - self._now()) / self.options.speed
        with anyio.move_on_after(max(SHORTEST, left)):
            await self._changed.wait()
        self._catch_up(self._now())

    def _wake(self) -> None:
        """Let all that wait look anew."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _catch_up(self, now: float) -> None:
        """End what has ended by now, each at its own moment."""
        replica = self._replica
        while replica.end <= now:
            replica.complete(self._done)
            replica.start(replica.now)

    def _done(self, request: Request) -> None:
        if (waiting := self._waiting.pop(request, None)) is not None:
            waiting.done = True

    def _tell(self, waiting: _Waiting, progress: Progress | None) -> None:
        made = self._replica.made_by(waiting.request, self._now())
        if progress is not None and made > waiting.told:
            length, answer = waiting.request.length, waiting.answer
            begin, end = (len(answer) * tokens // length for tokens in (waiting.told, made))
            progress(made, answer[begin:end])
        waiting.told = max(made, waiting.told)


__all__ = ["Options", "SimulatedBackend", "simulated"]
