"""What calling a function may do, found by analysing its source."""

from __future__ import annotations

import ast
import functools
import itertools
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from agentvm_compiler.calls import Agent, Effect, Tool, joined

from .meanwhile import compiling, held_while_compiling
from .records import is_constant
from .scope import Scope, scope_of
from .source import Source, is_users, source_of
from .tree import Tree

if TYPE_CHECKING:
    from .alias import Analysis


@dataclass(frozen=True, slots=True)
class Summary:
    """What calling a function may do."""

    effect: Effect = Effect.PURE
    mutates: frozenset[str] = frozenset()
    """Parameters it may change, or change something inside of; `*` is all."""
    keeps: frozenset[str] = frozenset()
    """Parameters that may be kept where module globals reach them."""
    returns: frozenset[str] = frozenset()
    """Parameters that the result may share something with."""
    raises: frozenset[str] = frozenset()
    """Parameters that what it raises may share something with."""
    joined: frozenset[frozenset[str]] = frozenset()
    """Pairs of parameters that may share something afterwards."""
    returns_outside: bool = False
    """Whether the result may share something with module globals."""
    iterator: bool = False
    """Whether the result may be used up by reading it."""
    calls: bool = False
    """Whether it calls tools, agents or the model."""

    def joins(self, names: frozenset[str], others: frozenset[str]) -> bool:
        """Whether arguments for these parameters may share something afterwards."""
        return self.mutates == ALL or any(len(pair - names - others) == 0 for pair in self.joined)


ALL = frozenset({"*"})
WORST = Summary(Effect.WRITE, ALL, ALL, ALL, ALL, returns_outside=True, iterator=True)
"""Of a function of which nothing is known."""

_callees: WeakKeyDictionary[Tool | Agent, Summary] = WeakKeyDictionary()
_under_way: set[types.FunctionType] = set()
_cuts: list[types.FunctionType] = []
"""Functions that were asked for while they were under way."""
_assumed: dict[types.FunctionType, Summary] = {}
"""What is taken to be true of functions under way, for want of better: what was found out so far."""
_analyses: dict[Agent, Analysis] = held_while_compiling()
"""Of agents that were summarised, and are yet to be compiled."""


@functools.lru_cache(maxsize=4096)
def summarise(fn: types.FunctionType) -> Summary:
    """What calling a function may do; the worst where its source is not the user's or not to be had."""
    source = source_of(fn)
    if source is None or not is_users(fn) or isinstance(source.tree, ast.AsyncFunctionDef):
        return WORST
    analysis = _analysed(source)
    if analysis is None:  # recursion
        return WORST
    generator = bool(source.index.every(ast.Yield, ast.YieldFrom))
    found = _sharing(analysis)
    effect = analysis.marks.effect_of(source.tree)
    if generator and (effect is not Effect.PURE or found.mutates):
        return WORST  # it happens when the generator is read
    iterator = generator or analysis.returned.root.iterator
    return _with_defaults(replace(found, effect=effect, iterator=iterator, calls=analysis.calls), fn)


def _with_defaults(found: Summary, fn: types.FunctionType) -> Summary:
    """What it may do if it is called without arguments that it has defaults for: all calls share these."""
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    defaults = dict(zip(reversed(names), reversed(fn.__defaults__ or ()), strict=False))
    defaults.update(fn.__kwdefaults__ or {})
    shared = frozenset(name for name, value in defaults.items() if not is_constant(value))
    gives = not shared.isdisjoint(found.returns | found.raises)
    changes = not shared.isdisjoint(found.mutates)
    effects = [found.effect, *([Effect.READ] if gives else []), *([Effect.WRITE] if changes else [])]
    kept = frozenset(name for pair in found.joined if pair & shared for name in pair)
    returns_outside = found.returns_outside or gives
    return replace(found, effect=joined(effects), keeps=found.keeps | kept, returns_outside=returns_outside)


def is_under_way(fn: types.FunctionType) -> bool:
    """Whether the function is being looked into: asked now, the answer would be the worst."""
    return fn in _under_way


def summarise_callee(callee: Tool | Agent) -> Summary:
    """What a tool or agent may do with its arguments; its effect is as declared.

    A tool is trusted to be what its declaration says: what it hands to a library
    is taken to be left alone there. An agent is the user's own code.
    """
    known = _callees.get(callee)
    if known is not None:
        return known
    with compiling():
        return _summarised(callee)


