"""What the containers that a function makes come to hold.

The type of `[]` or `{"a": 1}` says what is inside at first; what is added later must
count as well. A name is *private* if it alone refers to a container made here: then
all additions are seen, and the element type covers them. Of others, element types are
believed only as long as nothing in the function may add what they do not cover.
"""

from __future__ import annotations

import ast
import collections
import heapq
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import llm

from . import known
from .callees import effect_call, effect_callee, written_method
from .kinds import MAPPINGS, UNSEEN, Type, element, holding, is_immutable, item, join, members, parts, plain
from .records import is_record
from .scope import UNKNOWN, Scope
from .source import is_users
from .summary import Summary, summarise, summarise_callee
from .tree import bound_by, walk

if TYPE_CHECKING:
    from .infer import Types

DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS: tuple[Any, ...] = (list, dict, set, sorted)
_MAKERS += (collections.Counter, collections.deque, collections.OrderedDict, collections.defaultdict)
_READING: tuple[Any, ...] = (
    len,
    sorted,
    any,
    all,
    list,
    tuple,
    set,
    frozenset,
    enumerate,
    zip,
    reversed,
    str,
    repr,
    bool,
)
_READING += (isinstance, print, collections.Counter, collections.deque)
_HEAP = (heapq.heappush, heapq.heappop, heapq.heapify, heapq.heapreplace, heapq.heappushpop)
_ONE = frozenset(["append", "add", "appendleft"])
_MANY = frozenset(["extend", "update", "extendleft", "subtract"])


