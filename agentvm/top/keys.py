"""Keys, as names: letters as they are, others as `up`, `down`, `enter`, `escape`, ..."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

NAMED: Final = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1bOH": "home",
    "\x1b[F": "end",
    "\x1b[4~": "end",
    "\x1bOF": "end",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x1b": "escape",
    "\x03": "interrupt",
}
_LONGEST: Final = max(map(len, NAMED))


def named(text: str) -> Iterator[str]:
    """The keys that a terminal sent at once."""
    at = 0
    while at < len(text):
        for length in range(min(_LONGEST, len(text) - at), 0, -1):
            name = NAMED.get(text[at : at + length])
            if name is not None:
                yield name
                break
        else:
            length = 1
            if text[at].isprintable():
                yield text[at]
        at += length


def readable_terminal() -> bool:
    """Whether keys can be read here, and something be drawn."""
    try:
        import termios  # noqa: F401 - not on Windows
    except ImportError:
        return False
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def unbuffered(fd: int) -> Iterator[None]:
    """Keys come at once and are not echoed, while inside."""
    import termios
    import tty

    before: Any = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