def _summarised(callee: Tool | Agent) -> Summary:
    # Within a recursion the answer leaves out what is under way, so it is not kept.
    outermost, cuts = not _under_way, len(_cuts)
    source = source_of(callee.fn) if isinstance(callee.fn, types.FunctionType) else None
    analysis, found = (None, Summary()) if source is None else _agreeing(callee, source)
    complete = len(_cuts) == cuts
    if complete or outermost:
        _callees[callee] = found
    if complete and analysis is not None and isinstance(callee, Agent):
        _analyses[callee] = analysis
    if outermost:
        _cuts.clear()
    return found


def _agreeing(callee: Tool | Agent, source: Source) -> tuple[Analysis | None, Summary]:
    """The least summary that agrees with itself, where the callee may call itself, and the analysis."""
    if source.fn in _under_way:
        _cuts.append(source.fn)
        return None, _assumed.get(source.fn, Summary())
    try:
        while True:
            cuts = len(_cuts)
            analysis = _analysed(source)
            assert analysis is not None
            found = _of_callee(callee, source, analysis)
            asked = source.fn in _cuts[cuts:]
            _cuts[cuts:] = [each for each in _cuts[cuts:] if each is not source.fn]
            if not asked or found == _assumed.get(source.fn, Summary()):
                return analysis, found
            _assumed[source.fn] = found
    finally:
        _assumed.pop(source.fn, None)


def analysis_of(agent: Agent, scope: Scope) -> Analysis:
    """The analysis of an agent in its scope; that made to summarise it, if there is one."""
    from .alias import Analysis

    found = _analyses.pop(agent, None)
    return found if found is not None and found.scope.source is scope.source else Analysis(scope)


def _of_callee(callee: Tool | Agent, source: Source, analysis: Analysis) -> Summary:
    found = _sharing(analysis)
    if isinstance(callee, Agent):
        return _with_defaults(found, source.fn)
    direct = {_root(each.node) for each in analysis.mutations}
    mutated = {name for name in analysis.scope.params if direct & _derived(name, source.index)}
    return replace(found, mutates=frozenset(mutated))


def _analysed(source: Source) -> Analysis | None:
    """The analysis of a function; None if it is under way already."""
    from .alias import Analysis
    from .groups import without_groups
    from .kept import without_kept
    from .lifted import with_lifted

    if source.fn in _under_way:
        _cuts.append(source.fn)
        return None
    _under_way.add(source.fn)
    try:
        if not isinstance(source.tree, ast.AsyncFunctionDef):
            return Analysis(scope_of(source))
        lifted = without_groups(with_lifted(source.fn) or source)
        return Analysis(without_kept(lifted, lambda agent: Effect.PURE))  # when a task begins is no matter
    finally:
        _under_way.discard(source.fn)


def _sharing(analysis: Analysis) -> Summary:
    params = analysis.scope.params
    return Summary(
        mutates=frozenset(name for name in params if analysis.parameter_mutated(name)),
        keeps=frozenset(name for name in params if analysis.parameter_shared(name, analysis.outside)),
        returns=frozenset(name for name in params if analysis.parameter_shared(name, analysis.returned)),
        raises=frozenset(name for name in params if analysis.parameter_shared(name, analysis.raised)),
        joined=frozenset(
            frozenset((one, other))
            for one, other in itertools.combinations(params, 2)
            if other in analysis.objects and analysis.parameter_shared(one, analysis.objects[other])
        ),
        returns_outside=analysis.share(analysis.returned, analysis.outside),
    )


def _root(node: ast.AST) -> str:
    """The name at the start of what a mutation is written on: `a` in `a.b[0].append(x)`."""
    match node:
        case (
            ast.Call(func=ast.Attribute(value=inner))
            | ast.Attribute(value=inner)
            | ast.Subscript(value=inner)
        ):
            return _root(inner)
        case ast.Assign(targets=[inner, *_]) | ast.Delete(targets=[inner, *_]) | ast.AugAssign(target=inner):
            return _root(inner)
        case ast.Name():
            return node.id
    return ""


def _derived(name: str, tree: Tree) -> set[str]:
    """The name, and names bound to it or to a part of it."""
    bindings = tree.every(ast.Assign, ast.For, ast.AsyncFor, ast.comprehension, ast.NamedExpr)
    found = {name}
    while True:
        more = {
            target.id
            for node in bindings
            for value, targets in _bound(node)
            if _root(value) in found
            for target in tree.within(targets, ast.Name)
        }
        if more <= found:
            return found
        found |= more


def _bound(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign():
            yield from ((node.value, target) for target in node.targets)
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield node.iter, node.target
        case ast.NamedExpr():
            yield node.value, node.target
