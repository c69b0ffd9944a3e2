"""A region under construction: its nodes, and which version each name has now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentvm_compiler.calls import Effect, joined
from agentvm_compiler.ir import LITERALS, Node, Region


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

    def __init__(self, names: Names, parent: Block | None = None) -> None:
        self.names = names
        self.parent = parent
        self.nodes: list[Node] = []
        self.captures: dict[str, None] = {}
        self.written: dict[str, None] = {}
        """Names assigned in this block, in order of the first assignment."""
        self._assigned: list[tuple[str, str]] = []
        """Names and the versions they were assigned, in order."""
        self._assigned_before: list[int] = []
        """For each node: how many assignments there were when it was added."""
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

    def bound(self) -> set[str]:
        """All names that may have a value here."""
        return {*self._env, *(self.parent.bound() if self.parent is not None else ())}

    def capture(self, value: str) -> str:
        """Use an SSA value of the block around."""
        if value not in LITERALS:
            self.captures[value] = None
        return value

    def bind(self, name: str) -> str:
        """A new version of a name that is given to the block, not assigned by it."""
        value = self.names.fresh(name)
        self._env[name] = value
        return value

    def write(self, name: str) -> str:
        """A new version of a name that the block assigns."""
        self.written[name] = None
        value = self.bind(name)
        self._assigned.append((name, value))
        return value

    @property
    def effect(self) -> Effect:
        """The effect of all its nodes."""
        return joined(node.effect for node in self.nodes)

    def unbind(self, name: str) -> None:
        """From here on the name has no value."""
        self.written[name] = None
        self._env[name] = "$unbound"
        self._assigned.append((name, "$unbound"))

    def add(self, node: Node) -> None:
        """Add a node; what it assigns has been written before."""
        self.nodes.append(node)
        self._assigned_before.append(len(self._assigned))

    def versions(self, names: Iterable[str]) -> list[dict[str, str]]:
        """For each node: those of the names that the block assigned before it, with their versions there."""
        wanted = dict.fromkeys(names)
        found: list[dict[str, str]] = []
        latest: dict[str, str] = {}
        done = 0
        for count in [0, *self._assigned_before[:-1]] if self.nodes else []:
            latest.update(each for each in self._assigned[done:count] if each[0] in wanted)
            done = count
            found.append({name: latest[name] for name in wanted if name in latest})
        return found

    def state(self) -> tuple[object, ...]:
        """What `restore` needs to undo everything from here on."""
        counts = (len(self.nodes), len(self._assigned))
        return (counts, dict(self.captures), dict(self.written), dict(self._env))

    def restore(self, state: tuple[Any, ...]) -> None:
        (nodes, assigned), self.captures, self.written, self._env = state
        del self.nodes[nodes:], self._assigned_before[nodes:], self._assigned[assigned:]

    def region(self, params: tuple[str, ...], results: tuple[str, ...]) -> Region:
        return Region(params, tuple(self.nodes), results)
