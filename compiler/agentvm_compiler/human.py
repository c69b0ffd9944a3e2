"""`ask_human`: the call of a program that a person answers.

To the compiler it is a tool that reads the world: it comes after earlier writes
and later writes come after it. What carries it out is the dispatcher, which
tells it from other tools by `is_human`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .calls import Effect, Tool
from .errors import ConfigError, InputError

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HumanRequest:
    """An `ask_human(...)` call with its arguments checked."""

    question: str
    returns: Any = str
    """The type of the answer."""
    path: str = ""
    """Where in the run the call stands; empty in plain Python."""


def human_request(question: str, *, returns: Any = str) -> HumanRequest:
    """Check the arguments of `ask_human`. Raises InputError, or TypeError as a call would."""
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"ask_human() takes its question as a text, not {question!r:.80}")
    return HumanRequest(question, returns)


if TYPE_CHECKING:

    @overload
    async def ask_human(question: str) -> str: ...
    @overload
    async def ask_human(question: str, *, returns: TypeForm[T]) -> T: ...
    async def ask_human(question: str, *, returns: Any = str) -> Any:
        """Ask a person, and wait for the answer however long it takes.

        The run does what else it can, then it is suspended: nothing of it stays in
        memory. `agentvm answer`, or `vm.answer`, gives the answer from any process.

        Args:
            returns: the type of the answer; what does not fit is refused when it is given.

        Raises:
            ConfigError: called outside a run, or inside a tool.
        """

else:

    async def _ask_human(question, *, returns=str):
        """Ask a person, and wait for the answer however long it takes.

        The run does what else it can, then it is suspended: nothing of it stays in
        memory. `agentvm answer`, or `vm.answer`, gives the answer from any process.

        Args:
            returns: the type of the answer; what does not fit is refused when it is given.

        Raises:
            ConfigError: called outside a run, or inside a tool.
        """
        raise ConfigError(
            "ask_human() was called outside a run. Run the agent with agentvm.run(...) or `agentvm run`, or, "
            "in a test, inside `with agentvm.testing.plain(human=...)`. A tool cannot ask: ask in the agent, "
            "and give the tool the answer."
        )

    _ask_human.__name__ = _ask_human.__qualname__ = "ask_human"
    ask_human = Tool(_ask_human, name="human", effect=Effect.READ)


def is_human(callee: object) -> bool:
    """Whether what is called is `ask_human`."""
    return callee is ask_human
