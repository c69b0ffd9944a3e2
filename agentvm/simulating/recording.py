"""Recording: what an agent's runs ask of a model, as stages of a workload.

Every model call takes one *tick* of virtual time and tools take their seconds,
which are few beside it; so the tick in which a call is made is its stage: how
many calls it had to wait for. What is between is the tools' time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count as counting
from itertools import pairwise
from typing import Any, Final

from agentvm_compiler.errors import ConfigError, InputError
from agentvm_compiler.wire import ModelCall, ModelResult, Timing, Usage
from agentvm_serving.workload import Call, Item, Lengths, Scale
from agentvm_serving.workload.answers import made_up, mark, tokens_of
from agentvm_serving.workload.kinds import Kind

from .clock import run_virtually
from .prompts import Prompts

WARM: Final = 64
"""Runs before the first that counts: as many as a profile remembers."""
FEW: Final = 16
BATCH: Final = 256
"""Runs recorded at once: first a few, then many."""

Answer = tuple[Any, int]
"""A value of the type that was asked for, and its length in tokens."""


def _inputs(draws: random.Random, number: int) -> dict[str, Any]:
    return {}


def _answer(call: ModelCall, draws: random.Random) -> Answer:
    """An answer for any call: as long as its limit allows, lognormal about a third of it."""
    most = call.sampling.max_tokens or 512
    tokens = Lengths(most / 3, 0.6, most).draw(draws)
    return (mark(tokens) if call.schema is None else made_up(call.schema, draws)), tokens


@dataclass(frozen=True, slots=True)
class Program:
    """An agent, and what is made up for it."""

    agent: Any
    """What `@agent` made."""
    inputs: Callable[[random.Random, int], dict[str, Any]] = _inputs
    """Inputs of a run, by its number: no two runs should be the same."""
    answer: Callable[[ModelCall, random.Random], Answer] = _answer
    prompt: Callable[[ModelCall, random.Random], int] = lambda call, _: max(1, tokens_of(_text(call)))
    """How long a prompt is."""
    tick: float = 600.0
    """Virtual seconds of a model call; tools must take less in all of a run."""


@dataclass(slots=True)
class Run:
    """What one run asked: by stage, its calls, and when the first of them was made."""

    tick: float
    stages: dict[int, list[Call]] = field(default_factory=dict)
    offsets: dict[int, float] = field(default_factory=dict)
    """Virtual seconds of tools before a stage, since the run's start."""

    def add(self, at: float, call: Call) -> None:
        stage = int(at // self.tick)
        self.stages.setdefault(stage, []).append(call)
        self.offsets[stage] = min(self.offsets.get(stage, self.tick), at % self.tick)

    @property
    def gaps(self) -> tuple[float, ...]:
        told = [self.offsets[stage] for stage in sorted(self.offsets)]
        return tuple(round(max(0.0, after - before), 3) for before, after in pairwise(told))


class Recorder:
    """A model that makes answers up and notes what it was asked."""

    def __init__(self, program: Program, draws: random.Random) -> None:
        self._program = program
        self._draws = draws
        self._began = 0.0
        self._run = Run(program.tick)
        self._prompts = Prompts()

    def begin(self) -> Run:
        """A new run begins."""
        self._began = asyncio.get_running_loop().time()
        self._run, self._prompts = Run(self._program.tick), Prompts()
        return self._run

    def identity(self, model: str | None) -> str:
        return "recorded"

    async def complete(self, call: ModelCall, progress: Any = None) -> ModelResult:
        from agentvm_runtime.structured import dump

        loop = asyncio.get_running_loop()
        sent = loop.time()
        value, tokens = self._program.answer(call, self._draws)
        text = _text(call)
        prompt = self._program.prompt(call, self._draws)
        hints = call.hints.model_dump(mode="json", exclude_defaults=True, include=_KEPT)
        parts = self._prompts.parts(text, prompt)
        self._run.add(sent - self._began, Call(prompt, tokens, parts, hints))
        await asyncio.sleep(self._program.tick)
        return ModelResult(
            value if call.schema is None else dump(value, call.returns),
            usage=Usage(prompt, tokens),
            timing=Timing(sent, sent, loop.time()),
        )

    async def aclose(self) -> None: ...


_KEPT: Final = {"program", "site", "siblings", "remaining", "prefix_group"}


def record(program: Program, seed: int, warm: int | None = None) -> Iterator[Run]:
    """Runs of a program, without end, as they ask for what they need.

    Args:
        warm: runs before the first that is given, from which the runtime's profile learns; by default `WARM`.
    """
    before = WARM if warm is None else warm
    for batch in counting():
        # Later batches begin with a profile of their own, as a new process with a new store would.
        yield from run_virtually(_batch(program, f"{seed} {batch}", before, BATCH if batch else FEW))


async def _batch(program: Program, seed: str, warm: int, count: int) -> list[Run]:
    from agentvm import AgentVM

    draws = random.Random(f"{program.agent.__name__} {seed}")
    recorder = Recorder(program, draws)
    runs = []
    async with AgentVM(store="memory", llm=recorder) as vm:
        for number in range(warm + count):
            runs.append(recorder.begin())
            await vm.run(program.agent, **program.inputs(draws, number), memo=False)
    return runs[warm:]


def program_kind(program: Program, site: str, seed: int) -> Kind:
    """Items of a program, in the order in which its runs were recorded."""
    runs = record(program, seed)

    def drawn(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
        run = next(runs)
        stages = tuple(
            tuple(_fit(call, name, scale) for call in run.stages[number]) for number in sorted(run.stages)
        )
        if not stages:
            raise InputError(f"{site}: a run of this agent asked the model nothing; it is no workload")
        within = scale.within * len(stages)
        return Item(name, "compound", at, stages, site, within=within, gaps=run.gaps, limit=scale.most_output)

    return drawn


def _fit(call: Call, run: str, scale: Scale) -> Call:
    prompt = max(1, min(scale.most_context, call.input_tokens))
    return replace(
        call,
        input_tokens=prompt,
        output_tokens=max(1, min(scale.most_output, call.output_tokens)),
        prefix=tuple((f"{run}/{name}", min(tokens, prompt)) for name, tokens in call.prefix),
    )


def program_named(spec: str) -> Program:
    """A shipped program by name, or an agent (`FILE.py:NAME`) that takes no inputs or has defaults for all.

    Raises:
        ConfigError: there is none.
    """
    from agentvm.loading import find_agent

    from .programs import PROGRAMS

    if ":" in spec:
        return Program(find_agent(spec))
    if spec not in PROGRAMS:
        raise ConfigError(
            f"no program is called {spec!r}. Choose from {', '.join(PROGRAMS)}, or FILE.py:AGENT"
        )
    return PROGRAMS[spec]


def _text(call: ModelCall) -> str:
    return "\n".join(turn.content for turn in call.messages)
