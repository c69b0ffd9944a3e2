"""What an agent program can call: tools, other agents, the model.

These objects are what the compiler recognises in source code, and what plain
Python calls when the same function runs undecorated, in a traced region or
under a test double. A call outside compiled code asks the *dispatcher* of the
current context; without one, tools and agents are ordinary functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from .errors import ConfigError, InputError
from .retry import ONCE, Retry, retry_policy
from .wire import Message, Sampling

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


class Effect(StrEnum):
    """What a call may do to the world; decides order and sharing (design, section 3)."""

    PURE = "pure"
    READ = "read"
    WRITE = "write"

    @property
    def rank(self) -> int:
        """Position in the order pure < read < write."""
        return _RANKS[self]


_RANKS = {Effect.PURE: 0, Effect.READ: 1, Effect.WRITE: 2}


def joined(effects: Iterable[Effect]) -> Effect:
    """The effect of doing all of them."""
    most = Effect.PURE
    for each in effects:
        if each is Effect.WRITE:
            return each
        if each is Effect.READ:
            most = each
    return most


@dataclass(frozen=True)
class LlmRequest:
    """An `llm(...)` call with its arguments evaluated and checked."""

    messages: tuple[Message, ...]
    prompt: str = ""
    returns: Any = str
    model: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    share: bool = False
    """Whether other runs may reuse a sampled answer."""
    timeout: float | None = None
    """Seconds."""
    retry: Retry = ONCE
    slo: str | None = None
    """`latency`, `deadline` or `best_effort`; `None` follows the run."""


class Dispatcher(Protocol):
    """Carries out calls made by ordinary Python code within a run."""

    async def llm(self, request: LlmRequest) -> Any: ...

    async def tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...

    def sync_tool(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...

    async def agent(self, agent: Agent, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


dispatcher: ContextVar[Dispatcher | None] = ContextVar("agentvm_dispatcher", default=None)


class _Callable:
    """A user's function with its name, signature and source module kept."""

    fn: Callable[..., Any]
    name: str

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature, annotations evaluated where they can be."""
        try:
            return inspect.signature(self.fn, eval_str=True)
        except Exception:
            return inspect.signature(self.fn)

    @property
    def ref(self) -> str:
        """`module:qualname`, by which the object is found again."""
        return f"{self.fn.__module__}:{self.fn.__qualname__}"


@dataclass(eq=False)
class Tool(_Callable):
    """A function the outside world sees: its effect decides order and sharing."""

    fn: Callable[..., Any]
    name: str
    effect: Effect = Effect.WRITE
    idempotent: bool = False
    """Whether a repeated call with the same idempotency key is harmless."""
    ttl: float | None = None
    """Seconds for which other runs may reuse a `read`."""
    timeout: float | None = None
    """Seconds."""
    retry: Retry = ONCE
    """More than one attempt for `pure`, `read` and idempotent tools only."""
    limit: int | None = None
    """How many calls may be under way at once in a process."""
    inline: bool = False
    """Run a synchronous function in the event loop, not in a thread."""

    def __post_init__(self) -> None:
        update_wrapper(self, self.fn)

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        active = dispatcher.get()
        if active is None:
            return self.fn(*args, **kwargs)
        if self.is_async:
            return active.tool(self, args, kwargs)
        return active.sync_tool(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name} ({self.effect})>"


@dataclass(eq=False)
class Agent(_Callable):
    """An `async def` that the compiler turns into a program."""

    fn: Callable[..., Awaitable[Any]]
    name: str
    deadline: float | None = None
    """Seconds from the start of a run, or from the call by another agent."""
    on_deadline: str = "cancel"
    """What missing it does: `cancel` or `best_effort`."""

    def __post_init__(self) -> None:
        update_wrapper(self, self.fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        active = dispatcher.get()
        if active is None:
            return self.fn(*args, **kwargs)
        return active.agent(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<agent {self.ref}>"


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a tool can learn about the call it serves."""

    run_id: str = ""
    path: str = ""
    idempotency_key: str = ""
    """The same for every attempt at this call, and for no other."""
    deadline: float | None = None
    """Unix seconds by which the run should be done."""


_context: ContextVar[CallContext] = ContextVar("agentvm_context", default=CallContext())  # noqa: B039


def current() -> CallContext:
    """The call being served; empty outside a run."""
    return _context.get()


