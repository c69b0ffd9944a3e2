"""Runs one program twice, as plain asyncio and compiled, and says what each did.

An *observation* is all that can be seen of a run from outside: its result or
exception, the writes of its tools, what it printed, and the prompts it sent.
"""

from __future__ import annotations

import copy
import importlib
import io
import pkgutil
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import anyio.lowlevel
import pytest

import tests.programs
from agentvm import AgentVM, RunFailed
from agentvm.testing import ScriptedLLM, plain
from agentvm_runtime.values import encode

CHECKPOINTS = 8
"""Most times a varied model lets others go before it answers."""


@dataclass(frozen=True)
class Case:
    """A program and what it is called with."""

    module: ModuleType
    number: int

    @property
    def agent(self) -> Any:
        return self.module.CASES[self.number][0]

    @property
    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of its own for whoever asks."""
        _, args, kwargs = self.module.CASES[self.number]
        return copy.deepcopy(args), copy.deepcopy(kwargs)

    @property
    def log(self) -> list[str]:
        """What the program's write tools wrote."""
        log: list[str] = self.module.LOG
        return log

    def reset(self) -> None:
        """Make it as if nothing had run: the log, and what else the program says it changes."""
        self.log.clear()
        getattr(self.module, "reset", lambda: None)()

    @property
    def name(self) -> str:
        return f"{self.module.__name__.rpartition('.')[2]}-{self.agent.fn.__name__}-{self.number}"


leaves_coroutines = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
"""For programs that end before they await a coroutine they made: Python warns of it, however they are run."""


@dataclass
class Observation:
    """What can be seen of a run."""

    outcome: tuple[Any, ...]
    """`("returned", value)` or `("raised", type, args, attributes, cause's type)`."""
    log: list[str]
    printed: str
    prompts: Counter[str]

    @property
    def visible(self) -> tuple[Any, ...]:
        """All but the prompts."""
        return self.outcome, self.log, self.printed


def cases(package: ModuleType = tests.programs) -> list[Any]:
    """One pytest parameter for each input of each program of a package."""
    return [pytest.param(case, id=case.name) for case in _cases(package)]


def _cases(package: ModuleType) -> Iterator[Case]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for number in range(len(getattr(module, "CASES", ()))):
            yield Case(module, number)


def model(case: Case, seed: int | None = None) -> ScriptedLLM:
    """The program's own model; with a seed, its answers come back in an order of its own."""
    return ScriptedLLM(case.module.script if seed is None else varied(case.module.script, seed))


def varied(script: Callable[[Any], Any], seed: int) -> Callable[[Any], Any]:
    """The script, answering after a number of turns of the event loop drawn for each call."""
    draws = random.Random(seed)

    async def answer(call: Any) -> Any:
        for _ in range(draws.randrange(CHECKPOINTS)):
            await anyio.lowlevel.checkpoint()
        return script(call)

    return answer


async def observe_plain(case: Case, llm: ScriptedLLM) -> Observation:
    """Run as the ordinary Python the program is."""

    async def call() -> Any:
        args, kwargs = case.inputs
        with plain(llm=llm):
            return await case.agent(*args, **kwargs)

    return await observe(case, llm, call)


async def observe_compiled(case: Case, llm: ScriptedLLM, store: Any = "memory") -> Observation:
    """Run on the virtual machine."""

    async def call() -> Any:
        args, kwargs = case.inputs
        async with AgentVM(store=store, llm=llm) as vm:
            return await vm.run(case.agent, *args, **kwargs)

    return await observe(case, llm, call)


async def observe(case: Case, llm: ScriptedLLM, call: Callable[[], Any]) -> Observation:
    """What a call of the program does, beginning with an empty log."""
    case.reset()
    printed = io.StringIO()
    with redirect_stdout(printed):
        outcome = await outcome_of(call)
    return Observation(outcome, list(case.log), printed.getvalue(), Counter(map(asked, llm.calls)))


async def outcome_of(call: Callable[[], Any]) -> tuple[Any, ...]:
    """How the call ended, in a form that can be compared."""
    try:
        return "returned", exactly(await call())
    except RunFailed as failed:
        assert failed.error is not None
        return raised(failed.error)
    except Exception as error:
        return raised(error)


def raised(error: BaseException) -> tuple[Any, ...]:
    cause = error.__cause__
    return "raised", type(error), _comparable(error.args), dict(vars(error)), type(cause) if cause else None


def _comparable(args: tuple[Any, ...]) -> Any:
    """Exceptions among the arguments equal only themselves; recorded they can be compared."""
    return exactly(args) if any(isinstance(each, list) for each in args) else args


def asked(call: Any) -> str:
    """A model call as the program sees it."""
    return call.prompt or "\n".join(turn.content for turn in call.messages)


@dataclass(frozen=True)
class Exact:
    """A value that equals only what has the same content, types included; shows as the value."""

    value: Any
    data: bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return repr(self.value)


def exactly(value: Any) -> Exact:
    return Exact(value, encode(value, name="the agent's result"))  # as errors of the machine call it
