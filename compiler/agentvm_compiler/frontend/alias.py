"""What a function may mutate, under which names, and what its plain Python may do to the world.

The IR has value semantics: each node gets its own copy of what it changes. That
is the same as Python's reference semantics as long as what a statement mutates
can be seen through one name only; this analysis finds out whether that holds.

It is a unification-based points-to analysis (B. Steensgaard, "Points-to analysis
in almost linear time", POPL 1996): one abstract object for each name and
allocation, with one `content` for all that is inside it; names that may share an
object share its class. It does not look at the order of statements, but a
mutation only concerns names that may be bound before it and read after it.

Its verdicts are attributes of the syntax tree: `avm_effect` (Effect) on what does
something, `avm_mutates` (names) on what mutates. All unknowns count as the worst.
"""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentvm_compiler.calls import Agent, Effect, Tool, joined

from . import known
from .callees import effect_call, is_gather, suspends
from .infer import ATOMS, Types, is_immutable, is_record, plain
from .scope import COMPREHENSIONS, UNKNOWN, Scope
from .source import source_of


class Obj:
    """An abstract object: all that a name may refer to."""

    __slots__ = ("_content", "_parent", "iterator")

    def __init__(self) -> None:
        self._parent: Obj | None = None
        self._content: Obj | None = None
        self.iterator = False
        """Whether reading it uses it up."""

    @property
    def root(self) -> Obj:
        found = self
        while found._parent is not None:
            found = found._parent
        return found

    @property
    def content(self) -> Obj:
        """What is inside, whatever the key or attribute."""
        root = self.root
        if root._content is None:
            root._content = Obj()
        return root._content.root

    def unify(self, other: Obj | None) -> None:
        """From now on the two are one, and so are their contents."""
        pending = [(self, other)] if other is not None else []
        while pending:
            left, right = (each.root for each in pending.pop())
            if left is right:
                continue
            right._parent = left
            left.iterator |= right.iterator
            if left._content is None:
                left._content = right._content
            elif right._content is not None:
                pending.append((left._content, right._content))

    def reaches(self, other: Obj) -> bool:
        """Whether `other` is this object or inside it."""
        seen: set[int] = set()
        here: Obj | None = self.root
        while here is not None and id(here) not in seen:
            if here is other.root:
                return True
            seen.add(id(here))
            here = here._content.root if here._content is not None else None
        return False