class serving:
    """Within it, `current()` is this context and calls go to this dispatcher.

    A class, since `contextlib.contextmanager` assigns to exceptions that pass
    through it, which an exception of the user's may refuse.
    """

    __slots__ = ("_active", "_given", "_tokens")

    def __init__(self, active: Dispatcher, context: CallContext | None = None) -> None:
        self._active = active
        self._given = context

    def __enter__(self) -> None:
        context = None if self._given is None else _context.set(self._given)
        self._tokens = (context, dispatcher.set(self._active))

    def __exit__(self, *raised: object) -> None:
        context, active = self._tokens
        dispatcher.reset(active)
        if context is not None:
            _context.reset(context)


def llm_request(
    prompt: str | None = None,
    *,
    messages: Sequence[Mapping[str, str] | Message] | None = None,
    system: str | None = None,
    returns: Any = str,
    model: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    share: bool = False,
    timeout: float | None = None,
    retries: int | Retry = 0,
    slo: str | None = None,
) -> LlmRequest:
    """Check the arguments of `llm` and put them in one form.

    Raises:
        InputError: neither or both of prompt and messages, or a malformed message.
    """
    if (prompt is None) == (messages is None):
        raise InputError("llm() takes either a prompt or messages=[...], and not both")
    turns: list[Message] = [Message("system", system)] if system is not None else []
    if messages is not None:
        turns += [_message(number, each) for number, each in enumerate(messages)]
    elif isinstance(prompt, str):
        turns.append(Message("user", prompt))
    else:
        raise InputError(f"llm() takes its prompt as a str, not {type(prompt).__name__}")
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"llm(max_tokens={max_tokens}): at least one token must be allowed")
    if slo not in (None, "latency", "deadline", "best_effort"):
        raise InputError(f"llm(slo={slo!r}): use 'latency', 'deadline' or 'best_effort'")
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    return LlmRequest(
        messages=tuple(turns),
        prompt=prompt or "",
        returns=returns,
        model=model,
        sampling=Sampling(temperature, top_p, max_tokens, seed, stops),
        share=share,
        timeout=timeout,
        retry=retry_policy(retries, "llm()"),
        slo=slo,
    )


def _message(number: int, each: Mapping[str, str] | Message) -> Message:
    if isinstance(each, Message):
        return each
    try:
        return Message(each["role"], each["content"])
    except (KeyError, TypeError):
        raise InputError(
            f"llm(messages=...): message {number} must be a mapping with 'role' and 'content', "
            f"got {each!r:.80}"
        ) from None


@overload
async def llm(
    prompt: str | None = None,
    *,
    messages: Sequence[Mapping[str, str] | Message] | None = None,
    system: str | None = None,
    model: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    share: bool = False,
    timeout: float | None = None,
    retries: int | Retry = 0,
    slo: str | None = None,
) -> str: ...
@overload
async def llm(
    prompt: str | None = None,
    *,
    returns: TypeForm[T],
    messages: Sequence[Mapping[str, str] | Message] | None = None,
    system: str | None = None,
    model: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    share: bool = False,
    timeout: float | None = None,
    retries: int | Retry = 0,
    slo: str | None = None,
) -> T: ...
async def llm(prompt: str | None = None, **options: Any) -> Any:
    """Ask the model.

    Args:
        prompt: the user's turn; or give `messages`, a list of `{"role", "content"}`.
        system: a system turn put first.
        returns: the type of the answer. `str` is free text; for a pydantic model,
            dataclass, enum, list, int, float or bool the engine's output is guided
            by its JSON Schema, validated, and repaired once if invalid.
        temperature, top_p, max_tokens, seed, stop: sampling. The call samples
            unless `temperature=0` or `seed` is given.
        share: let other runs reuse a sampled answer.
        timeout: seconds for one attempt at this call.
        retries: further attempts after a transient failure or a timeout, or a `Retry(...)`.
        slo: `latency`, `deadline` or `best_effort`; by default the run's.

    Raises:
        ConfigError: called outside a run.
        BackendError: the model could not be reached or refused the call.
    """
    request = llm_request(prompt, **options)
    active = dispatcher.get()
    if active is None:
        raise ConfigError(
            "llm() was called outside a run. Run the agent with agentvm.run(...) or `agentvm run`, "
            "or, in a test, inside `with agentvm.testing.plain(llm=...)`."
        )
    return await active.llm(request)
