"""Doing known code: each of its operations, in place or on copies.

A *root* stands for an operand's container; what changes it or a part of it is noted, so that it
can be taken back. Nothing is changed that anybody else holds: that is what Python counts.
"""

from __future__ import annotations

import heapq
import types
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import looking, objects
from .certain import ATOMS, DICTS, FACTORIES, SETS, Unfit, few, key, plain
from .heaps import heap_pop, heap_push
from .holding import Held, Path, followed, only_here
from .slots import CHANGEABLE, Slot, Undo
from .undoing import ALL_CHANGES, Done
from .values import shallow_copy

MOST = 256
"""Items that code goes through one by one."""


class Root:
    """Stands for an operand's container where known code runs."""

    __slots__ = ("holder", "undone")

    def __init__(self, holder: Slot) -> None:
        self.holder = holder
        self.undone: list[tuple[Path, Undo]] = []


@dataclass(slots=True)
class Part:
    """A part of a root, as it is until something is changed."""

    root: Root
    path: Path
    changes: int


@dataclass(slots=True)
class Grown:
    """A root's text or list with something at its end, that nobody has looked at yet."""

    root: Root
    added: list[Any]
    changes: int


_HEAPS: dict[Any, Callable[..., Done]] = {heapq.heappush: heap_push, heapq.heappop: heap_pop}
_OUTSIDE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)


