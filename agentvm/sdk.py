"""The decorators: how a function becomes an agent or a tool.

Decorating checks the function and wraps it; it compiles nothing. A mistake is
a `ConfigError` at the line of the decorator, so it shows at import and not in
the middle of a run. To a type checker a decorated function keeps its type.
"""

from __future__ import annotations

import functools
import inspect
import random as _random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast, overload

from agentvm_compiler.calls import Agent, Effect, Tool, current
from agentvm_compiler.errors import ConfigError
from agentvm_compiler.retry import Retry, retry_policy

from .durations import Duration, optional_seconds

__all__ = ["RUN_OPTIONS", "agent", "current", "now", "random", "tool"]

RUN_OPTIONS = (
    "budget",
    "concurrency",
    "deadline",
    "durability",
    "llm",
    "memo",
    "on_deadline",
    "run_id",
    "slo",
    "store",
)
"""Option names of `vm.run` and `agentvm.run`; no agent parameter may have one."""

A = TypeVar("A", bound=Callable[..., Coroutine[Any, Any, Any]])
F = TypeVar("F", bound=Callable[..., Any])


@overload
def agent(fn: A, /) -> A: ...
@overload
def agent(
    *, name: str | None = None, deadline: Duration | None = None, on_deadline: str = "cancel"
) -> Callable[[A], A]: ...
def agent(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    deadline: Duration | None = None,
    on_deadline: str = "cancel",
) -> Any:
    """Make an `async def` an agent: a program that is compiled, journaled and resumed.

    Args:
        name: name in listings; the function's own by default.
        deadline: time from the start of a run to its end, unless the run gives its own; called by
            another agent, time from the call, if that is sooner than the caller's own deadline.
        on_deadline: `cancel` what is not done by then, which the caller sees as `DeadlineExceeded`, or
            go on as `best_effort`.

    Raises:
        ConfigError: not an `async def`, or a parameter has the name of a run option.
    """

    def decorate(function: Any) -> Any:
        _check_agent(function)
        return Agent(
            function,
            name=name or function.__name__,
            deadline=optional_seconds(deadline, what=f"@agent on {function.__name__}: deadline"),
            on_deadline=deadline_policy(on_deadline, f"@agent on {function.__name__}: "),
        )

    return decorate if fn is None else decorate(fn)


@overload
def tool(fn: F, /) -> F: ...
@overload
def tool(
    *,
    effect: str | Effect = Effect.WRITE,
    name: str | None = None,
    idempotent: bool = False,
    ttl: Duration | None = None,
    timeout: Duration | None = None,
    retries: int | Retry = 0,
    limit: int | None = None,
) -> Callable[[F], F]: ...
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    effect: str | Effect = Effect.WRITE,
    name: str | None = None,
    idempotent: bool = False,
    ttl: Duration | None = None,
    timeout: Duration | None = None,
    retries: int | Retry = 0,
    limit: int | None = None,
) -> Any:
    """Make a function a tool: a call to the outside world, run once and recorded.

    Args:
        effect: `pure` (depends on its arguments only), `read` (looks at the world) or
            `write` (changes it; the default, since it promises least).
        name: name in listings; the function's own by default.
        idempotent: a repeated call with the same `current().idempotency_key` is harmless.
        ttl: how long other runs may reuse the result of a `read`.
        timeout: time for one attempt.
        retries: further attempts after an exception, or a `Retry(...)`: with pauses, and after which errors.
        limit: how many calls may be under way at once in a process; others wait for their turn.

    Raises:
        ConfigError: not a function, or options that contradict each other.
    """

    def decorate(function: Any) -> Any:
        label = _check_tool(function)
        kind = _effect(effect, label)
        if ttl is not None and kind is not Effect.READ:
            raise ConfigError(
                f'{label}: ttl is for effect="read" only, this one is "{kind}". '
                "Remove ttl, or declare the tool a read."
            )
        policy = retry_policy(retries, label)
        if policy.attempts > 1 and kind is Effect.WRITE and not idempotent:
            raise ConfigError(
                f"{label}: a write tool is retried only if repeating it is harmless. "
                "Add idempotent=True and use current().idempotency_key, or remove retries."
            )
        return Tool(
            function,
            name=name or function.__name__,
            effect=kind,
            idempotent=idempotent,
            ttl=optional_seconds(ttl, what=f"{label}: ttl"),
            timeout=optional_seconds(timeout, what=f"{label}: timeout"),
            retry=policy,
            limit=positive(limit, f"{label}: limit"),
        )

    return decorate if fn is None else decorate(fn)