class Contents:
    """The containers of one function; asks `types` for the types of what is added."""

    def __init__(self, scope: Scope, types: Types) -> None:
        self._scope = scope
        self._types = types
        self._parents = scope.tree.parents
        self._occurrences: dict[str, list[ast.Name]] = {}
        for each in scope.tree.every(ast.Name):
            self._occurrences.setdefault(each.id, []).append(each)
        self._finishes = any(each.finalbody for each in scope.tree.every(ast.Try))
        self._summaries: dict[int, Summary | None] = {}
        self._made = self._names_made_here()
        """Names that are bound to containers made here and to nothing else, each with what it is bound to."""
        self.private = {name: values for name, values in self._made.items() if self._is_private(name)}
        """Those of them that alone refer to their containers."""
        self._declared = {*scope.params, *self._annotated()}
        self.trusted = True
        """Whether element types of what is not private are to be believed."""

    def held(self, name: str) -> Type:
        """The type of a private name: of what it is made from, and all that is added."""
        made = join(self._types.made(each) for each in self.private[name])
        keys, values = [], []
        for key, value in self._additions(name):
            keys.append(key)
            values.append(value)
        return _widened(made, join(keys) if keys else UNSEEN, join(values) if values else UNSEEN)

    # -- private names -----------------------------------------------------------------

    def _names_made_here(self) -> dict[str, list[ast.expr]]:
        made: dict[str, list[ast.expr]] = {}
        other = set(self._scope.params)
        tree = self._scope.tree
        for node in (*(node for _, node in tree.binding), *tree.every(*_NAMING)):
            match node:
                case ast.Name(id=name, ctx=ast.Store()):
                    value = self._made_here(node)
                    if value is not None:
                        made.setdefault(name, []).append(value)
                    elif not isinstance(self._parents[id(node)], ast.AugAssign):
                        other.add(name)
                case ast.arg(arg=name):
                    other.add(name)
                case ast.Global() | ast.Nonlocal():
                    other.update(node.names)
                case _ if not isinstance(node, ast.Name):
                    other.update(bound_by(node))
        return {name: values for name, values in made.items() if name not in other}

    def _is_private(self, name: str) -> bool:
        return all(
            self._only_read(node) or self._leaves(node)
            for node in self._occurrences.get(name, ())
            if isinstance(node.ctx, ast.Load)
        )

    def _annotated(self) -> Iterator[str]:
        for node in self._scope.tree.every(ast.AnnAssign):
            if isinstance(node.target, ast.Name):
                yield node.target.id

    def _leaves(self, node: ast.AST) -> bool:
        """Whether this is part of what the function returns, and nothing runs after it."""
        parent = self._parents[id(node)]
        while isinstance(parent, ast.Tuple | ast.List | ast.Dict | ast.keyword | ast.Call):
            if isinstance(parent, ast.Call) and not is_record(self._scope.resolve(parent.func)):
                return False
            parent = self._parents[id(parent)]
        return isinstance(parent, ast.Return) and not self._finishes

    def _made_here(self, target: ast.Name) -> ast.expr | None:
        """The new container that the name is bound to, if it is one."""
        match self._parents[id(target)]:
            case ast.Assign(targets=[_], value=value):
                made = isinstance(value, DISPLAYS)
                if isinstance(value, ast.Call):
                    made = any(self._scope.resolve(value.func) is each for each in _MAKERS)
                return value if made else None
        return None

    def _only_read(self, name: ast.Name) -> bool:
        """Whether what is done with the name here leaves no other way to the container."""
        parent = self._parents[id(name)]
        match parent:
            case ast.Subscript(value=value) if value is name:
                return isinstance(parent.ctx, ast.Load | ast.Del) or self._is_plain_store(parent)
            case ast.Attribute(value=value, attr=attr) if value is name:
                around = self._parents[id(parent)]
                called = isinstance(around, ast.Call) and around.func is parent
                return called and any(attr in each for each in _METHODS)
            case ast.For(iter=value) | ast.comprehension(iter=value):
                return value is name
            case ast.FormattedValue() | ast.Compare() | ast.Starred() | ast.Return() | ast.BinOp():
                return True
            case ast.If(test=value) | ast.While(test=value) | ast.IfExp(test=value) | ast.Assert(test=value):
                return value is name
            case ast.UnaryOp(op=ast.Not()):
                return True
            case ast.Dict():
                return any(
                    key is None and value is name
                    for key, value in zip(parent.keys, parent.values, strict=True)
                )
            case ast.Call():
                return name in parent.args and self._only_reads(parent)
        return False

    def _is_plain_store(self, target: ast.Subscript) -> bool:
        around = self._parents[id(target)]
        return isinstance(around, ast.AugAssign) or (
            isinstance(around, ast.Assign) and len(around.targets) == 1
        )

    def _only_reads(self, call: ast.Call) -> bool:
        """Whether the callee neither keeps nor gives back its arguments."""
        callee = self._scope.resolve(call.func)
        if callee is llm or any(callee is each for each in _READING):
            return True
        if any(callee is each for each in (min, max, sum)):
            return len(call.args) == 1
        summary = self._summary(call, callee)
        if summary is not None:
            return not (summary.mutates or summary.keeps or summary.returns)
        if isinstance(call.func, ast.Attribute) and callee is UNKNOWN:
            return isinstance(call.func.value, ast.Constant) and call.func.attr == "join"
        return False

    def _summary(self, call: ast.Call, callee: Any) -> Summary | None:
        """What the user's own callee may do; None for what is no function of the user's."""
        if id(call) not in self._summaries:
            found = None
            if effect_call(call, self._scope):
                called = effect_callee(callee)
                found = None if called is None else summarise_callee(called)
            elif isinstance(callee, types.FunctionType) and is_users(callee):
                found = summarise(callee)
            self._summaries[id(call)] = found
        return self._summaries[id(call)]

    def _additions(self, name: str) -> Iterator[tuple[Type, Type]]:
        """What is added under a name: types of key and value, of the same for what has no keys."""
        for node in self._occurrences.get(name, ()):
            yield from self._added_at(node)

    def _added_at(self, name: ast.Name) -> Iterator[tuple[Type, Type]]:
        of = self._types.of
        parent = self._parents[id(name)]
        around = self._parents.get(id(parent))
        match parent, around:
            case ast.AugAssign(target=target, value=value), _ if target is name:
                yield _every(of(value))
            case ast.Attribute(attr=attr), ast.Call():
                yield from self._added_by(attr, around)
            case ast.Subscript(slice=key, ctx=ast.Load()), _ if self._adds_missing(name.id):
                yield of(key), UNSEEN
            case ast.Subscript(slice=ast.Slice(), ctx=ast.Store()), ast.Assign(value=value):
                yield _every(of(value))
            case ast.Subscript(slice=key, ctx=ast.Store()), ast.Assign(value=value):
                yield of(key), of(value)
            case ast.Subscript(slice=key, ctx=ast.Store()), ast.AugAssign():
                loaded = ast.Subscript(name, key, ast.Load())
                yield of(key), of(ast.BinOp(loaded, around.op, around.value))

    def _adds_missing(self, name: str) -> bool:
        return any(default_of(each, self._scope) is not None for each in self.private[name])

    def _added_by(self, method: str, call: ast.Call) -> Iterator[tuple[Type, Type]]:
        """What a method of a builtin container adds."""
        of = self._types.of
        kinds = [of(each) for each in call.args]
        if ast.Starred in map(type, call.args):
            kinds = [Any for _ in kinds]
        if method in _ONE and kinds:
            yield kinds[0], kinds[0]
        elif method in _MANY:
            yield from map(_every, kinds)
            yield from ((str, of(each.value)) if each.arg else (Any, Any) for each in call.keywords)
        elif method == "insert" and kinds:
            yield kinds[-1], kinds[-1]
        elif method == "setdefault" and kinds:
            yield kinds[0], kinds[1] if len(kinds) > 1 else type(None)

    # -- containers that others may reach ----------------------------------------------

    def is_trustworthy(self) -> bool:
        """Whether nothing in the function may add to a container what its element type does not cover."""
        changing = self._scope.tree.every(*_CHANGES)
        return not any(self._spoils(node) for node in changing)

    def _spoils(self, node: ast.AST) -> bool:
        of = self._types.of
        match node:
            case ast.Call():
                return self._call_spoils(node)
            case ast.Assign():
                stored = [each for target in node.targets for each in _stores(target)]
                return any(
                    not self._takes(each, of(node.value) if each in node.targets else Any) for each in stored
                )
            case ast.AugAssign(target=ast.Subscript() as target):
                into = _loaded(target)
                if not is_immutable(of(into)) and not self._covers(into, *_every(of(node.value))):
                    return True
                return not self._takes(target, of(ast.BinOp(into, node.op, node.value)))
            case ast.AugAssign(target=target):
                into = _loaded(target)
                return not is_immutable(of(into)) and not self._covers(into, *_every(of(node.value)))
            case ast.AnnAssign(target=target) | ast.For(target=target) | ast.comprehension(target=target):
                return any(_stores(target))
        return False

    def _takes(self, target: ast.Subscript, added: Type) -> bool:
        """Whether a value may be stored there."""
        if isinstance(target.slice, ast.Slice):
            return self._covers(target.value, *_every(added))
        return self._covers(target.value, self._types.of(target.slice), added)

    def _covers(self, into: ast.expr, key: Type, added: Type) -> bool:
        """Whether the container is still of its type when this has been added."""
        kind = self._types.of(into)
        name = into.id if isinstance(into, ast.Name) else ""
        if name in self.private or UNSEEN in (kind, key, added):
            return True
        keyed = plain(kind) in MAPPINGS or plain(kind) is collections.Counter
        pairs = [(element(kind), key), (item(kind), added)] if keyed else [(element(kind), added)]
        for held, more in pairs:
            if held is Any and (name in self._made or self._is_default(into)):
                continue  # nothing is claimed of it
            if more is Any and held is not Any and name in self._declared:
                continue  # the annotation is believed
            if held is Any or join((held, more)) != held:
                return False
        return True

    def _is_default(self, container: ast.expr) -> bool:
        """Whether it is in a private `defaultdict` that holds only what it has made itself."""
        match container:
            case ast.Subscript(value=ast.Name(id=name)) if name in self.private and self._adds_missing(name):
                return all(value is UNSEEN for _, value in self._additions(name))
        return False

    def _call_spoils(self, call: ast.Call) -> bool:
        of = self._types.of
        callee = self._scope.resolve(call.func)
        values = [*call.args, *(each.value for each in call.keywords)]
        if callee in _HEAP:
            pushed = [of(each) for each in values[1:2]]
            return bool(pushed) and not self._covers(values[0], pushed[0], pushed[0])
        if any(self._mutates(self._scope.resolve(each)) for each in values):
            return True
        if isinstance(call.func, ast.Attribute) and callee is UNKNOWN:
            return self._method_spoils(call.func, call, values)
        if callee is llm or all(is_immutable(of(each)) for each in values):
            return False
        summary = self._summary(call, callee)
        if summary is not None:
            return bool(summary.mutates or summary.keeps)
        return callee is UNKNOWN or not _is_harmless(callee)

    def _method_spoils(self, method: ast.Attribute, call: ast.Call, values: list[ast.expr]) -> bool:
        of = self._types.of
        kind = of(method.value)
        cls = plain(kind)
        if method.attr in known.MUTATORS.get(cls, ()):
            added = self._added_by(method.attr, call)
            return not all(self._covers(method.value, key, value) for key, value in added)
        if method.attr in known.READERS.get(cls, ()) or all(
            each in known.PURE_METHODS for each in map(plain, members(kind))
        ):
            return False
        function = written_method(cls, method.attr)
        if function is not None and is_users(function):
            summary = summarise(function)
            return bool(summary.mutates or summary.keeps)
        return not all(is_immutable(of(each)) for each in [method.value, *values])

    def _mutates(self, passed: Any) -> bool:
        """Whether a function that is handed on may change or keep what it is called with."""
        if not isinstance(passed, types.FunctionType) or not is_users(passed):
            return False
        summary = summarise(passed)
        return bool(summary.mutates or summary.keeps)


