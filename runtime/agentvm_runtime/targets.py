"""What people call a place in a run: its path, its site, a variable, a tool or an agent.

`draft` is the node that gives a value to that variable, `search` the call of
that tool; where there are several, the journal knows which were reached, and if
that does not decide it, the message lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentvm_compiler.errors import InputError
from agentvm_compiler.ir import CALLS, Kind, Module, Node, Program, Region, base

from .changes import Names, label, place, settable, variables
from .forking import enclosing

_PART = re.compile(r"(?P<name>[^\[\]/]+)(\[(?P<number>\d+)\])?")


@dataclass(frozen=True, slots=True)
class Target:
    """A place in a run."""

    path: str
    node: Node | None = None
    """The node there; None within a traced region, whose calls the program does not list."""
    program: Program | None = None
    results: tuple[int, ...] = (0,)
    """Positions of the results that are meant."""


class Places:
    """The places of a program, by the names its run knows them by."""

    def __init__(self, module: Module, names: Names) -> None:
        self._module = module
        self._programs = {each.name: each for each in module.programs}
        self._names = names

    def at(self, path: str) -> Target | None:
        """The place of a path; None if the program has none such."""
        program, node = self._module.main, None
        parts = path.split("/")
        for position, part in enumerate(parts):
            if node is not None and node.kind is Kind.TRACED:
                return Target(path)
            if node is not None and node.kind is Kind.AGENT:
                callee = self._programs.get(str(node.attrs.get("callee", "")))
                if callee is None:
                    return Target(path)  # an agent that is chosen as the program runs
                program = callee
            elif node is not None and node.kind not in (Kind.LOOP, Kind.MAP):
                return None
            found = _PART.fullmatch(part)
            node = None if found is None else self._node(program, found["name"])
            if node is None or found is None:
                return None
            repeated, numbered = node.kind in (Kind.LOOP, Kind.MAP), found["number"] is not None
            if (numbered and not repeated) or (repeated and not numbered and position < len(parts) - 1):
                return None
        assert node is not None
        return Target(path, node, program, tuple(settable(node)))

    def called(self, text: str, journal: Sequence[str] | None = None) -> list[Target]:
        """The places a name may mean.

        Args:
            journal: the paths recorded, to look among iterations and in called agents.
        """
        exact = self.at(text)
        if exact is not None:
            return [exact]
        main = self._module.main
        found = [
            target
            for node, inner in _walk(main.body)
            if not inner and (target := self._match(main, node, self._name(main, node), text)) is not None
        ]
        for path in journal or ():
            here = self.at(path)
            if here is None or here.node is None or here.program is None:
                continue
            if "/" in path and (target := self._match(here.program, here.node, path, text)) is not None:
                found.append(target)
        return found

    def named_at(self, place: Target, name: str) -> Target | None:
        """What a name means where a node stands: what the node gives, else what it reads."""
        if name == place.path or place.node is None or place.program is None:
            return place if name == place.path else None
        return self._match(place.program, place.node, place.path, name) or self._reaching(place, name)

    def _reaching(self, place: Target, variable: str) -> Target | None:
        """The node that gives a variable the value it has where another node reads it."""
        assert place.node is not None and place.program is not None
        read = [each for each in place.node.operands if base(each) == variable]
        prefix = "/".join(place.path.split("/")[:-1])
        for node, _ in _walk(place.program.body):
            if read and read[0] in node.results:
                name = self._name(place.program, node)
                path = f"{prefix}/{name}" if prefix else name
                return self._match(place.program, node, path, variable)
        return None

    def _match(self, program: Program, node: Node, path: str, text: str) -> Target | None:
        if text in variables(node):
            results = tuple(n for n, each in enumerate(node.results) if base(each) == text)
            return Target(path, node, program, results)
        name = path.rpartition("/")[2]
        if text == name or (node.kind in CALLS - {Kind.LLM} and text == label(name)):
            return Target(path, node, program, tuple(settable(node)))
        return None

    def _name(self, program: Program, node: Node) -> str:
        return self._names.get(program.name, {}).get(node.site, node.site)

    def _node(self, program: Program, name: str) -> Node | None:
        for node in program.body.walk():
            if self._name(program, node) == name:
                return node
        return None

    def require(self, text: str, journal: Sequence[str] | None, run_id: str) -> Target:
        """The one place a name means.

        Raises:
            InputError: none or several.
        """
        found = list({each.path: each for each in self.called(text, journal)}.values())
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(each.path for each in found[:8]) + (", ..." if len(found) > 8 else "")
            raise InputError(
                f"{text!r} is {len(found)} places of run {run_id}: {some}. Give the path of one."
            )
        raise InputError(
            f"Run {run_id} has no place {text!r}. Name a path, a variable, a tool or an agent of it; "
            f"its paths: agentvm show {run_id}"
        )


def line_of(module: Module, names: Names, path: str) -> str:
    """File and line of the node at a path, or of the traced code around it; empty if it is not known."""
    places, parts = Places(module, names), path.split("/")
    for count in range(len(parts), 0, -1):
        found = places.at("/".join(parts[:count]))
        if found is not None and found.node is not None and found.program is not None:
            return place(found.program, found.node) if found.node.span.line else ""
    return ""


def _walk(region: Region, inner: bool = False) -> Iterator[tuple[Node, bool]]:
    """All nodes, and whether each is executed several times in a run of its program."""
    for node in region.nodes:
        yield node, inner
        for each in node.regions:
            yield from _walk(each, inner or node.kind in (Kind.LOOP, Kind.MAP))


def paths_of(journal: Sequence[str]) -> list[str]:
    """The recorded paths and those they lie in, such as the call of an agent under way."""
    return list(dict.fromkeys(each for path in journal for each in (*enclosing(path), path)))
