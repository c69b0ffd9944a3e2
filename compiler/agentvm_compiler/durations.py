"""Durations as users write them: seconds, or text like "30s", "5m", "1h30m", "7d", "250ms".

Inside AgentVM a duration is always a float of seconds; text exists only at the
edges (decorators, `vm.run(deadline=...)`, the command line).
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TypeAlias

from .errors import ConfigError

Duration: TypeAlias = float | int | str | timedelta
"""Seconds, text with units, or a `timedelta`."""

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_NUMBER = r"\d+(?:\.\d+)?|\.\d+"
_PART = re.compile(rf"({_NUMBER})\s*(ms|s|m|h|d|w)\s*")
_WHOLE = re.compile(rf"(?:(?:{_NUMBER})\s*(?:ms|s|m|h|d|w)\s*)+")
_BARE = re.compile(rf"(?:{_NUMBER})")


def seconds(value: Duration, *, what: str = "duration") -> float:
    """The duration in seconds.

    Args:
        what: name of the option, for the message.

    Raises:
        ConfigError: not a duration, or not greater than zero.
    """
    amount = _amount(value, what)
    if not math.isfinite(amount) or amount <= 0:
        raise ConfigError(f"{what}={value!r}: a duration must be finite and greater than zero")
    return amount


def optional_seconds(value: Duration | None, *, what: str = "duration") -> float | None:
    """The same, with `None` for none."""
    return None if value is None else seconds(value, what=what)


def _amount(value: Duration, what: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if _BARE.fullmatch(text):
            return float(text)
        if _WHOLE.fullmatch(text):
            return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    raise ConfigError(
        f"{what}={value!r} is not a duration. "
        'Give seconds as a number, or text with a unit: "250ms", "30s", "5m", "1h30m", "7d".'
    )


def readable(amount: float) -> str:
    """A duration for people: `250ms`, `3.2s`, `5m 07s`, `2h 05m`, `3d 04h`."""
    if amount < 0:
        return "-" + readable(-amount)
    if round(amount, 3) < 1:
        return f"{amount * 1000:.0f}ms"
    if round(amount, 1) < 60:
        return f"{amount:.1f}s"
    whole = round(amount)
    for big, small, names in ((86400, 3600, "dh"), (3600, 60, "hm"), (60, 1, "ms")):
        if whole >= big:
            return f"{whole // big}{names[0]} {whole % big // small:02d}{names[1]}"
    return f"{amount:.1f}s"