_CHANGES: tuple[type[ast.AST], ...] = (
    ast.Call,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.For,
    ast.comprehension,
)

_NAMING: tuple[type[ast.AST], ...] = (ast.arg, ast.Global, ast.Nonlocal)

_METHODS = [*known.MUTATORS.values(), *known.READERS.values()]


def _every(kind: Type) -> tuple[Type, Type]:
    """What adding all of a container's elements adds."""
    if plain(kind) in MAPPINGS or plain(kind) is collections.Counter:
        return element(kind), item(kind)
    if kind is UNSEEN:
        return UNSEEN, UNSEEN
    inner = element(kind)
    both = parts(inner)
    if plain(inner) is tuple and len(both) == 2 and both[1] is not Ellipsis:
        return join((inner, both[0])), join((inner, both[1]))  # pairs for a dictionary
    return inner, inner


def _widened(made: Type, key: Type, value: Type) -> Type:
    """The type of a container with more added."""
    cls = plain(made)
    if made is UNSEEN or made is Any:
        return made
    if cls is collections.Counter:
        held = parts(made)[0] if parts(made) else Any
        numbers = value is UNSEEN or all(each in (int, float, bool) for each in members(value))
        return holding(collections.Counter, join((held, key))) if parts(made) and numbers else cls
    if cls in MAPPINGS:
        first, second = parts(made) or (Any, Any)
        return holding(cls, join((first, key)), join((second, value)))
    if len(parts(made)) == 1:
        return holding(cls, join((parts(made)[0], value)))
    return made


