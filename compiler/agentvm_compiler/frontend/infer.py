"""Types of expressions, as far as they can be told without running anything.

A type is a `typing` form (`list[str]`, a class) or `Any` for unknown. Sources
are literals, annotations (which are believed) and a table of builtins. One type
a name for the whole function: a name bound to two types is `Any`.

What types are for: a value of an immutable type can be neither mutated nor
aliased, and the methods of builtin types have known effects (see `alias`).
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import heapq
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from agentvm_compiler.calls import Agent, Tool, llm

from .callees import is_gather
from .kinds import (
    ATOMS,
    UNSEEN,
    Type,
    element,
    has_fields,
    is_immutable,
    is_record,
    join,
    plain,
    record_fields,
)
from .scope import UNKNOWN, Scope
from .tree import BINDING

_RETURNS: Mapping[Any, Type] = {
    len: int,
    str: str,
    repr: str,
    int: int,
    float: float,
    bool: bool,
    bytes: bytes,
    abs: float,
    round: float,
    range: range,
    isinstance: bool,
    issubclass: bool,
    callable: bool,
    hasattr: bool,
    any: bool,
    all: bool,
    ord: int,
    chr: str,
    hash: int,
    id: int,
    format: str,
    ascii: str,
    hex: str,
}

_STR_METHODS: Mapping[str, Type] = {
    **dict.fromkeys(("split", "rsplit", "splitlines"), list[str]),
    **dict.fromkeys(("partition", "rpartition"), tuple[str, str, str]),
    **dict.fromkeys(("find", "rfind", "index", "rindex", "count"), int),
    "encode": bytes,
}


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
)
"""What binds names, or holds names that are bound."""


class Types:
    """The types of one function's local names."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.names: dict[str, Type] = {}
        signature = _annotations(scope.source.fn)
        self._declared = {name: signature.get(name, Any) for name in scope.params}
        self._settled = False
        before: dict[str, Type] = {}
        for _ in range(8):  # enough for chains of assignments in loops; the rest stays Any
            before, self.names = self.names, self._round()
            if self.names == before:
                break
        self.names = {
            name: kind if before.get(name) == kind and kind is not UNSEEN else Any
            for name, kind in self.names.items()
        }
        self._settled = True

    def _round(self) -> dict[str, Type]:
        found: dict[str, list[Type]] = {name: [kind] for name, kind in self._declared.items()}
        for node in self.scope.tree.every(*_BINDING, nested=False):
            for target, kind in self._bindings(node):
                self._bind(found, target, kind)
        return {name: join(kinds) for name, kinds in found.items()}

    def _bindings(self, node: ast.AST) -> list[tuple[ast.expr, Type]]:
        match node:
            case ast.Assign():
                return [(target, self.of(node.value)) for target in node.targets]
            case ast.AnnAssign():
                declared = evaluate(node.annotation, self.scope)
                return [(node.target, Any if declared is UNKNOWN else declared)]
            case ast.AugAssign():
                return [(node.target, self.of(ast.BinOp(_loaded(node.target), node.op, node.value)))]
            case ast.NamedExpr():
                return [(node.target, self.of(node.value))]
            case ast.For() | ast.comprehension():
                return [(node.target, element(self.of(node.iter)))]
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                return [(ast.Name(name, ast.Store()), Any)]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return [(ast.Name(node.name, ast.Store()), Any)]
            case ast.Import() | ast.ImportFrom():
                names = [each.asname or each.name.partition(".")[0] for each in node.names]
                return [(ast.Name(name, ast.Store()), types.ModuleType) for name in names]
            case ast.With() | ast.AsyncWith():
                return [(item.optional_vars, Any) for item in node.items if item.optional_vars]
            case ast.AsyncFor():
                return [(node.target, Any)]
        return []

    def _bind(self, found: dict[str, list[Type]], target: ast.expr, kind: Type) -> None:
        if isinstance(target, ast.Name):
            found.setdefault(target.id, []).append(kind)
        elif isinstance(target, ast.Starred):
            self._bind(found, target.value, list)
        elif isinstance(target, ast.Tuple | ast.List):
            arguments = get_args(kind)
            origin: Any = get_origin(kind)
            exact = origin is tuple and len(arguments) == len(target.elts)
            for index, each in enumerate(target.elts):
                self._bind(found, each, arguments[index] if exact else element(kind))

    def of(self, expression: ast.expr) -> Type:
        """The type of an expression; Any if unknown."""
        match expression:
            case ast.Constant():
                return type(expression.value)
            case ast.JoinedStr():
                return str
            case ast.Name():
                if expression.id in self.scope.shadowed:
                    return self.names.get(expression.id, Any if self._settled else UNSEEN)
                value = self.scope.lookup(expression.id)
                return Any if value is UNKNOWN else type(value)
            case ast.List() | ast.Set():
                of = join(self.of(each) for each in expression.elts) if expression.elts else Any
                return list[of] if isinstance(expression, ast.List) else set[of]  # type: ignore[valid-type]
            case ast.Tuple() if not any(isinstance(each, ast.Starred) for each in expression.elts):
                parts = tuple(self.of(each) for each in expression.elts)
                return tuple[parts]  # type: ignore[valid-type]
            case ast.Dict():
                values = join(self.of(each) for each in expression.values) if expression.values else Any
                return dict[Any, values]  # type: ignore[valid-type]
            case ast.ListComp() | ast.GeneratorExp():
                return list[self.of(expression.elt)]  # type: ignore[misc]
            case ast.SetComp():
                return set[self.of(expression.elt)]  # type: ignore[misc]
            case ast.DictComp():
                return dict[self.of(expression.key), self.of(expression.value)]  # type: ignore[misc]
            case ast.UnaryOp(op=ast.Not()):
                return bool
            case ast.Compare():
                sides = [expression.left, *expression.comparators]
                simple = (ast.Is, ast.IsNot, ast.In, ast.NotIn)
                plainly = all(isinstance(each, simple) for each in expression.ops)
                return bool if plainly or any(is_immutable(self.of(each)) for each in sides) else Any
            case ast.UnaryOp():
                return self.of(expression.operand)
            case ast.BoolOp():
                return join(self.of(each) for each in expression.values)
            case ast.IfExp():
                return join((self.of(expression.body), self.of(expression.orelse)))
            case ast.BinOp():
                return self._binary(expression)
            case ast.Await() if is_gather(expression.value, self.scope):
                return self._gathered(expression.value)
            case ast.NamedExpr() | ast.Await():
                return self.of(expression.value)
            case ast.Attribute():
                return self._attribute(expression)
            case ast.Subscript():
                return self._subscript(expression)
            case ast.Call():
                return self._call(expression)
        return Any

    def _binary(self, expression: ast.BinOp) -> Type:
        left, right = self.of(expression.left), self.of(expression.right)
        if UNSEEN in (left, right):
            return UNSEEN
        numbers = (int, float, bool)
        if left in numbers and right in numbers:
            return float if float in (left, right) or isinstance(expression.op, ast.Div) else int
        if plain(left) is str and (isinstance(expression.op, ast.Mod) or plain(right) in (str, int)):
            return str
        if plain(left) is list and plain(right) is list:
            return left if left == right else list
        return Any

    def _attribute(self, expression: ast.Attribute) -> Type:
        owner = plain(self.of(expression.value))
        if owner is UNSEEN:
            return UNSEEN
        if isinstance(owner, type) and issubclass(owner, enum.Enum) and expression.attr in ("name", "value"):
            return str if expression.attr == "name" or issubclass(owner, str) else Any
        if has_fields(owner):
            return record_fields(owner).get(expression.attr, Any)
        value = self.scope.resolve(expression)
        return Any if value is UNKNOWN else type(value)

    def _subscript(self, expression: ast.Subscript) -> Type:
        kind = self.of(expression.value)
        cls, arguments = plain(kind), get_args(kind)
        if kind is UNSEEN:
            return UNSEEN
        if isinstance(expression.slice, ast.Slice):
            return kind if cls in (list, str, tuple, bytes) else Any
        if cls in (dict, Mapping) and len(arguments) == 2:
            return arguments[1]
        if isinstance(expression.slice, ast.Constant) and typing.is_typeddict(cls):
            return record_fields(cls).get(str(expression.slice.value), Any)
        index = expression.slice.value if isinstance(expression.slice, ast.Constant) else None
        if cls is tuple and isinstance(index, int) and -len(arguments) <= index < len(arguments):
            return arguments[index]
        return element(kind) if cls in (list, str, tuple, Sequence) else Any

    def _call(self, expression: ast.Call) -> Type:
        callee = self.scope.resolve(expression.func)
        arguments = expression.args
        if callee is llm:
            asked = next((each.value for each in expression.keywords if each.arg == "returns"), None)
            kind = str if asked is None else evaluate(asked, self.scope)
            return Any if kind is UNKNOWN else kind
        if isinstance(callee, Tool | Agent):
            return _annotations(callee.fn).get("return", Any)
        if callee is not UNKNOWN and _hashable(callee) and callee in _RETURNS:
            return _RETURNS[callee]
        if callee in (sorted, list, reversed) and arguments:
            return list[element(self.of(arguments[0]))]  # type: ignore[misc]
        if callee is enumerate and arguments:
            return list[tuple[int, element(self.of(arguments[0]))]]  # type: ignore[misc]
        if callee is zip and arguments:
            parts = tuple(element(self.of(each)) for each in arguments)
            return list[tuple[parts]]  # type: ignore[valid-type]
        if callee is dataclasses.replace and arguments:
            return self.of(arguments[0])
        if callee in (heapq.nlargest, heapq.nsmallest) and len(arguments) > 1:
            return list[element(self.of(arguments[1]))]  # type: ignore[misc]
        if getattr(callee, "__self__", None) is dict and arguments:  # dict.fromkeys
            return dict[element(self.of(arguments[0])), Any]  # type: ignore[misc]
        if callee in (min, max) and len(arguments) == 1:
            return element(self.of(arguments[0]))
        if callee in (dict, set, tuple, list, frozenset) or is_record(callee):
            return callee
        if isinstance(callee, type) and type(callee) is type:
            return callee
        if isinstance(callee, type) and issubclass(callee, ATOMS):
            return callee
        if isinstance(callee, types.FunctionType):
            return _annotations(callee).get("return", Any)
        if isinstance(expression.func, ast.Attribute):
            return self._method(expression.func)
        return Any

    def _gathered(self, gather: ast.expr) -> Type:
        """`asyncio.gather` gives a list."""
        assert isinstance(gather, ast.Call)
        kinds = [
            element(self.of(each.value)) if isinstance(each, ast.Starred) else self.of(each)
            for each in gather.args
        ]
        if gather.keywords:  # `return_exceptions`
            kinds.append(BaseException)
        return list[join(kinds)]  # type: ignore[misc]

    def _method(self, method: ast.Attribute) -> Type:
        kind = self.of(method.value)
        cls, arguments = plain(kind), get_args(kind)
        if kind is UNSEEN:
            return UNSEEN
        if cls is str:
            bool_like = method.attr.startswith(("is", "startswith", "endswith"))
            return bool if bool_like else _STR_METHODS.get(method.attr, str)
        if cls is dict and len(arguments) == 2:
            key, value = arguments
            if method.attr in ("get", "pop", "setdefault"):
                return value if not is_immutable(value) else join((value, type(None)))
            found: dict[str, Type] = {
                "keys": list[key],  # type: ignore[valid-type]
                "values": list[value],  # type: ignore[valid-type]
                "items": list[tuple[key, value]],  # type: ignore[valid-type]
                "copy": kind,
            }
            return found.get(method.attr, Any)
        if cls is list:
            in_list: dict[str, Type] = {"pop": element(kind), "index": int, "count": int, "copy": kind}
            return in_list.get(method.attr, Any)
        return Any


def evaluate(expression: ast.expr, scope: Scope) -> Any:
    """The object a type expression stands for, where all its names are known; else UNKNOWN."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and scope.lookup(node.id) is UNKNOWN:
            return UNKNOWN
        if not isinstance(
            node,
            ast.Name
            | ast.Attribute
            | ast.Subscript
            | ast.Constant
            | ast.Tuple
            | ast.List
            | ast.BinOp
            | ast.BitOr
            | ast.expr_context
            | ast.Call
            | ast.keyword,
        ):
            return UNKNOWN
    try:
        code = compile(ast.Expression(expression), scope.source.file, "eval")
        return eval(code, scope.globals, dict(scope.cells))
    except Exception:  # whatever it is, it will show when the program runs
        return UNKNOWN


def _annotations(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except Exception:
        return {}


def _loaded(target: ast.expr) -> ast.expr:
    return ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name) else target


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
