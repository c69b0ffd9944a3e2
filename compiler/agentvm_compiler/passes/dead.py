"""Dead nodes: drop what nobody reads, where leaving it out cannot be told.

A value is *live* if a node that stays, or the result of a region that is live
itself, reads it, or a handler may (`before`). Of nodes whose results are not live
only assignments of expressions that certainly evaluate go. Tools, agents, model
calls and Python that may raise stay: if they fail, nothing after them may be
written. Of regions go the branch results, carried values and captures that nobody
reads. Nodes that run code keep all their results, since a journal knows these by
number.

Verified module in, verified module out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Set

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import CALLS, Kind, Module, Node, Region, base, changed

from .parsed import assigned, call_of, options


def dead(module: Module) -> Module:
    """Drop dead nodes, results, carried values and captures everywhere."""
    programs = []
    for program in module.programs:
        facts = _Facts(program.body)
        body, _ = _Sweep(facts).region(program.body, range(len(program.body.results)))
        programs.append(changed(program, body=changed(body, params=program.body.params)))
    return changed(module, programs=tuple(programs))


_BINDING = (*CALLS, Kind.MAP)
"""Nodes whose results certainly have a value."""


_MAYBE_TEXT = (ast.Constant, ast.Name, ast.JoinedStr)
"""Expressions of which it may be certain that they are text."""


class _Facts:
    """What is certain of values: that they are bound, that they are text."""

    def __init__(self, body: Region) -> None:
        self.bound = {"$none", *body.params}
        self.text: set[str] = set()
        self._region(body)

    def _region(self, region: Region) -> None:
        for node in region.nodes:
            for inner in node.regions:
                if node.kind is Kind.MAP or (node.kind is Kind.LOOP and node.operands[0] != "$none"):
                    self.bound.add(inner.params[0])
                self._region(inner)
            self._node(node)

    def _node(self, node: Node) -> None:
        if node.kind in _BINDING:
            self.bound.update(node.results)
            call = call_of(node) if node.kind is Kind.LLM else None
            named = options(call) if call is not None else None
            if named is not None and "returns" not in named:
                self.text.update(node.results)
        elif node.kind is Kind.BRANCH:
            for result, *given in zip(node.results, *(each.results for each in node.regions), strict=True):
                for known in (self.bound, self.text):
                    if known.issuperset(given):
                        known.add(result)
        elif (found := assigned(node)) is not None:
            self.bound.update(node.results)
            if isinstance(found[1], _MAYBE_TEXT) and self.is_text(found[1], names_of(node)):
                self.text.update(node.results)

    def is_text(self, expression: ast.expr, names: Mapping[str, str]) -> bool:
        """Whether it certainly evaluates, to a `str`."""
        match expression:
            case ast.Constant(str()):
                return True
            case ast.Name(name):
                return names.get(name) in self.text
            case ast.JoinedStr(parts):
                return all(self._formats(each, names) for each in parts)
        return False

    def _formats(self, part: ast.expr, names: Mapping[str, str]) -> bool:
        if isinstance(part, ast.FormattedValue):
            if isinstance(part.value, ast.Constant):
                return part.format_spec is None
            return part.format_spec is None and self.is_text(part.value, names)
        return isinstance(part, ast.Constant)

    def evaluates(self, expression: ast.expr, names: Mapping[str, str]) -> bool:
        """Whether it certainly evaluates, without an exception and without an effect."""
        match expression:
            case ast.Constant():
                return True
            case ast.Name(name):
                return names.get(name) in self.bound
            case ast.List(parts) | ast.Tuple(parts):
                return all(self.evaluates(each, names) for each in parts)
            case ast.Dict(keys, values):
                plain = all(isinstance(each, ast.Constant) for each in keys)
                return plain and all(self.evaluates(each, names) for each in values)
        return self.is_text(expression, names)

    def is_idle(self, node: Node) -> bool:
        """Whether it makes no difference that the node is run, if nobody reads its results."""
        if node.effect is not Effect.PURE:
            return False
        if node.kind is Kind.BRANCH:
            return not any(each.nodes for each in node.regions)
        found = assigned(node)
        return found is not None and "mutates" not in node.attrs and self.evaluates(found[1], names_of(node))


def names_of(node: Node) -> dict[str, str]:
    """What each name in the node's code stands for."""
    return {base(each): each for each in node.operands}


def _seen_by(node: Node, names: Set[str]) -> Node:
    """The node with those of its `before` that are read."""
    attrs = dict(node.attrs)
    before = {name: value for name, value in attrs.pop("before").items() if name in names}
    return changed(node, attrs={**attrs, **({"before": before} if before else {})})


