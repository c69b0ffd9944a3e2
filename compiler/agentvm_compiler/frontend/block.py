"""A region under construction: its nodes, and which version each name has now."""

from __future__ import annotations

from typing import Any, NamedTuple

from agentvm_compiler.calls import Effect, joined
from agentvm_compiler.ir import LITERALS, Node, Region, base


class Names:
    """Gives out SSA names and sites; one for a whole function."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._ordinals: dict[str, int] = {}

    def fresh(self, name: str) -> str:
        """The next version of a name."""
        version = self._versions.get(name, 0)
        self._versions[name] = version + 1
        return f"{name}.{version}"

    def site(self, label: str) -> str:
        """The next site with this label: its ordinal does not depend on other labels."""
        ordinal = self._ordinals[label] = self._ordinals.get(label, 0) + 1
        return f"{label}#{ordinal}"


_ABSENT: Any = object()


class Exit(NamedTuple):
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
        self._undo: list[tuple[dict[str, Any], str, Any]] = []
        """What to put back where, to undo all changes of these four, the last one first."""

    def read(self, name: str) -> str | None:
        """The SSA name a name stands for here; None if it is not bound."""
        found = self._env.get(name)
        if found is None and self.parent is not None:
            found = self.parent.read(name)
            if found is None:
                return None
            self.capture(found)
            self._set(self._env, name, found)
        return found

    def is_bound(self, name: str) -> bool:
        """Whether the name may have a value here; unlike `read`, it captures nothing."""
        return name in self._env or (self.parent is not None and self.parent.is_bound(name))

    def capture(self, value: str) -> str:
        """Use an SSA value of the block around."""
        if value not in LITERALS and value not in self.captures:
            self._set(self.captures, value, None)
        return value

    def bind(self, name: str) -> str:
        """A new version of a name that is given to the block, not assigned by it."""
        version = self.names.fresh(name)
        self._set(self._env, name, version)
        self._set(self.before, name, version)
        return version

    def write(self, name: str) -> str:
        """A new version of a name that the block assigns, by the node that is next."""
        if name not in self.written:
            self._set(self.written, name, None)
        version = self.names.fresh(name)
        self._set(self._env, name, version)
        return version

    @property
    def effect(self) -> Effect:
        """The effect of all its nodes."""
        return joined(node.effect for node in self.nodes)

    def unbind(self, name: str) -> None:
        """From here on the name has no value."""
        if name not in self.written:
            self._set(self.written, name, None)
        self._set(self._env, name, "$unbound")
        self._set(self.before, name, "$unbound")

    def add(self, node: Node) -> None:
        """Add a node; what it assigns has been written before."""
        self.nodes.append(node)
        for each in node.results:
            self._set(self.before, base(each), each)

    def _set(self, facts: dict[str, Any], key: str, value: Any) -> None:
        self._undo.append((facts, key, facts.get(key, _ABSENT)))
        facts[key] = value

    def state(self) -> tuple[int, int]:
        """What `restore` needs to undo everything from here on."""
        return len(self.nodes), len(self._undo)

    def restore(self, state: tuple[int, int]) -> None:
        """Undo everything since the state was asked for."""
        count, changes = state
        del self.nodes[count:]
        while len(self._undo) > changes:
            facts, key, value = self._undo.pop()
            if value is _ABSENT:
                del facts[key]
            else:
                facts[key] = value

    def region(self, params: tuple[str, ...], results: tuple[str, ...]) -> Region:
        return Region(params, tuple(self.nodes), results)
