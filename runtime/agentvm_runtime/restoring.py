"""Changes a callee made to its arguments, applied again when its call is replayed.

Plain Python lets a tool change a list it is given. When a traced region runs
again on resume and the call is taken from the journal, the same change must be
seen, in the very objects the region holds.
"""

from __future__ import annotations

from typing import Any


def restore(old: Any, new: Any) -> Any:
    """Make `old` equal to `new` in place, as deep as the two agree in type.

    Returns:
        `old`, or `new` where `old` cannot be changed in place.
    """
    if type(old) is not type(new):
        return new
    if isinstance(old, list):
        old[:] = [restore(a, b) for a, b in zip(old, new, strict=False)] + new[len(old) :]
    elif isinstance(old, dict):
        parts = {key: restore(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(parts)
    elif isinstance(old, set):
        old.clear()
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif isinstance(old, tuple) and len(old) == len(new):
        for a, b in zip(old, new, strict=True):
            restore(a, b)
    elif hasattr(old, "__dict__") and not isinstance(old, type):
        restore(vars(old), vars(new))
    else:
        return new
    return old