_HARMLESS = known.PURE_BUILTINS | known.OUTPUT_BUILTINS | known.FRESH | known.PICKS


def _is_harmless(callee: Any) -> bool:
    """Whether a callee of a library leaves its arguments as they are."""
    if isinstance(callee, type):
        return is_record(callee) or not is_users(callee)
    return known.is_pure(callee) or any(callee is each for each in _HARMLESS)


def default_of(call: ast.expr, scope: Scope) -> Any:
    """The builtin type that a new `defaultdict` makes what is missing with; None if it is not one."""
    if (
        not isinstance(call, ast.Call)
        or scope.resolve(call.func) is not collections.defaultdict
        or not call.args
    ):
        return None
    factory = scope.resolve(call.args[0])
    return (
        factory if any(factory is each for each in (list, dict, set, int, float, str, bool, tuple)) else None
    )


def makes_plainly(value: ast.expr, scope: Scope) -> bool:
    """Whether a name stands only for `defaultdict`s made here that run no code for what is missing."""
    if not isinstance(value, ast.Name) or value.id in scope.params:
        return False
    bound = made = 0
    for node in scope.tree.nodes:
        bound += value.id in _bound_by(node)
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=call)
                | ast.AnnAssign(target=ast.Name(id=name), value=call)
            ):
                made += name == value.id and call is not None and default_of(call, scope) is not None
            case ast.Attribute(attr="default_factory"):
                return False
    return bound == made > 0


def _bound_by(node: ast.AST) -> set[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return {name}
    return set() if isinstance(node, ast.Name) else set(bound_by(node))


def _stores(target: ast.expr) -> Iterator[ast.Subscript]:
    """The subscripts that a target assigns."""
    for node in walk(target) if not isinstance(target, ast.Name) else ():
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield node


def _loaded(target: ast.expr) -> ast.expr:
    match target:
        case ast.Name(id=name):
            return ast.Name(name, ast.Load())
        case ast.Subscript(value=value, slice=key):
            return ast.Subscript(value, key, ast.Load())
        case ast.Attribute(value=value, attr=attr):
            return ast.Attribute(value, attr, ast.Load())
    return target