class Doing:
    """One execution of known code. Its methods are what the code's operations became."""

    compare = staticmethod(looking.compare)
    operate = staticmethod(looking.operate)
    truth = staticmethod(looking.truth)
    plain = staticmethod(plain)
    part = staticmethod(looking.part)
    key = staticmethod(key)

    def __init__(self, *, free: bool) -> None:
        self.free = free
        """Whether all there is are copies, which may be changed by whatever name."""
        self.changes = 0
        self.roots: list[Root] = []

    # -- what is where -----------------------------------------------------------------

    def value(self, place: Any) -> Any:
        cls = type(place)
        if cls is Root:
            return place.holder.value
        if cls is Part:
            if place.changes != self.changes:
                raise Held  # it may be elsewhere now
            return followed(place.root.holder.value, place.path)
        if cls is Grown:
            raise Held
        return place

    def outside(self, value: Any) -> Any:
        """What a global name or one of a function around has: nothing that the code could change."""
        if type(value) in ATOMS or isinstance(value, _OUTSIDE):
            return value
        raise Unfit

    def at_item(self, owner: Any, place: Any) -> Any:
        self._made_by_default(owner, place)
        found = looking.item(self.value(owner), place)
        return self._at(owner, (False, place), found)

    def _made_by_default(self, owner: Any, place: Any) -> None:
        """An item that a defaultdict makes when it is looked for."""
        if type(self.value(owner)) is defaultdict and key(place) not in self.value(owner):
            factory = self.value(owner).default_factory
            if factory is None or factory not in FACTORIES:
                raise Unfit
            self._change(owner, ALL_CHANGES[defaultdict]["[]="], place, factory())

    def at_attribute(self, owner: Any, name: str) -> Any:
        value = self.value(owner)
        found = objects.attribute(value, name)
        if type(value) is types.ModuleType:
            return self.outside(found)
        return self._at(owner, (True, name), found)

    def at_default(self, owner: Any, place: Any, default: Any) -> Any:
        """What `setdefault` gives."""
        if type(self.value(owner)) not in DICTS or type(self.value(owner)) is Counter:
            raise Unfit
        self._change(owner, ALL_CHANGES[dict]["setdefault"], place, default)
        return self._at(owner, (False, place), self.value(owner)[place])

    def _at(self, owner: Any, step: tuple[bool, Any], found: Any) -> Any:
        if type(owner) is Root:
            return Part(owner, (step,), self.changes)
        if type(owner) is Part:
            return Part(owner.root, (*owner.path, step), self.changes)
        return found

    # -- changes -----------------------------------------------------------------------

    def _change(self, place: Any, change: Callable[..., Done], *given: Any, **named: Any) -> Any:
        root = place if type(place) is Root else place.root if type(place) is Part else None
        if root is None:
            if not self.free or type(place) is Grown:
                raise Held
            return change(place, *given, **named)[0]
        path = () if place is root else place.path
        only_here(root.holder, path)
        result, undo = change(self.value(place), *given, **named)
        if undo is not None:
            self.changes += 1
            root.undone.append((path, undo))
            self.roots.append(root)
            if place is not root:
                place.changes = self.changes  # it is still where it was
        return result

    def put(self, value: Any, place: Any, at: Any) -> None:
        self._change(place, self._changing(place, "[]="), at, value)

    def delete(self, place: Any, at: Any) -> None:
        self._change(place, self._changing(place, "del"), at)

    def put_attribute(self, value: Any, place: Any, name: str) -> None:
        self._change(place, objects.set_attribute, name, value)

    def _changing(self, place: Any, name: str) -> Callable[..., Done]:
        change = ALL_CHANGES.get(type(self.value(place)), {}).get(name)
        if change is None:
            raise Unfit
        return change

    def augmented(self, operator: str, place: Any, value: Any) -> Any:
        """What a variable is after `place += value` and the like."""
        if operator == "Add" and (type(place) is Grown or self._may_grow(place, str)):
            return self.sum(place, value)
        cls = type(self.value(place))
        if cls not in CHANGEABLE:
            return looking.operate(operator, self.value(place), value)
        if operator == "Add" and cls in (list, deque):
            self.method(place, "extend", value)
        elif operator == "BitOr" and (cls is dict or (cls is set and type(value) in SETS)):
            self.method(place, "update", value)
        else:
            raise Unfit
        return place

    def item_there(self, place: Any, at: Any) -> tuple[Any, Any, Any]:
        """A container, a place in it and what is there now."""
        return place, at, self.at_item(place, at)

    def attribute_there(self, place: Any, name: str) -> tuple[Any, str, Any]:
        return place, name, self.at_attribute(place, name)

    def augment_item(self, operator: str, there: tuple[Any, Any, Any], value: Any) -> None:
        place, at, item = there
        if type(self.value(item)) in CHANGEABLE:
            self._changing(place, "[]=")  # it is put there again, which a tuple refuses
            self.augmented(operator, item, value)
        else:
            self.put(looking.operate(operator, self.value(item), value), place, at)

    def augment_attribute(self, operator: str, there: tuple[Any, str, Any], value: Any) -> None:
        place, name, found = there
        if type(self.value(found)) in CHANGEABLE:
            objects.kept_again(self.value(place), name)
            self.augmented(operator, found, value)
        else:
            self.put_attribute(looking.operate(operator, self.value(found), value), place, name)

    def sum(self, left: Any, right: Any) -> Any:
        """`left + right`, of which a variable is made."""
        if type(left) is Grown:
            if left.changes != self.changes or type(right) is not type(left.root.holder.value):
                raise Held
            return Grown(left.root, [*left.added, right], self.changes)
        if type(right) in (str, list) and self._may_grow(left, type(right)):
            return Grown(left, [right], self.changes)
        return looking.operate("Add", self.value(left), right)

    def _may_grow(self, place: Any, cls: type) -> bool:
        return type(place) is Root and type(place.holder.value) is cls

    # -- calls -------------------------------------------------------------------------

    def called(self, owner: Any, name: str, first: Any, *rest: Any) -> Any:
        """`owner.name(first, *rest)`, be it a method or something in a module."""
        if type(owner) is types.ModuleType:
            return self.function(objects.attribute(owner, name), first, *rest)
        return self.method(owner, name, self.value(first), *rest)

    def method(self, place: Any, name: str, *given: Any, **named: Any) -> Any:
        change = ALL_CHANGES.get(type(self.value(place)), {}).get(name)
        if change is not None:
            return self._change(place, change, *given, **named)
        return looking.method(self.value(place), name, given, named)

    def function(self, called: Any, *given: Any, **named: Any) -> Any:
        if type(called) is types.BuiltinFunctionType and called in _HEAPS and given:
            if type(self.value(given[0])) is not list:
                raise Unfit
            return self._change(given[0], _HEAPS[called], *given[1:], **named)
        return looking.function(called, [*map(self.value, given[:1]), *given[1:]], named)

    # -- the rest ----------------------------------------------------------------------

    def iterate(self, items: Any) -> Any:
        return few(items, MOST)

    def taken_apart(self, value: Any) -> Any:
        if type(value) not in (list, tuple):
            raise Unfit
        return value

    def joined(self, *pieces: str) -> str:
        return "".join(pieces)

    def unknown(self) -> None:
        raise Unfit

    def take_back(self) -> None:
        """Undo all that was changed in place."""
        while self.roots:
            root = self.roots.pop()
            path, undo = root.undone.pop()
            undo(followed(root.holder.value, path))


def taken_back(undone: Sequence[tuple[Path, Undo]], value: Any) -> Any:
    """The older version of a container, made of a shallow copy of a newer one, whose parts are copied."""
    own: dict[int, Any] = {}
    for path, undo in reversed(undone):
        part = value
        for is_attribute, name in path:
            inner = getattr(part, name) if is_attribute else part[name]
            if id(inner) not in own:
                inner = shallow_copy(inner)
                own[id(inner)] = inner
                object.__setattr__(part, name, inner) if is_attribute else part.__setitem__(name, inner)
            part = inner
        undo(part)
    return value
