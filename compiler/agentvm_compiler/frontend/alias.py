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
import collections
import enum
import types
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agentvm_compiler.calls import Agent, Effect, Tool, joined

from .attributes import Attributes
from .callees import effect_call, is_gather, suspends
from .calling import Calls
from .closures import outliving
from .contents import makes_plainly
from .families import Families, Held
from .gates import gates_of
from .implicit import OPERATORS, noticed
from .infer import Types
from .kinds import is_immutable, plain
from .objects import Marks, Obj, mark_effect
from .records import ATOMS, has_fields, is_constant
from .scope import UNKNOWN, Scope, member_of
from .source import is_users
from .tree import COMPREHENSIONS, children, walk

SHOWING = ("__str__", "__repr__", "__format__")
"""Special methods that formatting by `%` calls."""

_OTHER = (
    "format",
    "str",
    "repr",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "contains",
    "hash",
    "neg",
    "pos",
    "bool",
)
OTHER_SPECIAL = tuple(f"__{name}__" for name in _OTHER)
"""Special methods that formatting, comparing and the like call."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One place where an object is changed."""

    target: Obj
    node: ast.AST
    position: int


class Analysis:
    """The analysis of one function; annotates its syntax tree."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.types = Types(scope)
        self._calls = Calls(self)
        self._attributes = Attributes(self)
        self.objects: dict[str, Obj] = {}
        self.outside = Obj()
        """Everything mutable that module globals reach."""
        self.outside.content.unify(self.outside)
        self.mutations: list[Mutation] = []
        self.conflicts: list[tuple[ast.AST, tuple[str, ...]]] = []
        """Mutations whose family cannot be kept together, or that happen inside a tool or an agent."""
        self.late: list[tuple[ast.AST, str]] = []
        """Mutations of what is held under no name, and what that is."""
        self.over: list[tuple[Obj, Obj]] = []
        """Iterators, with what they go over: they give what is added to it later."""
        self.held: list[Held] = []
        self.apart: list[tuple[Obj, Obj, ast.AST]] = []
        """Results of calls, with the arguments they may share something with, and the calls."""
        self.told: ast.AST | None = None
        """A call whose result `is` may tell from the argument it was, once it is read back from a journal."""
        self.items: dict[str, tuple[int, int]] = {}
        """Names for what loops go over, and the spans of the loops."""
        self.calls = False
        self.returned = Obj()
        """What the function may return."""
        self.raised = Obj()
        """What the function may raise."""
        self.noticed: tuple[ast.AST, str] | None = None
        """An expression for a value with a special method whose calls can be told, and its name."""
        self.computed: tuple[ast.AST, str] | None = None
        """Where a cached property is read that a copy would compute anew, and its name."""
        self.outliving = list(outliving(scope, self.types)) if scope.tree.every(*_CLOSURES) else []
        """Lambdas and generators that may be used after the statement that makes them."""
        self._kinds: dict[int, tuple[Any, ast.AST]] = {}
        """The types of the expressions, each with one that has it."""
        self._put: list[tuple[Obj, Obj]] = []
        """Objects, and what is put into them."""
        self._reaches: dict[Obj, set[Obj]] = {}
        self._selves: dict[Obj, set[Obj]] = {}
        self._reads: list[tuple[ast.Name, Obj]] = []
        self._read_over: list[tuple[ast.AST, tuple[Obj, ...], bool, tuple[int, int]]] = []
        """Loops: the node, what it goes over, whether it looks at what is inside, the span of its body."""
        for statement in scope.source.tree.body:
            self._statement(statement)
        self._solve()

    # -- what others ask ---------------------------------------------------------------

    def parameter_mutated(self, name: str) -> bool:
        """Whether something reached from the parameter may be changed."""
        held = self.objects.get(name)
        return held is not None and any(self.may_change(each, held) for each in self.mutations)

    def parameter_shared(self, name: str, other: Obj) -> bool:
        """Whether the parameter and the other object may have a mutable part in common."""
        held = self.objects.get(name)
        return held is not None and self.share(held, other)

    def may_change(self, mutation: Mutation, held: Obj) -> bool:
        return not self.reach(held).isdisjoint(self.itself(mutation.target))

    def share(self, one: Obj, other: Obj) -> bool:
        """Whether the two may have a part in common."""
        return not self.reach(one).isdisjoint(self.reach(other))

    def reach(self, held: Obj) -> set[Obj]:
        """`Obj.reach`, kept: asked for when all statements have been seen, it does not change any more."""
        root = held.root
        found = self._reaches.get(root)
        if found is None:
            found = self._reaches[root] = self._with_sources(root.reach(), Obj.reach)
        return found

    def _with_sources(self, found: set[Obj], of: Callable[[Obj], set[Obj]]) -> set[Obj]:
        """The objects, with what iterators among them go over."""
        pending = [(made.root, over) for made, over in self.over]
        while given := [over for made, over in pending if made in found]:
            pending = [each for each in pending if each[0] not in found]
            found = found.union(*map(of, given))
        return found

    def itself(self, held: Obj) -> set[Obj]:
        root = held.root
        found = self._selves.get(root)
        if found is None:
            found = self._selves[root] = root.itself()
        return found

    # -- solving -----------------------------------------------------------------------

    def _solve(self) -> None:
        self._spread()
        self._note_special_methods()
        reading: dict[Obj, tuple[bool, Effect]] = {}
        for name, held in self._reads:
            root = held.root  # which many names may be
            if root not in reading:
                reading[root] = self._reading(root)
            uses_up, effect = reading[root]
            if uses_up and not is_immutable(self.types.of(name)):
                self.mutate(held, name)
            if effect is not Effect.PURE:
                mark_effect(name, effect)
        self._mark_read_over()
        self.families = Families(self)
        self.families.solve()
        self.marks = Marks(self.scope.tree)
        for node in self.scope.tree.every(*COMPREHENSIONS):
            if getattr(node, "avm_items", "") in self.marks.mutated_in(node):
                node.avm_read_over = True  # type: ignore[attr-defined]

    def _reading(self, held: Obj) -> tuple[bool, Effect]:
        """Whether reading the object may use it up, and what else reading it may do."""
        may_be = self.itself(held)
        shared = Effect.PURE if self.reach(held).isdisjoint(self.reach(self.outside)) else Effect.READ
        return any(each.iterator for each in may_be), joined([shared, *(each.when_read for each in may_be)])

    def _note_special_methods(self) -> None:
        for kind, node in self._kinds.values():
            if name := noticed(kind):
                mark_effect(node, Effect.WRITE)
                self.noticed = self.noticed or (node, name)

    def kinds(self) -> list[Any]:
        """The types of all expressions."""
        return [kind for kind, _ in self._kinds.values()]

    def _spread(self) -> None:
        """What is put into an object is in all that this may be."""
        new = True
        while new:
            new = False
            for owner, value in self._put:
                for each in owner.itself():
                    new |= each.content.include(value)

    def put(self, value: Obj | None, owner: Obj) -> None:
        """Put a value into an object."""
        if value is not None:
            owner.content.include(value)
            self._put.append((owner, value))

    def _mark_read_over(self) -> None:
        """Mark the loops that change what they loop over."""
        changes = sorted(((each.position, self.itself(each.target)) for each in self.mutations), key=_first)
        for node, sources, deep, (first, end) in self._read_over:
            inside = changes[bisect_left(changes, first, key=_first) : bisect_left(changes, end, key=_first)]
            read = set[Obj]().union(*map(self.reach if deep else self.itself, sources))
            read = self._with_sources(read, self.itself)
            node.avm_read_over = any(  # type: ignore[attr-defined]
                not read.isdisjoint(changed) for _, changed in inside
            )

    def mutate(self, target: Obj | None, node: ast.AST) -> None:
        if target is not None:
            self.mutations.append(Mutation(target, node, self.scope.tree.span(node)[0]))

    # -- statements --------------------------------------------------------------------

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign():
                value = self.value(node.value)
                for target in node.targets:
                    self._assign(target, value, node)
            case ast.AnnAssign():
                if node.value is not None:
                    self._assign(node.target, self.value(node.value), node)
            case ast.AugAssign():
                self._augmented(node)
            case ast.For() | ast.AsyncFor():
                held = self._iterate(node.target, node.iter, node)
                if isinstance(node, ast.AsyncFor):
                    self.unknown([self.value(node.iter)], node)
                self._body([*node.body, *node.orelse])
                self._note_read_over(node, node.iter, held, node.body)
            case ast.If() | ast.While():
                self.value(node.test)
                self._body([*node.body, *node.orelse])
            case ast.Delete():
                for target in node.targets:
                    self._deleted(target, node)
            case ast.AsyncWith() if gates := gates_of(node, self.types):
                for gate in gates:
                    self.value(gate)
                self._body(node.body)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    held = self.unknown([self.value(item.context_expr)], node)
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, held, node)
                self._body(node.body)
            case ast.Try() | ast.TryStar():
                around, self.raised = self.raised, Obj()
                returned, self.returned = self.returned, Obj()
                self._body(node.body)
                caught, self.raised = self.raised, around
                caught.passed = True
                around.include(caught)  # what no handler takes goes on
                self._note_reraised(node, caught)
                for handler in node.handlers:
                    if handler.name:
                        self.name(handler.name).include(caught)
                        caught.content.unify(caught)
                handlers = [each for handler in node.handlers for each in handler.body]
                self._body([*handlers, *node.orelse])
                if node.finalbody:
                    self._hold(self.raised, node.finalbody, "is raised")
                    self._hold(self.returned, node.finalbody, "is returned")
                returned.unify(self.returned)
                self.returned = returned
                self._body(node.finalbody)
            case ast.Match():
                subject = self.value(node.subject)
                for case in node.cases:
                    for name in _captured(case.pattern):
                        held = self.name(name)
                        if subject is not None:
                            held.unify(subject)
                            held.content.unify(held)
                    if case.guard is not None:
                        self.value(case.guard)
                    self._body(case.body)
            case ast.Return(value=ast.expr() as value):
                self.returned.unify(self.value(value))
            case ast.Raise(exc=ast.expr() as raised):
                self.raised.unify(self.value(raised))
                if node.cause is not None:
                    self.value(node.cause)
            case ast.Global() | ast.Nonlocal():
                mark_effect(node, Effect.WRITE)
                for name in node.names:
                    self.outside.unify(self.name(name))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if isinstance(node, ast.ClassDef) or not self._is_only_called(node.name):
                    self.name(node.name).unify(self._closure(node))
                self._body(node.body)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)

    def _closure(self, node: ast.AST) -> Obj:
        """Code that may run later: it has what it reads, as that is then."""
        made = Obj()
        made.passed = True
        for name in dict.fromkeys(each.id for each in self.scope.tree.within(node, ast.Name)):
            if name in self.scope.locals and not is_immutable(self.types.names.get(name, Any)):
                self.put(self.name(name), made)
        return made

    def _is_only_called(self, name: str) -> bool:
        tree = self.scope.tree
        called = {id(each.func) for each in tree.every(ast.Call)}
        return all(id(each) in called for each in tree.every(ast.Name) if each.id == name)

    def _hold(self, value: Obj, body: Sequence[ast.AST], what: str) -> None:
        self.held.append(Held(value, self._span(body), what))

    def _span(self, body: Sequence[ast.AST]) -> tuple[int, int]:
        spans = [self.scope.tree.span(each) for each in body]
        return min(spans)[0], max(spans)[1]

    def _note_reraised(self, node: ast.Try | ast.TryStar, caught: Obj) -> None:
        """A handler that raises again what it handles holds it under no name."""
        for handler in node.handlers:
            if any(isinstance(each, ast.Raise) and each.exc is None for each in walk(handler)):
                self._hold(caught, handler.body, "is raised again")

    def _name_items(self, node: ast.AST, items: Obj | None) -> None:
        """Have a name for the list of what a loop goes over."""
        if items is None or not suspends(node, self.scope):
            return
        name = getattr(node, "avm_items", f"_items{len(self.items) + 1}")
        while name in self.scope.shadowed:
            name = f"_{name}"
        self.name(name).content.include(items)
        self.items[name] = self.scope.tree.span(node)
        node.avm_items = name  # type: ignore[attr-defined]

    def _note_read_over(
        self, node: ast.AST, iterable: ast.expr, held: Obj | None, body: Sequence[ast.AST]
    ) -> None:
        """Remember to look whether what a loop reads is changed in its body."""
        if held is None or self._is_copied(iterable):
            return
        names = [each.id for each in self.scope.tree.within(iterable, ast.Name)]
        sources = (held, *(self.objects[name] for name in names if name in self.objects))
        deep = held.iterator and not self._only_passes_on(iterable)  # it may look at the items themselves
        self._read_over.append((node, sources, deep, self._span(body)))

    def _only_passes_on(self, iterable: ast.expr) -> bool:
        """Whether what the iterator gives is taken from other things as it is."""
        if isinstance(iterable, ast.Name | ast.Attribute | ast.Subscript):
            return plain(self.types.of(iterable)) in (list, tuple, dict, set)
        if not isinstance(iterable, ast.Call):
            return False
        passing = self.scope.resolve(iterable.func) in (enumerate, zip, reversed)
        return passing and all(map(self._only_passes_on, iterable.args))

    def _is_copied(self, iterable: ast.expr) -> bool:
        """Whether the items are taken out before the first is used."""
        if is_immutable(self.types.of(iterable)) or isinstance(iterable, ast.ListComp | ast.SetComp):
            return True
        if not isinstance(iterable, ast.Call):
            return False
        callee = self.scope.resolve(iterable.func)
        if callee in (sorted, list, tuple, set, frozenset):
            return True
        lazy = callee in (enumerate, zip, reversed)
        return lazy and all(self._is_copied(each) for each in iterable.args)

    def _body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _assign(self, target: ast.expr, value: Obj | None, node: ast.AST) -> None:
        match target:
            case ast.Name():
                immutable = is_immutable(self.types.names.get(target.id, Any))
                if value is not None and not immutable:
                    self.name(target.id).unify(value)
            case ast.Tuple() | ast.List():
                for each in target.elts:
                    self._assign(each, None if value is None else value.content, node)
            case ast.Starred():
                held = Obj()
                held.content.include(None if value is None else value.content)
                self._assign(target.value, held, node)
            case ast.Subscript() | ast.Attribute():
                owner = self.value(target.value)
                self._reached(target, owner, value, node)
                if owner is not None:
                    self.put(value, owner)
                    if value is not None and _is_slice(target):
                        self.put(value.content, owner)
                    self.mutate(owner, node)

    def _reached(
        self, target: ast.Subscript | ast.Attribute, owner: Obj | None, value: Obj | None, node: ast.AST
    ) -> None:
        """What getting at a part that is assigned or deleted may do."""
        if isinstance(target, ast.Subscript):
            self.value(target.slice)
        else:
            self._attributes.assigned(self.types.of(target.value), target.attr, owner, value, node)
        if self.is_namespace(target.value) or self.types.of(target.value) is types.ModuleType:
            mark_effect(node, Effect.WRITE)
            self.outside.unify(value)

    def _deleted(self, target: ast.expr, node: ast.AST) -> None:
        match target:
            case ast.Subscript() | ast.Attribute():
                owner = self.value(target.value)
                self._reached(target, owner, None, node)
                self.mutate(owner, node)
            case ast.Tuple() | ast.List():
                for each in target.elts:
                    self._deleted(each, node)

    def _augmented(self, node: ast.AugAssign) -> None:
        value = self.value(node.value)
        if isinstance(node.target, ast.Name):
            if not is_immutable(self.types.names.get(node.target.id, Any)):
                held = self.name(node.target.id)
                if value is not None:
                    self.put(value.content, held)
                    self.put(value.content.content, held)  # of pairs, for a dictionary
                self.mutate(held, node)
        elif isinstance(node.target, ast.Subscript | ast.Attribute):
            owner = self.value(node.target.value)
            self._reached(node.target, owner, value, node)
            if isinstance(node.target, ast.Attribute):
                self._attributes.read(self.types.of(node.target.value), node.target.attr, owner, node)
            else:
                self._special(node.target.value, owner, ("__getitem__", "__missing__"), node)
            if owner is not None:
                if value is not None:
                    self.put(value, owner)
                    self.put(value.content, owner.content)
                self.mutate(owner, node)
                if not is_immutable(self.types.of(node.target)):
                    self.mutate(owner.content, node)

    # -- expressions -------------------------------------------------------------------

    def name(self, name: str) -> Obj:
        return self.objects.setdefault(name, Obj())

    def value(self, node: ast.expr) -> Obj | None:
        """What the expression may refer to; None for a value that cannot change."""
        # What most expressions are is told by one look-up; a `match` tries its cases one by one.
        evaluate = _EVALUATED.get(type(node))
        held = self._evaluate(node) if evaluate is None else evaluate(self, node)
        kind = self.types.of(node)
        if id(kind) not in self._kinds:
            self._kinds[id(kind)] = kind, node
        return None if is_immutable(kind) else held

    def _evaluate(self, node: ast.expr) -> Obj | None:
        match node:
            case ast.Subscript():
                owner = self.value(node.value)
                self.value(node.slice)
                self._special(node.value, owner, ("__getitem__", "__missing__"), node)
                if owner is None or not isinstance(node.slice, ast.Slice):
                    return None if owner is None else owner.content
                return self.fresh([owner.content])
            case ast.List() | ast.Tuple() | ast.Set():
                return self.fresh([self.element(each) for each in node.elts])
            case ast.Dict():
                keys = [self.value(each) for each in node.keys if each is not None]
                values = [self.value(each) for each in node.values]
                unpacked = [
                    held.content
                    for key, held in zip(node.keys, values, strict=True)
                    if key is None and held is not None
                ]
                return self.fresh([*keys, *values, *unpacked])
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case ast.BoolOp():
                return self.either([self.value(each) for each in node.values])
            case ast.IfExp():
                self.value(node.test)
                return self.either([self.value(node.body), self.value(node.orelse)])
            case ast.BinOp():
                sides = [self.value(node.left), self.value(node.right)]
                names = (*OPERATORS, *SHOWING) if isinstance(node.op, ast.Mod) else OPERATORS
                for part, held in zip((node.left, node.right), sides, strict=True):
                    self._special(part, held, names, node)
                return self.fresh([side.content for side in sides if side is not None])
            case ast.NamedExpr():
                value = self.value(node.value)
                self._assign(node.target, value, node)
                return value
            case ast.Starred():
                value = self.value(node.value)
                return None if value is None else value.content
            case ast.Lambda():
                self.value(node.body)
                return self._closure(node) if node in self.outliving else None
            case ast.Yield() | ast.YieldFrom():
                return self.unknown([self.value(node.value)] if node.value else [], node)
        if isinstance(node, ast.Compare) and all(isinstance(each, ast.Is | ast.IsNot) for each in node.ops):
            for side in (node.left, *node.comparators):
                self.value(side)
            return None
        self._inside(node)
        return None

    def _constant(self, node: ast.expr) -> None:
        """It cannot change."""

    def _call(self, node: ast.Call) -> Obj | None:
        return self._calls.of(node)

    def _inside(self, node: ast.expr) -> None:
        """An expression that only looks at the values of those in it."""
        for child in children(node):
            if isinstance(child, ast.expr):
                self._special(child, self.value(child), OTHER_SPECIAL, node)

    def _special(self, value: ast.expr, held: Obj | None, names: tuple[str, ...], node: ast.AST) -> None:
        """An operation on a value whose class gives it a meaning of its own: that counts as a call."""
        kind = self.types.of(value)
        if kind is str:
            return  # as most are: it has none
        if plain(kind) is collections.defaultdict:
            self._missing(value, held, node)
        else:
            self._calls.operate(kind, held, names, node)

    def _missing(self, value: ast.expr, held: Obj | None, node: ast.AST) -> None:
        """Reading a `defaultdict` may add to it."""
        if makes_plainly(value, self.scope):
            self.mutate(held, node)
        else:
            self.unknown([held], node)

    def _attribute(self, node: ast.Attribute) -> Obj | None:
        known_value = self.scope.resolve(node)
        if self.is_namespace(node.value):
            if self.scope.resolve(node.value) is UNKNOWN:
                self.value(node.value)
            if isinstance(known_value, (type, types.ModuleType, Tool, Agent, enum.Enum)) or callable(
                known_value
            ):
                return None
            if isinstance(known_value, ATOMS) and not is_users(self.scope.resolve(node.value)):
                return None
            if node.attr in _NAMES_OF_CLASSES:
                return None
            mark_effect(node, Effect.READ)  # somebody may assign it
            return self.outside
        owner = self.value(node.value)
        kind = self.types.of(node.value)
        if kind is types.ModuleType:
            mark_effect(node, Effect.READ)
            return self.outside
        cls = plain(kind)
        shared = self._attributes.read(kind, node.attr, owner, node)
        if isinstance(cls, type) and issubclass(cls, enum.Enum) and not is_immutable(self.types.of(node)):
            mark_effect(node, Effect.READ)  # the member's own object, whoever asks for it
            return self.outside
        if owner is None:
            return shared
        if has_fields(cls) and not callable(member_of(cls, node.attr)):
            return owner.content if shared is None else self.either([owner.content, shared])
        # A bound method holds its object, so calling it later may change that.
        made = self.either([owner, owner.content, shared])
        made.passed = True
        return made

    def is_namespace(self, owner: ast.expr) -> bool:
        """Whether it is a module, class or function known at compile time, or the class of a value."""
        found = self.scope.resolve(owner)
        if isinstance(owner, ast.Attribute) and owner.attr == "__class__":
            return True
        kind = self.types.of(owner)
        return kind is type or isinstance(found, (types.ModuleType, type, types.FunctionType, Tool, Agent))

    def _read_name(self, node: ast.Name) -> Obj | None:
        if node.id in self.scope.shadowed:
            held = self.name(node.id)
            self._reads.append((node, held))
            return held
        if node.id in self.scope.rebound:
            mark_effect(node, Effect.READ)
            return self.outside
        return self._known_object(self.scope.lookup(node.id), node)

    def _known_object(self, value: Any, node: ast.expr) -> Obj | None:
        if value is UNKNOWN or isinstance(value, (Tool, Agent)) or is_constant(value):
            return None
        mark_effect(node, Effect.READ)  # a mutable global: what it holds depends on when it is read
        return self.outside

    def element(self, node: ast.expr) -> Obj | None:
        return self._evaluate(node) if isinstance(node, ast.Starred) else self.value(node)

    def fresh(self, inside: list[Obj | None]) -> Obj:
        made = Obj()
        for each in inside:
            made.content.include(each)
        return made

    def either(self, options: list[Obj | None]) -> Obj:
        made = Obj()
        for each in options:
            made.include(each)
        return made

    def _comprehension(self, node: ast.expr) -> Obj:
        assert isinstance(node, COMPREHENSIONS)
        sources = []
        for generator in node.generators:
            sources.append(self._iterate(generator.target, generator.iter, node))
            if generator.is_async:
                self.unknown([self.value(generator.iter)], node)
            for condition in generator.ifs:
                self.value(condition)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._note_read_over(node, node.generators[0].iter, sources[0], parts)
        made = self.fresh([self.value(each) for each in parts])
        made.iterator = made.passed = isinstance(node, ast.GeneratorExp)
        if node in self.outliving:
            self.over.append((made, self._closure(node)))
        return made

    def _iterate(self, target: ast.expr, iterable: ast.expr, node: ast.AST) -> Obj | None:
        """Bind what a loop binds to its items. Returns what it goes over."""
        held = self.value(iterable)
        if held is not None:
            self._name_items(node, held.content)
        self._assign(target, None if held is None else held.content, target)
        return held

    def _await(self, node: ast.Await) -> Obj | None:
        if isinstance(node.value, ast.Call) and effect_call(node.value, self.scope):
            return self.value(node.value)
        if isinstance(node.value, ast.Call) and is_gather(node.value, self.scope):
            given = [self.element(each) for each in node.value.args]
            if node.value.keywords:  # an exception that is a value may hold what its call was given
                given += [self.value(each) for each in _handed(node.value)]
            return self.fresh(given)
        return self.unknown([self.value(node.value)], node)

    def unknown(self, involved: list[Obj | None], node: ast.AST, effect: Effect = Effect.WRITE) -> Obj:
        """Something nothing is known of: it may mutate, keep and return all it is given."""
        made = Obj()
        made.iterator = made.passed = True
        for each in involved:
            made.unify(each)
        made.content.unify(made)
        self.put(made, made)
        self.mutate(made, node)
        mark_effect(node, effect)
        return made


_EVALUATED: dict[type[ast.AST], Callable[[Analysis, Any], Obj | None]] = {
    ast.Constant: Analysis._constant,
    ast.Name: Analysis._read_name,
    ast.Call: Analysis._call,
    ast.JoinedStr: Analysis._inside,
    ast.FormattedValue: Analysis._inside,
    ast.Attribute: Analysis._attribute,
    ast.Await: Analysis._await,
}


_CLOSURES = (ast.Lambda, ast.GeneratorExp)
_NAMES_OF_CLASSES = ("__name__", "__qualname__", "__module__", "__doc__")


def _first(pair: tuple[int, object]) -> int:
    return pair[0]


def _is_slice(target: ast.expr) -> bool:
    return isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice)


def _captured(pattern: ast.pattern) -> Iterator[str]:
    for node in walk(pattern):
        if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        if isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def _handed(tree: ast.AST) -> Iterator[ast.expr]:
    """The arguments of all calls in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (each for each in node.args if not isinstance(each, ast.Starred))
            yield from (each.value for each in node.keywords)