@dataclass(frozen=True, slots=True)
class Mutation:
    """One place where an object is changed."""

    target: Obj
    node: ast.AST
    position: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What calling a function may do."""

    effect: Effect = Effect.PURE
    mutates: frozenset[str] = frozenset()
    """Parameters it may change, or change something inside of."""
    calls: bool = False
    """Whether it calls tools, agents or the model."""


WORST = Summary(Effect.WRITE, frozenset({"*"}))


class Analysis:
    """The analysis of one function; annotates its syntax tree."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.types = Types(scope)
        self.objects: dict[str, Obj] = {}
        self.outside = Obj()
        """Everything mutable that module globals reach."""
        self.outside.content.unify(self.outside)
        self.mutations: list[Mutation] = []
        self.conflicts: list[tuple[ast.AST, tuple[str, ...]]] = []
        """Mutations that more than one name may see."""
        self.calls = False
        self._index(scope.source.tree)
        for statement in scope.source.tree.body:
            self._statement(statement)
        self._solve()

    # -- what others ask ---------------------------------------------------------------

    def parameter_mutated(self, name: str) -> bool:
        """Whether something reached from the parameter may be changed."""
        held = self.objects.get(name)
        return held is not None and any(held.reaches(each.target) for each in self.mutations)

    # -- positions ---------------------------------------------------------------------

    def _index(self, tree: ast.AST) -> None:
        """Number all nodes; note loops, and where each name is bound and read."""
        self._positions: dict[int, tuple[int, int]] = {}
        self._loops: list[tuple[int, int]] = []
        self._stores: dict[str, list[int]] = {name: [-1] for name in self.scope.params}
        self._loads: dict[str, list[int]] = {}
        counter = 0

        def visit(node: ast.AST) -> None:
            nonlocal counter
            start = counter = counter + 1
            if isinstance(node, ast.Name):
                into = self._loads if isinstance(node.ctx, ast.Load) else self._stores
                into.setdefault(node.id, []).append(start)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                self._loads.setdefault(node.target.id, []).append(start)
            for child in ast.iter_child_nodes(node):
                visit(child)
            self._positions[id(node)] = (start, counter)
            if isinstance(node, ast.For | ast.While | ast.AsyncFor | ast.comprehension | ast.GeneratorExp):
                self._loops.append((start, counter))

        visit(tree)
        self._units = [
            self._positions[id(node)]
            for node in ast.walk(tree)
            if isinstance(node, ast.stmt) and node is not tree and not suspends(node, self.scope)
        ]

    def _together(self, one: int, other: int) -> bool:
        """Whether some loop holds both positions."""
        return any(low <= one <= high and low <= other <= high for low, high in self._loops)

    # -- solving -----------------------------------------------------------------------

    def _solve(self) -> None:
        for mutation in self.mutations:
            names = tuple(sorted(self._seen_by(mutation)))
            outside = self.outside.reaches(mutation.target)
            if outside:
                mark_effect(mutation.node, Effect.WRITE)
            if len(names) > 1 or (names and outside):
                self.conflicts.append((mutation.node, names))
            mutation.node.avm_mutates = frozenset(names) | getattr(  # type: ignore[attr-defined]
                mutation.node, "avm_mutates", frozenset()
            )

    def _seen_by(self, mutation: Mutation) -> Iterator[str]:
        unit = self._unit(mutation)
        for name, held in self.objects.items():
            if not held.reaches(mutation.target):
                continue
            stores, loads = self._stores.get(name, []), self._loads.get(name, [])
            at = mutation.position
            if all(unit[0] <= each <= unit[1] for each in [*stores, *loads]):
                continue  # lives and dies within one node
            bound = any(each <= unit[1] or self._together(each, at) for each in stores)
            read = any(each >= unit[0] or self._together(each, at) for each in loads)
            if bound and read:
                yield name

    def _unit(self, mutation: Mutation) -> tuple[int, int]:
        """The span of the outermost statement around it that will be one node."""
        at = mutation.position
        return min((span for span in self._units if span[0] <= at <= span[1]), default=(at, at))

    def _mutate(self, target: Obj | None, node: ast.AST) -> None:
        if target is not None:
            self.mutations.append(Mutation(target, node, self._positions[id(node)][0]))

    # -- statements --------------------------------------------------------------------

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign():
                value = self._value(node.value)
                for target in node.targets:
                    self._assign(target, value, node)
            case ast.AnnAssign():
                if node.value is not None:
                    self._assign(node.target, self._value(node.value), node)
            case ast.AugAssign():
                self._augmented(node)
            case ast.For() | ast.AsyncFor():
                self._assign(node.target, self._iterate(node.iter, node), node)
                self._body([*node.body, *node.orelse])
            case ast.If() | ast.While():
                self._value(node.test)
                self._body([*node.body, *node.orelse])
            case ast.Delete():
                for target in node.targets:
                    if isinstance(target, ast.Subscript | ast.Attribute):
                        self._mutate(self._value(target.value), node)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    held = self._unknown([self._value(item.context_expr)], node)
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, held, node)
                self._body(node.body)
            case ast.Try() | ast.TryStar():
                handlers = [each for handler in node.handlers for each in handler.body]
                self._body([*node.body, *handlers, *node.orelse, *node.finalbody])
            case ast.Match():
                subject = self._value(node.subject)
                for case in node.cases:
                    for name in _captured(case.pattern):
                        held = self._name(name)
                        if subject is not None:
                            held.unify(subject)
                            held.content.unify(held)
                    if case.guard is not None:
                        self._value(case.guard)
                    self._body(case.body)
            case ast.Global() | ast.Nonlocal():
                mark_effect(node, Effect.WRITE)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._body(node.body)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self._value(child)

    def _body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _assign(self, target: ast.expr, value: Obj | None, node: ast.AST) -> None:
        match target:
            case ast.Name():
                if value is not None:
                    self._name(target.id).unify(value)
            case ast.Tuple() | ast.List():
                for each in target.elts:
                    self._assign(each, None if value is None else value.content, node)
            case ast.Starred():
                held = Obj()
                held.content.unify(value)
                self._assign(target.value, held, node)
            case ast.Subscript() | ast.Attribute():
                owner = self._value(target.value)
                if isinstance(target, ast.Subscript):
                    self._value(target.slice)
                if owner is not None:
                    owner.content.unify(value)
                    self._mutate(owner, node)

    def _augmented(self, node: ast.AugAssign) -> None:
        value = self._value(node.value)
        if isinstance(node.target, ast.Name):
            if not is_immutable(self.types.names.get(node.target.id, Any)):
                held = self._name(node.target.id)
                if value is not None:
                    held.content.unify(value.content)
                self._mutate(held, node)
        elif isinstance(node.target, ast.Subscript | ast.Attribute):
            owner = self._value(node.target.value)
            if owner is not None:
                if value is not None:
                    owner.content.content.unify(value.content)
                self._mutate(owner, node)
                if not is_immutable(self.types.of(node.target)):
                    self._mutate(owner.content, node)

    # -- expressions -------------------------------------------------------------------

    def _name(self, name: str) -> Obj:
        return self.objects.setdefault(name, Obj())

    def _value(self, node: ast.expr) -> Obj | None:
        """What the expression may refer to; None for a value that cannot change."""
        held = self._evaluate(node)
        return None if is_immutable(self.types.of(node)) else held

    def _evaluate(self, node: ast.expr) -> Obj | None:
        match node:
            case ast.Constant():
                return None
            case ast.Name():
                return self._read_name(node)
            case ast.Attribute():
                if self.scope.resolve(node) is not UNKNOWN:
                    return self._known_object(self.scope.resolve(node), node)
                owner = self._value(node.value)
                return None if owner is None else owner.content
            case ast.Subscript():
                owner = self._value(node.value)
                self._value(node.slice)
                if owner is None or not isinstance(node.slice, ast.Slice):
                    return None if owner is None else owner.content
                return self._fresh([owner.content])
            case ast.List() | ast.Tuple() | ast.Set():
                return self._fresh([self._element(each) for each in node.elts])
            case ast.Dict():
                keys = [self._value(each) for each in node.keys if each is not None]
                values = [self._value(each) for each in node.values]
                unpacked = [
                    held.content
                    for key, held in zip(node.keys, values, strict=True)
                    if key is None and held is not None
                ]
                return self._fresh([*keys, *values, *unpacked])
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case ast.BoolOp():
                return self._either([self._value(each) for each in node.values])
            case ast.IfExp():
                self._value(node.test)
                return self._either([self._value(node.body), self._value(node.orelse)])
            case ast.BinOp():
                sides = [self._value(node.left), self._value(node.right)]
                return self._fresh([side.content for side in sides if side is not None])
            case ast.NamedExpr():
                value = self._value(node.value)
                self._assign(node.target, value, node)
                return value
            case ast.Await():
                return self._await(node)
            case ast.Call():
                return self._call(node)
            case ast.Starred():
                value = self._value(node.value)
                return None if value is None else value.content
            case ast.Lambda():
                self._value(node.body)
                return None
            case ast.Yield() | ast.YieldFrom():
                return self._unknown([self._value(node.value)] if node.value else [], node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._value(child)
        return None

    def _read_name(self, node: ast.Name) -> Obj | None:
        if node.id in self.scope.shadowed:
            return self._name(node.id)
        return self._known_object(self.scope.lookup(node.id), node)

    def _known_object(self, value: Any, node: ast.expr) -> Obj | None:
        if value is UNKNOWN or isinstance(value, (*ATOMS, Tool, Agent)) or _frozen(value):
            return None
        mark_effect(node, Effect.READ)  # a mutable global: what it holds depends on when it is read
        return self.outside

    def _element(self, node: ast.expr) -> Obj | None:
        return self._evaluate(node) if isinstance(node, ast.Starred) else self._value(node)

    def _fresh(self, inside: list[Obj | None]) -> Obj:
        made = Obj()
        for each in inside:
            made.content.unify(each)
        return made

    def _either(self, options: list[Obj | None]) -> Obj:
        made = Obj()
        for each in options:
            made.unify(each)
        return made

    def _comprehension(self, node: ast.expr) -> Obj:
        assert isinstance(node, COMPREHENSIONS)
        for generator in node.generators:
            self._assign(generator.target, self._iterate(generator.iter, node), node)
            for condition in generator.ifs:
                self._value(condition)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        made = self._fresh([self._value(each) for each in parts])
        made.iterator = isinstance(node, ast.GeneratorExp)
        return made

    def _iterate(self, iterable: ast.expr, node: ast.AST) -> Obj | None:
        held = self._value(iterable)
        if held is None:
            return None
        if held.root.iterator and isinstance(iterable, ast.Name):
            self._mutate(held, node)
        return held.content

    def _await(self, node: ast.Await) -> Obj | None:
        if isinstance(node.value, ast.Call) and effect_call(node.value, self.scope):
            return self._value(node.value)
        if isinstance(node.value, ast.Call) and is_gather(node.value, self.scope):
            return self._fresh([self._element(each) for each in node.value.args])
        return self._unknown([self._value(node.value)], node)

    # -- calls -------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Obj | None:
        callee = self.scope.resolve(node.func)
        arguments = [self._element(each) for each in node.args]
        arguments += [self._value(each.value) for each in node.keywords]
        if effect_call(node, self.scope):
            self.calls = True
            if isinstance(callee, Tool | Agent):
                self._apply(_direct_summary(callee.fn), callee.fn, node)
            return Obj()
        if callee is not UNKNOWN:
            return self._known_call(callee, arguments, node)
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, arguments, node)
        self._value(node.func)
        return self._unknown(arguments, node)

    def _known_call(self, callee: Any, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        inside = [each.content for each in arguments if each is not None]
        if callee is next:
            for each in arguments[:1]:
                self._mutate(each, node)
        if _in(callee, known.PICKS):
            return self._either([*inside, *arguments[1:]])
        if _in(callee, known.FRESH):
            return Obj()
        if _in(callee, known.PURE_BUILTINS):
            made = self._fresh([*inside, *[each.content for each in inside]])
            made.iterator = _in(callee, known.ITERATORS)
            if _in(callee, known.CALLS_ITS_ARGUMENTS):
                self._called_arguments(node)
            return made
        if _in(callee, known.OUTPUT_BUILTINS):
            mark_effect(node, Effect.WRITE)
            return self._fresh(arguments)
        if isinstance(callee, type) and (is_record(callee) or issubclass(callee, (*ATOMS, BaseException))):
            return self._fresh(arguments)
        if getattr(callee, "__module__", None) in known.PURE_MODULES:
            made = self._fresh([*arguments, *inside])
            made.iterator = callee.__module__ == "itertools"
            self._called_arguments(node)
            return made
        if isinstance(callee, types.FunctionType):
            summary = summarise(callee)
            self._apply(summary, callee, node)
            mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
            self.calls |= summary.calls
            made = self._fresh([*arguments, *inside])
            made.unify(self._either(arguments))
            return made
        return self._unknown(arguments, node)

    def _called_arguments(self, node: ast.Call) -> None:
        """A function handed to a builtin is called by it: count what it does."""
        for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
            passed = self.scope.resolve(each)
            if isinstance(passed, types.FunctionType):
                summary = summarise(passed)
                mark_effect(node, Effect.WRITE if summary.mutates else summary.effect)
            elif isinstance(passed, Tool | Agent) or (
                passed is UNKNOWN
                and isinstance(each, ast.Name | ast.Attribute | ast.Call)
                and not is_immutable(self.types.of(each))
                and plain(self.types.of(each)) not in (list, dict, set, tuple)
                and not is_record(plain(self.types.of(each)))
                and isinstance(each, ast.Call)
            ):
                mark_effect(node, Effect.WRITE)

    def _method(self, method: ast.Attribute, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        kind = self.types.of(method.value)
        receiver = self._value(method.value)
        if is_immutable(kind):
            return self._fresh(arguments)
        cls = plain(kind)
        if method.attr in known.READERS.get(cls, ()) and receiver is not None:
            made = self._fresh([receiver.content])
            made.content.content.unify(receiver.content if method.attr == "items" else None)
            made.unify(receiver.content if method.attr == "get" else None)
            made.unify(arguments[1] if method.attr == "get" and len(arguments) > 1 else None)
            return made
        if method.attr in known.MUTATORS.get(cls, ()) and receiver is not None:
            for each in arguments:
                receiver.content.unify(each)
                if each is not None and method.attr in ("extend", "update"):
                    receiver.content.unify(each.content)
            self._mutate(receiver, node)
            return receiver.content
        if isinstance(cls, type):
            function = next(
                (each.__dict__[method.attr] for each in cls.__mro__ if method.attr in each.__dict__), None
            )
            if isinstance(function, types.FunctionType):
                summary = summarise(function)
                mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
                self.calls |= summary.calls
                if summary.mutates:
                    self._unknown([receiver, *arguments], node, effect=summary.effect)
                made = self._fresh([receiver, *arguments])
                made.unify(receiver)
                return made
        return self._unknown([receiver, *arguments], node)

    def _apply(self, summary: Summary, fn: types.FunctionType | Any, node: ast.Call) -> None:
        """Mutate the arguments that the callee may mutate."""
        if not summary.mutates:
            return
        names = list(fn.__code__.co_varnames[: fn.__code__.co_argcount + fn.__code__.co_kwonlyargcount])
        for index, each in enumerate(node.args):
            name = names[index] if index < len(names) else "*"
            if summary.mutates & {name, "*"} or isinstance(each, ast.Starred):
                self._mutate_within(each, node)
        for keyword in node.keywords:
            if keyword.arg is None or summary.mutates & {keyword.arg, "*"}:
                self._mutate_within(keyword.value, node)

    def _mutate_within(self, argument: ast.expr, node: ast.Call) -> None:
        held = self._value(argument)
        if held is not None:
            held.content.unify(held)  # it may change anything inside
            self._mutate(held, node)

    def _unknown(self, involved: list[Obj | None], node: ast.AST, effect: Effect = Effect.WRITE) -> Obj:
        """Something nothing is known of: it may mutate, keep and return all it is given."""
        made = Obj()
        made.iterator = True
        for each in involved:
            made.unify(each)
        made.content.unify(made)
        self._mutate(made, node)
        mark_effect(node, effect)
        return made


def mark_effect(node: ast.AST, effect: Effect) -> None:
    """Note on the tree that running this node's code has at least this effect."""
    node.avm_effect = joined((effect, effect_mark(node)))  # type: ignore[attr-defined]


def effect_mark(node: ast.AST) -> Effect:
    return getattr(node, "avm_effect", Effect.PURE)


def effect_of(tree: ast.AST) -> Effect:
    """What the plain Python in the tree may do to the world; calls to tools and the like not counted."""
    return joined(effect_mark(node) for node in ast.walk(tree))


def mutated_in(tree: ast.AST) -> frozenset[str]:
    """Names whose value the tree may change in place."""
    return frozenset().union(*(getattr(node, "avm_mutates", frozenset()) for node in ast.walk(tree)))


@functools.lru_cache(maxsize=4096)
def summarise(fn: types.FunctionType) -> Summary:
    """What calling a function may do; the worst where its source is not to be had."""
    if fn in _summarising:
        return WORST  # recursion
    source = source_of(fn)
    if source is None or isinstance(source.tree, ast.AsyncFunctionDef):
        return WORST
    _summarising.add(fn)
    try:
        analysis = Analysis(Scope(source))
    finally:
        _summarising.discard(fn)
    mutated = frozenset(name for name in analysis.scope.params if analysis.parameter_mutated(name))
    return Summary(joined(map(effect_of, source.tree.body)), mutated, analysis.calls)


def _direct_summary(fn: Any) -> Summary:
    """What a tool's or agent's own statements change of its arguments.

    What a tool hands to a library is taken to be left alone there: a tool is
    trusted to be what its declaration says.
    """
    source = source_of(fn)
    if source is None or fn in _summarising:
        return Summary()
    _summarising.add(fn)
    try:
        analysis = Analysis(Scope(source))
    finally:
        _summarising.discard(fn)
    direct = [each for each in analysis.mutations if effect_mark(each.node) is not Effect.WRITE]
    return Summary(
        mutates=frozenset(
            name
            for name in analysis.scope.params
            if any(
                name in analysis.objects and analysis.objects[name].reaches(each.target) for each in direct
            )
        )
    )


_summarising: set[Any] = set()


def _captured(pattern: ast.pattern) -> Iterator[str]:
    for node in ast.walk(pattern):
        if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        if isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def _frozen(value: Any) -> bool:
    """Whether a global's value can be taken for a constant."""
    if isinstance(value, tuple | frozenset):
        return all(isinstance(each, ATOMS) or _frozen(each) for each in value)
    return type(value).__module__ in ("typing", "types", "re") or (
        is_record(type(value))
        and getattr(type(value), "__dataclass_params__", None) is not None
        and type(value).__dataclass_params__.frozen
        and all(isinstance(each, ATOMS) or _frozen(each) for each in vars(value).values())
    )


def _in(value: Any, known_set: frozenset[Any]) -> bool:
    try:
        return value in known_set
    except TypeError:
        return False