def deadline_policy(on_deadline: str, where: str = "") -> str:
    """Check what a missed deadline is to do. Raises ConfigError."""
    if on_deadline not in ("cancel", "best_effort"):
        raise ConfigError(f'{where}on_deadline={on_deadline!r}: use "cancel" or "best_effort".')
    return on_deadline


def positive(number: int | None, what: str) -> int | None:
    """Check a number of things at once. Raises ConfigError."""
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
        raise ConfigError(f"{what}={number!r}: a whole number of at least 1 is needed")
    return number


def _check_agent(function: Any) -> None:
    if isinstance(function, Agent):
        raise ConfigError(f"@agent: {function.name} is an agent already; remove the second decorator")
    if isinstance(function, Tool):
        raise ConfigError(f"@agent: {function.name} is a tool; use either @agent or @tool")
    if not inspect.isfunction(function):
        raise ConfigError(
            f"@agent takes an `async def` function, not {_described(function)}. "
            "With options, write @agent(deadline=...) above the function."
        )
    label = f"@agent on {function.__qualname__} ({_place(function)})"
    if inspect.isasyncgenfunction(function):
        raise ConfigError(f"{label}: an agent cannot yield. Return the whole result instead.")
    if not inspect.iscoroutinefunction(function):
        raise ConfigError(f"{label}: an agent is an `async def`. Write `async def {function.__name__}`.")
    for parameter in inspect.signature(function).parameters:
        if parameter in RUN_OPTIONS:
            raise ConfigError(
                f"{label}: the parameter `{parameter}` has the name of an option of vm.run(). "
                f"Rename it, for example to `{parameter}_`. Taken: {', '.join(RUN_OPTIONS)}."
            )


def _check_tool(function: Any) -> str:
    if isinstance(function, Tool):
        raise ConfigError(f"@tool: {function.name} is a tool already; remove the second decorator")
    if isinstance(function, Agent):
        raise ConfigError(f"@tool: {function.name} is an agent; use either @agent or @tool")
    if inspect.isclass(function) or not callable(function) or not hasattr(function, "__code__"):
        raise ConfigError(
            f"@tool takes a function, not {_described(function)}. "
            'With options, write @tool(effect="read") above the function.'
        )
    label = f"@tool on {function.__qualname__} ({_place(function)})"
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError(f"{label}: a tool cannot yield. Return a list instead.")
    return label


def _effect(effect: str | Effect, label: str) -> Effect:
    try:
        return Effect(effect)
    except ValueError:
        known = ", ".join(f'"{each}"' for each in Effect)
        raise ConfigError(f"{label}: unknown effect {effect!r}. Use one of {known}.") from None


def _described(value: object) -> str:
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if isinstance(value, functools.partial):
        return "a functools.partial"
    return f"{value!r:.60}"


def _place(function: Any) -> str:
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _builtin(function: F) -> F:
    """A tool of our own: a quick synchronous read that needs no thread."""
    name = function.__name__
    return cast(F, Tool(function, name=name, effect=Effect.READ, inline=True))


@_builtin
def now() -> float:
    """The time, as Unix seconds; recorded, so that a resumed run sees the same."""
    return time.time()


@_builtin
def random() -> float:
    """A random number in [0, 1); recorded, so that a resumed run sees the same."""
    return _random.random()
