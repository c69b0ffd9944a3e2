"""Who holds a container, as Python counts it: where nobody else does it may be changed where it is.

A root is held by its slot, and each part of it by the one before. Where references are not counted
in this way, somebody else always seems to hold it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from .objects import is_record
from .slots import CHANGEABLE, Slot

Path: TypeAlias = "tuple[tuple[bool, Any], ...]"
"""Steps from a root to a part of it: whether it is an attribute, and which."""


class Held(Exception):
    """Somebody else holds what would be changed, or the result is needed at once: it is done on copies."""


def followed(value: Any, path: Path) -> Any:
    for is_attribute, name in path:
        value = getattr(value, name) if is_attribute else value[name]
    return value


def _references(holder: Slot) -> int:
    return sys.getrefcount(holder.value)


def _references_at(owner: Any, is_attribute: bool, name: Any) -> int:
    return sys.getrefcount(getattr(owner, name)) if is_attribute else sys.getrefcount(owner[name])


class _Sample:
    def __init__(self) -> None:
        self.part: list[int] = []


def _count(references: Callable[[], int], value: Callable[[], Any]) -> int:
    """What is counted of something that is only where it is looked for; -1 if that is not counted."""
    alone, held = references(), value()
    return alone if references() > alone and held is value() else -1


_slot, _sample, _list = Slot([]), _Sample(), [[0]]
_ALONE = _count(lambda: _references(_slot), lambda: _slot.value)
_ALONE_AT = {
    True: _count(lambda: _references_at(_sample, True, "part"), lambda: _sample.part),
    False: _count(lambda: _references_at(_list, False, 0), lambda: _list[0]),
}
"""References to a container that only one slot or one other container holds, as they are counted here."""


def is_alone(holder: Slot) -> bool:
    """Whether nothing but the slot refers to the container."""
    return _references(holder) == _ALONE and not weakref.getweakrefcount(holder.value)


def only_here(holder: Slot, path: Path) -> None:
    """Raises Held if anybody else holds a root, or what is on the way to a part of it."""
    if not is_alone(holder):
        raise Held
    value = holder.value
    for is_attribute, name in path:
        if type(value) not in CHANGEABLE and not is_record(type(value)):
            raise Held
        if _references_at(value, is_attribute, name) != _ALONE_AT[is_attribute]:
            raise Held
        value = getattr(value, name) if is_attribute else value[name]
        if weakref.getweakrefcount(value):
            raise Held
