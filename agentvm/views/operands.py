"""What a node of a run read: found in the journal, without running any of the program.

The journal has results by path; the program says which node gives which value.
An operand is followed from region to region to the result, the input or the
item of a list that it is. What is made of values that were not recorded is not
known, and said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentvm_compiler.ir import LITERALS, Kind, Module, Node, Program, Region, base
from agentvm_runtime.changes import Names
from agentvm_runtime.records import Digest, Event, EventKind

from .values import COMPUTING

_PART = re.compile(r"(?P<name>[^\[\]/]+)(\[(?P<number>\d+)\])?")
_MOST_ITEMS = 1_000
"""Iterations of a map whose results are gathered."""


class Unknown(Exception):
    """The journal does not tell the value."""


@dataclass(frozen=True)
class Spot:
    """Where in a run a region is executed."""

    program: Program
    prefix: str
    """Path of the agent call that executes the program, with a slash; empty for the run's own."""
    iterations: Mapping[str, int]
    """Which iteration of each loop and map around, by site."""


class Operands:
    """Looks up operands of a run.

    Args:
        results: the run's last results by path, inherited ones included.
        load: gives a recorded value as plain Python; may raise to say that it must be read first.
        inputs: the run's inputs by name.
    """

    def __init__(
        self,
        module: Module,
        names: Names,
        results: Mapping[str, Event],
        load: Callable[[Digest], Any],
        inputs: Mapping[str, Any],
    ) -> None:
        self._programs = {each.name: each for each in module.programs}
        self._main = module.main
        self._names = names
        self._results = results
        self._load = load
        self._inputs = inputs
        self._owners: dict[str, dict[str, tuple[Node | None, Region]]] = {}

    def place(self, path: str) -> tuple[Node, Spot] | None:
        """The node at a path, and where it stands; None for what the program does not list."""
        program, prefix = self._main, ""
        iterations: dict[str, int] = {}
        node: Node | None = None
        done: list[str] = []
        for part in path.split("/"):
            if node is not None and node.kind is Kind.AGENT:
                callee = self._programs.get(str(node.attrs.get("callee", "")))
                if callee is None:
                    return None
                program, prefix, iterations = callee, "/".join(done) + "/", {}
            elif node is not None and node.kind not in (Kind.LOOP, Kind.MAP):
                return None
            found = _PART.fullmatch(part)
            node = None if found is None else self._named(program, found["name"])
            if found is None or node is None:
                return None
            if found["number"] is not None:
                iterations = {**iterations, node.site: int(found["number"])}
            done.append(part)
        return None if node is None else (node, Spot(program, prefix, iterations))

    def value(self, node: Node, operand: str, spot: Spot) -> Any:
        """The value a node read. Raises Unknown."""
        return self._resolve(operand, self._around(node, spot.program), spot)

    def _resolve(self, name: str, place: tuple[Node | None, Region], spot: Spot) -> Any:
        if name in LITERALS:
            return LITERALS[name]
        owner, region = place
        for node in region.nodes:
            if name in node.results:
                return self._result(node, node.results.index(name), spot)
        if name in region.params:
            return self._param(region.params.index(name), owner, region, spot)
        raise Unknown(name)

    def _param(self, number: int, owner: Node | None, region: Region, spot: Spot) -> Any:
        if owner is None:
            name = spot.program.params[number]
            if spot.prefix or name not in self._inputs:
                raise Unknown(name)
            return self._inputs[name]
        outer = self._around(owner, spot.program)
        index = next(n for n, each in enumerate(owner.regions) if each is region)
        if owner.kind in (Kind.MAP, Kind.LOOP):
            at = spot.iterations.get(owner.site)
            if at is None:
                raise Unknown(owner.site)
            if number == 0:
                return self._item(self._resolve(owner.operands[0], outer, spot), at)
            carried = len(owner.results) - 2 if owner.kind is Kind.LOOP else 0
            if number <= carried and at > 0:
                before = replace(spot, iterations={**spot.iterations, owner.site: at - 1})
                return self._resolve(region.results[number + 1], (owner, region), before)
            return self._resolve(owner.operands[number], outer, spot)
        if owner.kind is Kind.BRANCH:
            return self._resolve(owner.operands[number + 1], outer, spot)
        captures = len(owner.regions[0].params)
        from_end = len(region.params) - number
        if index > 0 and from_end > captures:
            raise Unknown(region.params[number])
        return self._resolve(owner.operands[-from_end], outer, spot)

    def _result(self, node: Node, number: int, spot: Spot) -> Any:
        path = self._path(node, spot)
        if not node.regions:
            event = self._results.get(path)
            if event is None or event.kind is not EventKind.DONE or event.value is None:
                raise Unknown(path)
            value = self._load(event.value)
            if event.node not in COMPUTING or not isinstance(value, dict):
                return value
            if number not in value:
                raise Unknown(path)
            return value[number]
        if node.kind is Kind.BRANCH:
            condition = self._resolve(node.operands[0], self._around(node, spot.program), spot)
            taken = condition is None if node.attrs.get("on") == "exit" else bool(condition)
            region = node.regions[0 if taken else 1]
            return self._resolve(region.results[number], (node, region), spot)
        if node.kind is Kind.TRY:
            return self._resolve(node.regions[0].results[number], (node, node.regions[0]), spot)
        times = self._times(path)
        body = (node, node.regions[0])
        if node.kind is Kind.MAP:
            ats = (replace(spot, iterations={**spot.iterations, node.site: at}) for at in range(times))
            return [self._resolve(node.regions[0].results[0], body, each) for each in ats]
        if times == 0:
            raise Unknown(path)
        last = replace(spot, iterations={**spot.iterations, node.site: times - 1})
        return self._resolve(node.regions[0].results[number], body, last)

    def _times(self, path: str) -> int:
        """How many iterations of a loop or map the journal shows."""
        ats = [
            int(found[1])
            for each in self._results
            if each.startswith(f"{path}[") and (found := re.match(r"\[(\d+)\]", each[len(path) :]))
        ]
        times = max(ats, default=-1) + 1
        if times > _MOST_ITEMS:
            raise Unknown(path)
        return times

    def _item(self, items: Any, at: int) -> Any:
        if not isinstance(items, list | tuple | str | range) or at >= len(items):
            raise Unknown("item")
        return items[at]

    def _path(self, node: Node, spot: Spot) -> str:
        """The path of a node, from the iterations it lies in."""
        name = self._names.get(spot.program.name, {}).get(node.site, node.site)
        parts = [name]
        owner, _ = self._around(node, spot.program)
        while owner is not None:
            if owner.kind in (Kind.LOOP, Kind.MAP):
                called = self._names.get(spot.program.name, {}).get(owner.site, owner.site)
                parts.append(f"{called}[{spot.iterations.get(owner.site, 0)}]")
            owner, _ = self._around(owner, spot.program)
        return spot.prefix + "/".join(reversed(parts))

    def _around(self, node: Node, program: Program) -> tuple[Node | None, Region]:
        """The region a node stands in, and the node that has it; None for the program's body."""
        owners = self._owners.get(program.name)
        if owners is None:
            owners = self._owners[program.name] = {}
            _note(program.body, None, owners)
        return owners[node.site]

    def _named(self, program: Program, name: str) -> Node | None:
        names = self._names.get(program.name, {})
        return next((each for each in program.body.walk() if names.get(each.site, each.site) == name), None)


def _note(region: Region, owner: Node | None, into: dict[str, tuple[Node | None, Region]]) -> None:
    for node in region.nodes:
        into[node.site] = (owner, region)
        for each in node.regions:
            _note(each, node, into)


def read_by(node: Node) -> list[str]:
    """The operands of a node that the source has names for."""
    return [each for each in dict.fromkeys(node.operands) if not each.startswith("$") and base(each)]
