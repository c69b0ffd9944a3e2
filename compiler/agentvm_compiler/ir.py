"""The intermediate representation: a module of programs, each a region of nodes.

A *region* is a list of nodes in program order in SSA form: every value is
defined once, before it is used, so the graph of a region is acyclic. Regions
are isolated: what they read comes in through `params`, what they give goes out
through `results` (as in MLIR's `scf` dialect, but with explicit captures).

An SSA name is `NAME.VERSION`; the code of a node sees it as `NAME`. Names that
begin with `$` are literals (`LITERALS`).

Everything here is an immutable value with a canonical JSON form and a hash.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from .calls import Effect

FORMAT_VERSION = 1


class Unbound:
    """The value of a name that is not bound on the path taken."""

    def __repr__(self) -> str:
        return "UNBOUND"


UNBOUND = Unbound()

LITERALS: Mapping[str, object] = {
    "$none": None,
    "$unbound": UNBOUND,
    "$return": "return",
    "$break": "break",
    "$continue": "continue",
}
"""Values every region has. The last three are *exits*: why a block was left early."""


class Kind(StrEnum):
    """What a node does."""

    LLM = "llm"
    TOOL = "tool"
    AGENT = "agent"
    PYTHON = "python"
    BRANCH = "branch"
    LOOP = "loop"
    MAP = "map"
    TRY = "try"
    HUMAN = "human"
    TRACED = "traced"


CALLS = frozenset({Kind.LLM, Kind.TOOL, Kind.AGENT, Kind.HUMAN})
"""Kinds whose code is a call expression and whose `callee` attribute names what is called."""

CHOSEN = "agentvm:chosen"
"""The `callee` of an agent node that finds out what it calls when it runs: a tool, an agent or a helper."""

CONTROL_OPERANDS: Mapping[Kind, int] = {Kind.BRANCH: 1, Kind.LOOP: 1, Kind.MAP: 1, Kind.TRY: 0}
"""Leading operands a region node must know before it unfolds; the rest may still be on their way."""


class Span(NamedTuple):
    """Where in the source file: lines from 1, columns from 0."""

    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0


class Node(NamedTuple):
    """One step of a program.

    Region nodes bind `operands` to the `params` of their regions:

    - `branch`: operands `(condition, *captures)`; regions `(then, else)`, each with
      the captures as params and the node's results as results. With attribute
      `on: "exit"` the condition is an exit and `then` is taken when it is `$none`.
    - `loop`: operands `(iterable, *carried, *captures)`; region params `(item, *carried,
      *captures)`, region results `(exit, value, *carried)`; node results `(exit, value,
      *carried)` where exit is `$return` or `$none`. An iterable `$none` loops until an exit.
    - `map`: operands `(items, *captures)`; region params `(item, *captures)`, one region
      result; the node's result is the list of them.
    - `try`: operands `(*fallbacks, *captures)`; regions `(body, *handlers)`, the body's params the
      captures, a handler's `(raised, *kept, *captures)`; `code` is the tuple of the exception
      types handled, attribute `names` what each handler calls the exception. Attribute `kept` names
      what the body assigns: a handler gets it as it was where the body failed (see `before`), or its
      fallback.
      With attribute `final` the second region is a `finally`: its params `(exit, value, *kept,
      *captures)` and the body's results `(exit, value, *kept)` say how the body was left.
    """

    kind: Kind
    site: str
    """Unique within the program and stable under unrelated edits: `LABEL#ORDINAL`."""
    operands: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    code: str = ""
    """Python source: statements (`python`, `traced`) or a call expression (calls)."""
    effect: Effect = Effect.PURE
    attrs: Mapping[str, Any] = MappingProxyType({})
    """JSON values.

    Within the body of a `try`, `before` maps names to their values before this node, as far as
    the node's own region gives or assigns them; other names are what they are around it.
    """
    regions: tuple[Region, ...] = ()
    after: tuple[str, ...] = ()
    """Sites in the same region that must have succeeded before this node's effect starts."""
    code_hash: str = ""
    """Covers all the code the node runs, helpers and tools included."""
    span: Span = Span()

    def walk(self) -> Iterator[Node]:
        """This node and all within it, in program order."""
        return _walked((self,))


