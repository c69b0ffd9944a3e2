"""Durability: how far a run may be ahead of what is recorded of it.

Whatever the mode, what must be durable is waited for: a write tool starts after
its intent, and nothing follows it before its result; a run has ended when its
end is recorded. The mode says how much else may be lost with the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentvm_compiler.errors import ConfigError


class Mode(StrEnum):
    """What is waited for after each call of a model, tool or sub-agent."""

    STRICT = "strict"
    """Its result is durable. Nothing recorded is ever done again."""
    GROUP = "group"
    """Nothing, up to a bound, where nothing more begins. What is not durable is done again, never a write."""
    EXIT = "exit"
    """Nothing; results are written when something must be durable, at the latest the run's end."""


UNACKNOWLEDGED = 64
"""Results that may be ahead of the disk in `group`: a few milliseconds' worth of them."""
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Durability:
    """A mode and its bound."""

    mode: Mode = Mode.GROUP
    unacknowledged: int = UNACKNOWLEDGED
    """Results that may be on their way to the disk in mode `group` when something begins."""


DEFAULT = Durability()


def durability(mode: str | None, unacknowledged: str | int | None = None) -> Durability:
    """From the words of a URL or an option. Raises ConfigError."""
    if mode is not None and mode.lower() not in set(Mode):
        raise ConfigError(f"durability {mode!r}: there is {', '.join(Mode)}")
    bound = str(unacknowledged if unacknowledged is not None else UNACKNOWLEDGED)
    if not bound.isdecimal() or not 1 <= int(bound) <= _MOST:
        raise ConfigError(f"unacknowledged={bound}: a number from 1 to {_MOST}")
    return Durability(Mode(mode.lower()) if mode is not None else Mode.GROUP, int(bound))
