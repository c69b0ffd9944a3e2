"""A region under construction: its nodes, and which version each name has now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from agentvm_compiler.calls import Effect, joined
from agentvm_compiler.ir import LITERALS, Node, Region, base


class Names:
    """Gives out SSA names and sites; one for a whole function."""

    def __init__(self) -> None:
        self._versions: Counter[str] = Counter()
        self._ordinals: Counter[str] = Counter()

    def fresh(self, name: str) -> str:
        """The next version of a name."""
        version = self._versions[name]
        self._versions[name] += 1
        return f"{name}.{version}"

    def site(self, label: str) -> str:
        """The next site with this label: its ordinal does not depend on other labels."""
        self._ordinals[label] += 1
        return f"{label}#{self._ordinals[label]}"


@dataclass(frozen=True, slots=True)
class Exit:
    """That control may leave a block, and how to tell."""

    exit: str
    """SSA name: `$none` where control goes on."""
    value: str
    always: bool = False


class Block:
    """The nodes of a region so far.

    Reading a name that the block does not define captures it from the block
    around; the same SSA name then stands for the region's parameter.
    """

    def __init__(self, names: Names, parent: Block | None = None, *, guarded: bool | None = None) -> None:
        self.names = names
        self.parent = parent
        self.guarded: bool = (parent is not None and parent.guarded) if guarded is None else guarded
        """Whether a `try` around may ask what the names were where the block failed."""
        self.nodes: list[Node] = []
        self.captures: dict[str, None] = {}
        self.written: dict[str, None] = {}
        """Names assigned in this block, in order of the first assignment."""
        self.before: dict[str, str] = {}
        """The names given to or assigned in this block, as they are before the node that is next."""
        self._env: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        """The SSA name a name stands for here; None if it is not bound."""
        if name not in self._env and self.parent is not None:
            found = self.parent.read(name)
            if found is None:
                return None
            if found not in LITERALS:
                self.captures[found] = None
            self._env[name] = found
        return self._env.get(name)

    def is_bound(self, name: str) -> bool:
        """Whether the name may have a value here; unlike `read`, it captures nothing."""
        return name in self._env or (self.parent is not None and self.parent.is_bound(name))

    def capture(self, value: str) -> str:
        """Use an SSA value of the block around."""
        if value not in LITERALS:
            self.captures[value] = None
        return value

    def bind(self, name: str) -> str:
        """A new version of a name that is given to the block, not assigned by it."""
        self._env[name] = self.before[name] = self.names.fresh(name)
        return self._env[name]

    def write(self, name: str) -> str:
        """A new version of a name that the block assigns, by the node that is next."""
        self.written[name] = None
        self._env[name] = self.names.fresh(name)
        return self._env[name]

    @property
    def effect(self) -> Effect:
        """The effect of all its nodes."""
        return joined(node.effect for node in self.nodes)

    def unbind(self, name: str) -> None:
        """From here on the name has no value."""
        self.written[name] = None
        self._env[name] = self.before[name] = "$unbound"

    def add(self, node: Node) -> None:
        """Add a node; what it assigns has been written before."""
        self.nodes.append(node)
        self.before.update((base(each), each) for each in node.results)

    def state(self) -> tuple[object, ...]:
        """What `restore` needs to undo everything from here on."""
        return (
            len(self.nodes),
            dict(self.captures),
            dict(self.written),
            dict(self._env),
            dict(self.before),
        )

    def restore(self, state: tuple[Any, ...]) -> None:
        count, self.captures, self.written, self._env, self.before = state
        del self.nodes[count:]

    def region(self, params: tuple[str, ...], results: tuple[str, ...]) -> Region:
        return Region(params, tuple(self.nodes), results)