class Region(NamedTuple):
    """A block of nodes in program order."""

    params: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    results: tuple[str, ...] = ()

    def walk(self) -> Iterator[Node]:
        return _walked(self.nodes)


def _walked(nodes: tuple[Node, ...]) -> Iterator[Node]:
    pending = [*reversed(nodes)]
    while pending:
        node = pending.pop()
        yield node
        for region in reversed(node.regions):
            pending += reversed(region.nodes)


@dataclass(frozen=True, slots=True)
class Program:
    """One agent."""

    name: str
    """`module:qualname`."""
    params: tuple[str, ...]
    """Names of the agent's parameters, in order."""
    body: Region
    """Params are the agent's, version 0; the one result is what it returns."""
    file: str = ""

    @property
    def hash(self) -> str:
        """Hash of what the program does; source positions do not count."""
        from .serialise import program_json

        return content_hash(program_json(self, positions=False))

    def node(self, site: str) -> Node:
        """The node at a site. Raises KeyError."""
        for node in self.body.walk():
            if node.site == site:
                return node
        raise KeyError(site)


@dataclass(frozen=True, slots=True)
class Module:
    """An agent's program and those of the agents it calls."""

    programs: tuple[Program, ...]

    @property
    def hash(self) -> str:
        from .serialise import program_json

        return content_hash([program_json(each, positions=False) for each in self.programs])

    @property
    def main(self) -> Program:
        """The program the module was compiled for."""
        return self.programs[0]

    def to_json(self) -> str:
        """Canonical JSON."""
        from .serialise import write_module

        return write_module(self)

    @classmethod
    def from_json(cls, text: str) -> Module:
        """The module that `to_json` wrote. Raises CompileError for anything else."""
        from .serialise import read_module

        return read_module(text)

    def to_text(self, *, hashes: bool = True) -> str:
        """The readable form; without code hashes it cannot be parsed to an equal module."""
        from .text import print_module

        return print_module(self, hashes=hashes)

    @classmethod
    def from_text(cls, text: str) -> Module:
        """The module that `to_text` printed, without source positions. Raises CompileError."""
        from .parse import parse_module

        return parse_module(text)


V = TypeVar("V", Node, Region, Program, Module)


def changed(value: V, **fields: Any) -> V:
    """The value with these fields; itself if they are the very ones that it has."""
    for name, each in fields.items():
        if not _are_same(getattr(value, name), each):
            return value._replace(**fields) if isinstance(value, tuple) else replace(value, **fields)
    return value


def substituted(region: Region, made: Mapping[str, Node]) -> Region:
    """The region with these nodes in place of those of the same sites, wherever in it they are."""
    return _with_nodes(region, made) if made else region


def _with_nodes(region: Region, made: Mapping[str, Node]) -> Region:
    nodes = tuple(
        changed(node, regions=tuple(_with_nodes(each, made) for each in node.regions))
        if node.regions
        else made.get(node.site, node)
        for node in region.nodes
    )
    return changed(region, nodes=nodes)


def _are_same(old: Any, new: Any) -> bool:
    """Whether nothing has changed, as far as can be told without going into what is inside."""
    if isinstance(new, tuple):
        return len(old) == len(new) and all(map(operator.is_, old, new))
    return old is new or (isinstance(new, str | dict) and old == new)


def base(name: str) -> str:
    """The name a value has in source code: `notes.2` -> `notes`."""
    return name.rpartition(".")[0] or name


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks."""
    return _ENCODER.encode(value)


def content_hash(value: Any) -> str:
    """Hash of a JSON value, 32 hex digits."""
    return text_hash(canonical(value))


def text_hash(text: str) -> str:
    """Hash of a text, 32 hex digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
