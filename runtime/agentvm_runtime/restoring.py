"""What a call did to the objects it was given, done again when it is replayed.

Plain Python lets a callee change a list it is given, and return part of it. When
a traced region runs again on resume and the call is taken from the journal, the
region must see the same: the change in the very objects it holds, and a result
that is made of them. So the journal keeps arguments and result together as the
callee left them, and which of their objects were there before: those are found
again by their position among the objects the arguments reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .values import copy_value, decode, encode, key_digest
from .values.kinds import kind_of

MUTABLE_ATOMS = (set, bytearray)
"""Changed as a whole; what is in a set has no position."""


@dataclass(frozen=True, slots=True)
class Before:
    """The arguments of a call before it."""

    arguments: Any
    digest: str
    objects: Sequence[Any]
    """Those that can change, by position."""


def before(arguments: Any) -> Before:
    """Look at the arguments before a call; `change` then tells what it did to them."""
    return Before(arguments, key_digest(arguments), objects(arguments))


def change(seen: Before, result: Any) -> tuple[bytes, list[int]] | None:
    """What the call did, as `redo` takes it: values, and for each object in them its position before, or -1.

    None if it changed nothing and its result has no object of the arguments in it.
    """
    known = {id(each): number for number, each in enumerate(seen.objects)}
    if key_digest(seen.arguments) == seen.digest and not any(id(each) in known for each in objects(result)):
        return None
    both = (seen.arguments, result)
    positions = [known.get(id(each), -1) for each in objects(both)]
    return encode(both, name="the arguments as the call left them"), positions


def redo(arguments: Any, data: bytes, positions: Sequence[int]) -> Any:
    """Do to the arguments what the call did. Returns its result, made of their objects where it was."""
    live = objects(arguments)
    left = decode(data)
    found = objects(left)
    # The objects of the journal's copy, and those that are to become like them.
    instead = {id(new): live[at] for new, at in zip(found, positions, strict=True) if at >= 0}
    # All are read before any is changed, since one may be part of another.
    contents = [(instead.get(id(each), each), *_content(each)) for each in found]
    for each, items, attributes in contents:
        held = {name: _replaced(value, instead) for name, value in attributes.items()}
        _fill(each, _replaced(items, instead), held)
    return _replaced(left, instead)[1]


def held_by(error: BaseException) -> tuple[Any, dict[str, Any]]:
    """What an exception refers to: it is to a call that fails what its result is to another."""
    return error.args, dict(vars(error))


def hold(error: BaseException, held: tuple[Any, dict[str, Any]]) -> None:
    """Make an exception refer to this, as `held_by` gives it."""
    error.args, attributes = held
    vars(error).update(attributes)


def objects(value: Any) -> list[Any]:
    """The objects in a value that can be changed in place, each once; a copy of it has them in this order."""
    found: list[Any] = []
    seen: set[int] = set()
    # What is made for the walk must live as long as its identity counts.
    pending: list[Any] = [value]
    kept: list[Any] = []
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, type):
            continue
        if isinstance(each, tuple):
            seen.add(id(each))
            pending.extend(reversed(each))
        elif isinstance(each, MUTABLE_ATOMS) or _has_parts(each):
            seen.add(id(each))
            found.append(each)
            parts = list(_parts(each))
            kept.append(parts)
            pending.extend(reversed(parts))
    return found


def _has_parts(value: Any) -> bool:
    return isinstance(value, list | dict) or _attributes(value) is not None


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from (part for item in value.items() for part in item)
    yield from (_attributes(value) or {}).values()


def _attributes(value: Any) -> dict[str, Any] | None:
    """What an instance of a user's class holds, by name; None for anything else."""
    cls = type(value)
    kind = None if cls.__module__ == "builtins" else kind_of(cls)
    if kind is None or kind.atomic:
        return None
    slots = [name for each in cls.__mro__ for name in _listed(vars(each).get("__slots__", ()))]
    held = {name: getattr(value, name) for name in slots if name != "__dict__" and hasattr(value, name)}
    # Not in the order in which they were set, which a copy need not have.
    return dict(sorted({**getattr(value, "__dict__", {}), **held}.items()))


def _listed(slots: Any) -> Sequence[str]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _content(value: Any) -> tuple[Any, dict[str, Any]]:
    """What an object holds: its items, and its attributes."""
    items: Any = None
    if isinstance(value, list):
        items = tuple(value)
    elif isinstance(value, dict):
        items = tuple(value.items())
    elif isinstance(value, MUTABLE_ATOMS):
        items = copy_value(value)
    return items, _attributes(value) or {}


def _fill(value: Any, items: Any, attributes: dict[str, Any]) -> None:
    """Make an object hold what another did."""
    if isinstance(value, list | bytearray):
        value[:] = items
    elif isinstance(value, dict | set):
        value.clear()
        value.update(items)
    for name, held in attributes.items():
        object.__setattr__(value, name, held)  # its class may refuse assignments
    for name in set(getattr(value, "__dict__", ())) - set(attributes):
        object.__delattr__(value, name)


def _replaced(value: Any, instead: dict[int, Any]) -> Any:
    """The value with the live objects in the place of their copies."""
    if id(value) in instead:
        return instead[id(value)]
    if isinstance(value, tuple):
        parts = [_replaced(each, instead) for each in value]
        if any(new is not old for new, old in zip(parts, value, strict=True)):
            return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return value