class _Sweep:
    """Goes through regions backwards, since readers come after what they read."""

    def __init__(self, facts: _Facts) -> None:
        self.facts = facts

    def region(
        self, region: Region, wanted: Iterable[int], seen: Set[str] = frozenset()
    ) -> tuple[Region, set[str]]:
        """The region with those of its results, and what it reads from outside.

        Args:
            seen: names that handlers around read, as they are where the region fails.
        """
        results = tuple(region.results[each] for each in wanted)
        live = set(results)
        nodes: list[Node] = []
        gone: set[str] = set()
        for node in reversed(region.nodes):
            kept = self._node(node, live, seen) if node.regions else node
            if live.isdisjoint(kept.results) and self.facts.is_idle(kept):
                gone.add(kept.site)
                continue
            if "before" in kept.attrs:
                kept = _seen_by(kept, seen)
                live.update(kept.attrs.get("before", {}).values())
            nodes.append(kept)
            live.update(kept.operands)
        nodes.reverse()
        if gone:
            nodes = [changed(each, after=tuple(s for s in each.after if s not in gone)) for each in nodes]
        return changed(region, nodes=tuple(nodes), results=results), live.intersection(region.params)

    def _node(self, node: Node, live: set[str], seen: Set[str]) -> Node:
        match node.kind:
            case Kind.BRANCH:
                return self._branch(node, live, seen)
            case Kind.LOOP:
                return self._loop(node, live, seen)
            case Kind.MAP:
                return self._map(node, live)
            case Kind.TRY if not node.attrs.get("final"):  # a `finally` reads all that its body leaves
                return self._try(node, live, seen)
        return node

    def _branch(self, node: Node, live: set[str], seen: Set[str]) -> Node:
        wanted = [number for number, each in enumerate(node.results) if each in live]
        (then, read_then), (other, read_other) = (self.region(each, wanted, seen) for each in node.regions)
        params = node.regions[0].params, node.regions[1].params
        kept = [
            number
            for number in range(len(params[0]))
            if params[0][number] in read_then or params[1][number] in read_other
        ]
        if len(wanted) == len(node.results) and len(kept) == len(params[0]):
            return changed(node, regions=(then, other))
        return changed(
            node,
            operands=(node.operands[0], *(node.operands[1 + number] for number in kept)),
            results=tuple(node.results[each] for each in wanted),
            regions=tuple(
                changed(side, params=tuple(side.params[number] for number in kept)) for side in (then, other)
            ),
        )

    def _loop(self, node: Node, live: set[str], seen: Set[str]) -> Node:
        body = node.regions[0]
        if node.results[1] not in live and body.results[1] != "$none":
            body = changed(body, results=(body.results[0], "$none", *body.results[2:]))
        count = node.attrs["carried"]
        carried = {
            number
            for number, each in enumerate(node.results[2:])
            if each in live or base(each) in seen  # the iterable may fail, too
        }
        while True:
            swept, read = self.region(body, [0, 1, *(2 + number for number in sorted(carried))], seen)
            needed = {number for number in range(count) if body.params[1 + number] in read}
            if needed <= carried:
                break
            carried |= needed
        places = [
            *sorted(carried),
            *(n for n in range(count, len(body.params) - 1) if body.params[1 + n] in read),
        ]
        return changed(
            node,
            operands=(node.operands[0], *(node.operands[1 + number] for number in places)),
            results=(*node.results[:2], *(node.results[2 + number] for number in sorted(carried))),
            regions=(changed(swept, params=(body.params[0], *(body.params[1 + n] for n in places))),),
            attrs={**node.attrs, "carried": len(carried)},
        )

    def _map(self, node: Node, live: set[str]) -> Node:
        each = node.regions[0]
        if live.isdisjoint(node.results):
            each = changed(each, results=("$none",))
        swept, read = self.region(each, [0])
        kept = [number for number in range(1, len(each.params)) if each.params[number] in read]
        return changed(
            node,
            operands=(node.operands[0], *(node.operands[number] for number in kept)),
            regions=(changed(swept, params=(each.params[0], *(each.params[number] for number in kept))),),
        )

    def _try(self, node: Node, live: set[str], seen: Set[str]) -> Node:
        wanted = [number for number, each in enumerate(node.results) if each in live]
        names: list[str] = node.attrs["kept"]
        handlers = [self.region(each, wanted, seen) for each in node.regions[1:]]
        kept = [n for n in range(len(names)) if any(each.params[1 + n] in read for each, read in handlers)]
        body, read_body = self.region(node.regions[0], wanted, seen | {names[n] for n in kept})
        captures = [
            n
            for n in range(len(body.params))
            if body.params[n] in read_body
            or any(each.params[1 + len(names) + n] in read for each, read in handlers)
        ]
        places = [*kept, *(len(names) + n for n in captures)]
        return changed(
            node,
            operands=tuple(node.operands[n] for n in places),
            results=tuple(node.results[n] for n in wanted),
            regions=(
                changed(body, params=tuple(body.params[n] for n in captures)),
                *(
                    changed(each, params=(each.params[0], *(each.params[1 + n] for n in places)))
                    for each, _ in handlers
                ),
            ),
            attrs={**node.attrs, "kept": [names[n] for n in kept]},
        )
