"""What holds while a program is compiled, and is forgotten then.

Meanwhile no code of the user's runs: what a name stands for and what a file says do not change,
so that what was found out for one function holds for the next. One thread compiles at a time.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_compiling: int | None = None
"""The thread that compiles."""
_held: list[dict[Any, Any]] = []


@contextmanager
def compiling() -> Iterator[None]:
    """A while in which a program is compiled, and those that it calls within it."""
    global _compiling
    if is_compiling():
        yield
        return
    with _lock:
        _compiling = threading.get_ident()
        collecting = gc.isenabled()
        if collecting:
            gc.disable()  # of the many objects that compiling makes hardly any is garbage before its end
        try:
            yield
        finally:
            _compiling = None
            for each in _held:
                each.clear()
            if collecting:
                gc.enable()


def is_compiling() -> bool:
    """Whether a program is being compiled by this thread."""
    return _compiling == threading.get_ident()


def held_while_compiling() -> dict[Any, Any]:
    """A dictionary for what holds while a program is compiled: it is emptied then."""
    made: dict[Any, Any] = {}
    _held.append(made)
    return made
