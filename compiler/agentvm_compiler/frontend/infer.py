"""Types of expressions, as far as they can be told without running anything.

A type is a `typing` form (`list[str]`, a class) or `Any` for unknown. Sources
are literals, annotations (which are believed), tables of the library (`library`) and
what is added to containers (`contents`). One type a name for the whole function: a
name bound to two types is `Any`.

What types are for: a value of an immutable type can be neither mutated nor
aliased, and the methods of builtin types have known effects (see `alias`).
"""

from __future__ import annotations

import ast
import collections
import enum
import functools
import heapq
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from agentvm_compiler.calls import Agent, Tool, llm
from agentvm_compiler.human import is_human

from .callees import is_gather, written_method
from .choosing import choices
from .contents import DISPLAYS, Contents, default_of
from .declared import annotations_of, evaluate, given_by, module_annotations
from .kinds import MAPPINGS, UNSEEN, Type, element, holding, is_immutable, item, join, parts, plain
from .library import class_method_type, function_type, member_type, method_type
from .operations import combined, constant, elements, is_fixed, of_enum, sliced, type_of
from .records import ATOMS, has_fields, record_fields
from .scope import UNKNOWN, Scope, member_of, parameters
from .source import is_users
from .tree import BINDING, NESTED_SCOPES, Tree, bound_by, walk

ROUNDS = 24
"""More than chains of assignments in loops take in practice."""


_BINDING: tuple[type[ast.AST], ...] = (
    *(each for each in BINDING if each is not ast.Name),
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.NamedExpr,
    ast.For,
    ast.AsyncFor,
    ast.comprehension,
    ast.With,
    ast.AsyncWith,
    ast.Lambda,
)
"""What binds names, or holds names that are bound."""


