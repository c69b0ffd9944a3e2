"""Fates: calls of one run that are due at one moment are in time together, or in vain together.

A program's deadline is met by all of its calls or by none (`agentvm_serving.goodput`).
Once one of those under way cannot be in time, serving the others first helps nobody:
their fate is *sealed*, until that one ends or is given more time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from agentvm_compiler.wire import Hints

Fate: TypeAlias = tuple[str, float]
"""Run and deadline."""


@dataclass(slots=True)
class _Shared:
    """What is known of one fate."""

    calls: dict[str, Hints] = field(default_factory=dict)
    """Those under way, by name, with what their callers want of them."""
    lost: dict[str, str] = field(default_factory=dict)
    """Those of them that cannot be in time by themselves, and why."""


class Fates:
    """Which calls share one, and which are sealed. All O(1) but `calls`."""

    def __init__(self) -> None:
        self._of: dict[str, Fate] = {}
        self._known: dict[Fate, _Shared] = {}

    def joined(self, name: str, hints: Hints | None) -> Fate | None:
        """A call is under way, with what its caller wants; the fate that it shares, if any."""
        fate = fate_of(hints)
        if fate is not None and hints is not None:
            self._of[name] = fate
            self._known.setdefault(fate, _Shared()).calls[name] = hints
        return fate

    def lost(self, name: str, why: str) -> Fate | None:
        """A call cannot be in time by itself. The fate that is sealed by that, if it was not before."""
        fate = self._of.get(name)
        if fate is None:
            return None
        lost = self._known[fate].lost
        lost[name] = why
        return fate if len(lost) == 1 else None

    def left(self, name: str) -> Fate | None:
        """A call has ended, or is due at another moment. The fate that is open again with that, if any."""
        fate = self._of.pop(name, None)
        if fate is None:
            return None
        shared = self._known[fate]
        del shared.calls[name]
        opened = shared.lost.pop(name, None) is not None and not shared.lost
        if not shared.calls:
            del self._known[fate]
            return None
        return fate if opened else None

    def why(self, name: str) -> str | None:
        """Why a call is in vain, for its own sake or another's; `None` if it is not."""
        fate = self._of.get(name)
        lost = self._known[fate].lost if fate is not None else {}
        if name in lost:
            return lost[name]
        other = next(iter(lost.values()), None)
        return None if other is None else f"a call that it is joined with cannot: {other}"

    def calls(self, fate: Fate) -> dict[str, Hints]:
        """Those that share a fate, with what their callers want."""
        shared = self._known.get(fate)
        return dict(shared.calls) if shared is not None else {}


def fate_of(hints: Hints | None) -> Fate | None:
    """What a call with these hints shares with others; `None` if it is on its own."""
    if hints is None or not hints.run or hints.slo != "deadline":
        return None
    due = hints.run_deadline if hints.deadline is None else hints.deadline
    return None if due is None else (hints.run, due)