class Types:
    """The types of one function's local names."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.names: dict[str, Type] = {}
        signature = annotations_of(scope.source.fn)
        self._declared = {name: signature.get(name, Any) for name in scope.params}
        self._declared.update(_self_type(scope))
        body = scope.source.tree.body
        self._nodes = list(_own_nodes(scope.tree, body, *_BINDING, ast.Call))
        self._binding = [each for each in self._nodes if not isinstance(each, ast.Call)]
        self._lambdas = self._lambda_parameters()
        self._spans = scope.tree.spans
        self._evaluated: dict[int, Any] = {}
        """What the annotations and the types of handlers stand for, by identity."""
        self._declares: dict[int, Type] = {}
        """What calls of the model, tools and agents give, by identity: types of names do not matter."""
        self._caught = dict(self._caught_names())
        self._told: dict[int, tuple[set[str], list[tuple[ast.expr, Type]]]] = {}
        """What nodes bind, by identity, with the names that this follows from."""
        self._asked: set[str] = set()
        """The names whose types were asked for."""
        self._settled = False
        self._found: dict[int, Type] = {}
        """Types of the nodes of the tree, by identity, once those of names are settled."""
        self.contents = Contents(scope, self)
        self._solve()
        if not self.contents.is_trustworthy():
            self.contents.trusted = False
            self._solve()

    def _solve(self) -> None:
        """Go over all bindings until nothing changes: each type then follows from the others."""
        self._settled = False
        self._found.clear()
        self._told.clear()
        self.names, before = {}, None
        changed: Set[str] = frozenset()
        for _ in range(ROUNDS):
            before, self.names = self.names, self._round(changed)
            old = before.get
            changed = {name for name, new in self.names.items() if old(name) is not new and old(name) != new}
            if not changed:
                break
        if self.names != before:  # what is not settled is unknown, and so is all that may follow from it
            self.names = dict(self._declared)
        self.names = {name: Any if kind is UNSEEN else kind for name, kind in self.names.items()}
        self._settled = True

    def _round(self, changed: Set[str]) -> dict[str, Type]:
        """The types of names by those of the round before.

        Args:
            changed: names whose types were others in the round before that.
        """
        found: dict[str, list[Type]] = {name: [kind] for name, kind in self._declared.items()}
        for node in self._binding:
            told = self._told.get(id(node))
            if told is None or not changed.isdisjoint(told[0]):
                self._asked = set()
                told = self._told[id(node)] = self._asked, self._bindings(node)
            for target, kind in told[1]:
                self._bind(found, target, kind)
        types_of_names = {name: join(kinds) for name, kinds in found.items()}
        types_of_names.update({name: self.contents.held(name) for name in self.contents.private})
        return types_of_names

    def _bindings(self, node: ast.AST) -> list[tuple[ast.expr, Type]]:
        match node:
            case ast.Assign():
                return [(target, self.of(node.value)) for target in node.targets]
            case ast.AnnAssign():
                declared = self._evaluate(node.annotation)
                return [(node.target, Any if declared is UNKNOWN else declared)]
            case ast.AugAssign():
                return [(node.target, self.of(ast.BinOp(_loaded(node.target), node.op, node.value)))]
            case ast.NamedExpr():
                return [(node.target, self.of(node.value))]
            case ast.For() | ast.comprehension():
                return [(node.target, self._run_over(node.iter))]
            case ast.ExceptHandler(name=str(name)):
                return [(_stored(name), self._handled(node))]
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                return [(_stored(name), Any)]
            case ast.MatchMapping(rest=str(name)):
                return [(_stored(name), Any)]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return [(_stored(name), Any) for name in _names_inside(node)]
            case ast.Import() | ast.ImportFrom():
                names = [each.asname or each.name.partition(".")[0] for each in node.names]
                return [(_stored(name), types.ModuleType) for name in names]
            case ast.With() | ast.AsyncWith():
                return [(item.optional_vars, Any) for item in node.items if item.optional_vars]
            case ast.AsyncFor():
                return [(node.target, Any)]
            case ast.Lambda():
                given = self._lambdas.get(id(node), lambda: ())()
                kinds = [*given, *(Any for _ in parameters(node)[len(given) :])]
                return [(_stored(name), kind) for name, kind in zip(parameters(node), kinds, strict=False)]
        return []

    def _bind(self, found: dict[str, list[Type]], target: ast.expr, kind: Type) -> None:
        if isinstance(target, ast.Name):
            found.setdefault(target.id, []).append(kind)
        elif isinstance(target, ast.Starred):
            self._bind(found, target.value, list)
        elif isinstance(target, ast.Tuple | ast.List):
            held = elements(kind)
            exact = len(held) == len(target.elts) and not any(
                isinstance(each, ast.Starred) for each in target.elts
            )
            for index, each in enumerate(target.elts):
                self._bind(found, each, held[index] if exact else element(kind))

    def _handled(self, handler: ast.ExceptHandler) -> Type:
        """What a handler catches."""
        if handler.type is None or self.scope.tree.every(ast.TryStar):  # there it is a group
            return Any
        caught = self._evaluate(handler.type)
        return caught if isinstance(caught, type) else Any

    def _evaluate(self, expression: ast.expr) -> Any:
        """The object behind a type expression of the tree; UNKNOWN if that cannot be told."""
        if id(expression) not in self._evaluated:
            self._evaluated[id(expression)] = evaluate(expression, self.scope)
        return self._evaluated[id(expression)]

    def _caught_names(self) -> Iterator[tuple[int, Type]]:
        """Where the name of a handler is read in it: the node, and what the handler catches."""
        for handler in self._nodes:
            if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
                continue
            inside = list(_own_nodes(self.scope.tree, handler.body, *BINDING))
            if any(handler.name in bound_by(each) for each in inside):
                continue
            for node in inside:
                if isinstance(node, ast.Name) and node.id == handler.name:
                    yield id(node), self._handled(handler)

    def _lambda_parameters(self) -> Mapping[int, Callable[[], Sequence[Type]]]:
        """For lambdas handed to the library: how to tell what they are called with."""
        if not self.scope.tree.every(ast.Lambda):
            return {}
        return {
            id(each): given
            for node in self._nodes
            if isinstance(node, ast.Call)
            for each, given in self._called_with(node)
            if not each.args.defaults and not each.args.kwonlyargs and not each.args.vararg
        }

    def _called_with(self, call: ast.Call) -> Iterator[tuple[ast.Lambda, Callable[[], Sequence[Type]]]]:
        callee = self.scope.resolve(call.func)
        args = call.args
        if any(isinstance(each, ast.Starred) for each in args):
            return
        keyed = [
            each.value for each in call.keywords if each.arg == "key" and isinstance(each.value, ast.Lambda)
        ]
        first = args[0] if args and isinstance(args[0], ast.Lambda) else None
        for key in keyed:
            if callee is sorted or callee is itertools.groupby or (callee in _PICKERS and len(args) == 1):
                yield key, lambda: (element(self.of(args[0])),)
            elif callee in _PICKERS:
                yield key, lambda: (join(map(self.of, args)),)
            elif callee in _LARGEST and len(args) > 1:
                yield key, lambda: (element(self.of(args[1])),)
            elif isinstance(call.func, ast.Attribute) and call.func.attr == "sort":
                yield key, functools.partial(self._sorted, call.func.value)
        if first is not None and callee in _APPLYING:
            yield first, lambda: [element(self.of(each)) for each in args[1:]]
        elif first is not None and callee is functools.reduce and len(args) > 1:
            body = first.body
            yield first, lambda: (self._reduced(body, args), element(self.of(args[1])))
        elif callee is re.sub and len(args) > 2 and isinstance(args[1], ast.Lambda):
            yield args[1], lambda: (re.Match[str] if plain(self.of(args[2])) is str else Any,)

    def _sorted(self, container: ast.expr) -> Sequence[Type]:
        kind = self.of(container)
        return (element(kind) if plain(kind) is list else Any,)

    def _reduced(self, body: ast.expr, args: list[ast.expr]) -> Type:
        start = [self.of(each) for each in args[2:]]
        return join([self.of(body), element(self.of(args[1])), *start])

    # -- expressions -------------------------------------------------------------------

    def of(self, expression: ast.expr) -> Type:
        """The type of an expression; Any if unknown."""
        known = self._found.get(id(expression))
        if known is not None:
            return known
        find = _FINDERS.get(type(expression))
        found = Any if find is None else find(self, expression)
        if self._settled and id(expression) in self._spans:
            self._found[id(expression)] = found
        return found

    def _name(self, name: ast.Name) -> Type:
        if id(name) in self._caught:
            return self._caught[id(name)]
        if name.id in self.scope.shadowed:
            self._asked.add(name.id)
            return self.names.get(name.id, Any if self._settled else UNSEEN)
        return self._global(name.id)

    def _tuple(self, display: ast.Tuple) -> Type:
        if any(isinstance(each, ast.Starred) for each in display.elts):
            return holding(tuple, join(map(self._unpacked, display.elts)), ...)
        return holding(tuple, *map(self.of, display.elts))

    def _unary(self, operation: ast.UnaryOp) -> Type:
        return bool if isinstance(operation.op, ast.Not) else self.of(operation.operand)

    def _compared(self, comparison: ast.Compare) -> Type:
        simple = (ast.Is, ast.IsNot, ast.In, ast.NotIn)
        if all(isinstance(each, simple) for each in comparison.ops):
            return bool
        sides = [comparison.left, *comparison.comparators]
        return bool if any(is_immutable(self.of(each)) for each in sides) else Any

    def _awaited(self, awaiting: ast.Await) -> Type:
        if id(awaiting.value) in self._declares:
            return self._declares[id(awaiting.value)]
        if is_gather(awaiting.value, self.scope):
            return self._as_trusted(self._gathered(awaiting.value), awaiting)
        return self.of(awaiting.value)

    def _item(self, subscript: ast.Subscript) -> Type:
        found = self._subscript(subscript)
        return self._as_trusted(found, subscript) if isinstance(subscript.slice, ast.Slice) else found

    def _displayed(self, display: ast.expr) -> Type:
        return self._as_trusted(self.made(display, empty=Any), display)

    def _as_trusted(self, kind: Type, expression: ast.expr) -> Type:
        """The type of a new container, without what it holds now where that may change unseen."""
        if self.contents.trusted or plain(kind) not in CHANGING:
            return kind
        callee = self.scope.resolve(expression.func) if isinstance(expression, ast.Call) else None
        declared = callee is llm or isinstance(callee, Tool | Agent) or is_users(callee)
        return kind if declared else plain(kind)

    def _run_over(self, iterable: ast.expr) -> Type:
        """What a loop takes from its iterable: of a container that has no name, what it is made of."""
        if isinstance(iterable, ast.Call):
            return element(self._call(iterable))
        return element(self.of(iterable))

    def made(self, expression: ast.expr, empty: Type = UNSEEN) -> Type:
        """The type of a container as it is made; more may be added.

        Args:
            empty: the element type of an empty one.
        """
        match expression:
            case ast.List():
                held = join(map(self._unpacked, expression.elts)) if expression.elts else empty
                return holding(list, held)
            case ast.Set():
                return holding(set, join(map(self._unpacked, expression.elts)))
            case ast.Dict():
                pairs = list(zip(expression.keys, expression.values, strict=True))
                keys = [element(self.of(value)) if key is None else self.of(key) for key, value in pairs]
                values = [item(self.of(value)) if key is None else self.of(value) for key, value in pairs]
                return holding(dict, join(keys) if keys else empty, join(values) if values else empty)
            case ast.ListComp():
                return holding(list, self.of(expression.elt))
            case ast.SetComp():
                return holding(set, self.of(expression.elt))
            case ast.DictComp():
                return holding(dict, self.of(expression.key), self.of(expression.value))
            case ast.Call(args=[], keywords=[]):
                cls = self.scope.resolve(expression.func)
                if cls in MAPPINGS:
                    return holding(cls, empty, empty)
                return holding(cls, empty) if cls in CHANGING else self._call(expression)
            case ast.Call(args=[_], keywords=[]) if (
                default := default_of(expression, self.scope)
            ) is not None:
                return holding(collections.defaultdict, empty, default)
            case ast.Call():
                return self._call(expression)
        return Any

    def _unpacked(self, part: ast.expr) -> Type:
        """The type of an element of a display."""
        return element(self.of(part.value)) if isinstance(part, ast.Starred) else self.of(part)

    def _global(self, name: str) -> Type:
        """The type of a name that is not local: as its module declares it, or as it is."""
        value = self.scope.lookup(name)
        if value is UNKNOWN:
            return Any
        declared = module_annotations(self.scope.globals.get("__name__")).get(name, Any)
        if name in self.scope.cells or plain(declared) not in (type(value), *MAPPINGS, Sequence):
            return type_of(value)
        given = plain(declared) is type(value) or isinstance(value, plain(declared))
        return declared if given else type_of(value)

    def _binary(self, expression: ast.BinOp) -> Type:
        left, right = self.of(expression.left), self.of(expression.right)
        if UNSEEN in (left, right):
            return UNSEEN
        return combined(expression.op, left, right)

    def _attribute(self, expression: ast.Attribute) -> Type:
        kind = self.of(expression.value)
        owner = plain(kind)
        if owner is UNSEEN:
            return UNSEEN
        if isinstance(owner, type) and issubclass(owner, enum.Enum):
            return of_enum(owner, expression.attr)
        getter = member_of(owner, expression.attr) if isinstance(owner, type) else None
        if isinstance(getter, property) and isinstance(getter.fget, types.FunctionType):
            return annotations_of(getter.fget).get("return", Any)
        if has_fields(owner):
            return record_fields(owner).get(expression.attr, Any)
        value = self.scope.resolve(expression)
        if value is not UNKNOWN:
            return type_of(value)
        is_data = isinstance(owner, type) and not callable(getattr(owner, expression.attr, None))
        return member_type(kind, expression.attr) if is_data else Any

    def _subscript(self, expression: ast.Subscript) -> Type:
        kind = self.of(expression.value)
        cls, arguments = plain(kind), parts(kind)
        if kind is UNSEEN:
            return UNSEEN
        if isinstance(expression.slice, ast.Slice):
            return kind if cls in (list, str, tuple, bytes) and not is_fixed(kind) else sliced(kind)
        if cls in MAPPINGS or cls is collections.Counter:
            return item(kind)
        index = constant(expression.slice)
        if typing.is_typeddict(cls):
            return record_fields(cls).get(str(index), Any)
        held = elements(kind)
        if isinstance(index, int) and -len(held) <= index < len(held):
            return held[index]
        if cls is re.Match:
            return str | None if arguments == (str,) else Any
        return element(kind) if cls in (list, str, tuple, bytes, Sequence, collections.deque) else Any

    def _call(self, expression: ast.Call) -> Type:
        callee = self.scope.resolve(expression.func)
        if callee is llm or is_human(callee):
            asked = next((each.value for each in expression.keywords if each.arg == "returns"), None)
            kind = str if asked is None else evaluate(asked, self.scope)
            kind = Any if kind is UNKNOWN else kind
            return self._declared_by(expression, kind) if callee is llm else kind
        if isinstance(callee, Tool | Agent):
            return self._declared_by(expression, annotations_of(callee.fn).get("return", Any))
        if callee is UNKNOWN and (options := choices(expression, self.scope)):
            return join(annotations_of(getattr(each, "fn", each)).get("return", Any) for each in options)
        if ast.Starred in map(type, expression.args):
            kinds: list[Type] = []  # nothing is known of how many there are
        else:
            kinds = [self.of(each) for each in expression.args]
        keywords = {each.arg: self.of(each.value) for each in expression.keywords if each.arg}
        if callee is UNKNOWN and isinstance(expression.func, ast.Attribute):
            return self._method(expression.func, kinds, keywords)
        if callee is map and len(kinds) > 1:
            return holding(Iterator, self._applied(expression.args[0], kinds[1:]))
        if callee is functools.reduce and len(kinds) > 1:
            by = self._applied(expression.args[0], [])
            return join([by, element(kinds[1]), *kinds[2:]])
        if kinds or not expression.args:
            found = function_type(callee, kinds, keywords)
            if found is not Any:
                return found
        if callee is type and len(kinds) == 1:
            return type
        if isinstance(callee, type) and not is_users(type(callee)):
            made_otherwise = is_users(member_of(callee, "__new__")) and not issubclass(callee, enum.Enum)
            return Any if made_otherwise or callee in (object, type) else callee
        if isinstance(callee, types.FunctionType | functools._lru_cache_wrapper):
            return annotations_of(callee).get("return", Any)
        return Any

    def _declared_by(self, call: ast.Call, kind: Type) -> Type:
        if id(call) in self._spans:
            self._declares[id(call)] = kind
        return kind

    def _applied(self, function: ast.expr, kinds: Sequence[Type]) -> Type:
        """What a function that is handed on gives."""
        if isinstance(function, ast.Lambda):
            return self.of(function.body)
        callee = self.scope.resolve(function)
        if isinstance(callee, types.FunctionType) and is_users(callee):
            return annotations_of(callee).get("return", Any)
        found = function_type(callee, [element(each) for each in kinds], {})
        return callee if found is Any and isinstance(callee, type) and issubclass(callee, ATOMS) else found

    def _gathered(self, gather: ast.expr) -> Type:
        """`asyncio.gather` gives a list."""
        assert isinstance(gather, ast.Call)
        kinds = [
            element(self.of(each.value)) if isinstance(each, ast.Starred) else self.of(each)
            for each in gather.args
        ]
        if gather.keywords:  # `return_exceptions`
            kinds.append(BaseException)
        return holding(list, join(kinds))

    def _method(self, method: ast.Attribute, kinds: Sequence[Type], keywords: Mapping[str, Type]) -> Type:
        owner = self.scope.resolve(method.value)
        if isinstance(owner, type):
            found = member_of(owner, method.attr)
            if isinstance(found, classmethod) and is_users(found.__func__):
                return given_by(found.__func__, owner)
            return class_method_type(owner, method.attr, kinds, keywords)
        kind = self.of(method.value)
        if kind is UNSEEN:
            return UNSEEN
        function = written_method(plain(kind), method.attr)
        if function is not None and is_users(function):
            return given_by(function, kind)
        if is_users(member_of(plain(kind), method.attr) if isinstance(plain(kind), type) else None):
            return Any
        return method_type(kind, method.attr, kinds)


CHANGING: tuple[Any, ...] = (list, dict, set)
CHANGING += (collections.Counter, collections.deque, collections.OrderedDict, collections.defaultdict)
"""Containers whose elements may change."""

_FINDERS: dict[type[ast.AST], Callable[[Types, Any], Type]] = {
    ast.Constant: lambda _, each: type(each.value),
    ast.JoinedStr: lambda _, each: str,
    ast.Name: Types._name,
    ast.Tuple: Types._tuple,
    ast.GeneratorExp: lambda types, each: holding(Iterator, types.of(each.elt)),
    ast.UnaryOp: Types._unary,
    ast.Compare: Types._compared,
    ast.BoolOp: lambda types, each: join(map(types.of, each.values)),
    ast.IfExp: lambda types, each: join((types.of(each.body), types.of(each.orelse))),
    ast.BinOp: lambda types, each: types._as_trusted(types._binary(each), each),
    ast.Await: Types._awaited,
    ast.NamedExpr: lambda types, each: types.of(each.value),
    ast.Attribute: Types._attribute,
    ast.Subscript: Types._item,
    ast.Call: lambda types, each: types._as_trusted(types._call(each), each),
    **dict.fromkeys(DISPLAYS, Types._displayed),
}
"""How the type of each kind of expression is told; of others nothing is known."""

_PICKERS = (min, max)
_LARGEST = (heapq.nlargest, heapq.nsmallest)
_APPLYING = (map, filter, itertools.takewhile, itertools.dropwhile, itertools.filterfalse)


def _own_nodes(tree: Tree, body: list[ast.stmt], *types: type[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of some types in a body, with the insides of its lambdas, without nested functions'."""
    number, last = tree.span(body[0])[0], tree.span(body[-1])[1]
    for each, node in tree.numbered(*types, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
        if number <= each < last:
            if isinstance(node, NESTED_SCOPES) and not isinstance(node, ast.Lambda):
                number = tree.span(node)[1]
            if isinstance(node, types):
                yield node


def _names_inside(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    """The name of a nested function or class, and those it binds itself: they may be the function's, too."""
    inside = walk(node)
    given = {each.arg for each in inside if isinstance(each, ast.arg)}
    return {*given, *(name for each in inside for name in bound_by(each))}


def _self_type(scope: Scope) -> dict[str, Type]:
    """The type of a method's own instance, where it is not annotated."""
    fn = scope.source.fn
    owner = scope.globals.get(fn.__qualname__.rpartition(".")[0])
    if not isinstance(owner, type) or vars(owner).get(fn.__name__) is not fn or not scope.params:
        return {}
    return {} if scope.params[0] in fn.__annotations__ else {scope.params[0]: owner}


def _loaded(target: ast.expr) -> ast.expr:
    return ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name) else target


def _stored(name: str) -> ast.expr:
    return ast.Name(name, ast.Store())
