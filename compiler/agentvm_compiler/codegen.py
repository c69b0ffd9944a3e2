"""Code generation: the code of a node as a Python function of its operands.

The code sees the agent's module globals, live, and the values its closure had
when the agent was compiled. Tracebacks show the agent's own file and lines.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .ir import UNBOUND, Kind, Node, base

Evaluate = Callable[[Sequence[Any]], Any]
"""Takes the operands' values. For a call node it returns `(callee, args, kwargs)`, otherwise
a tuple of the results, or an awaitable of it (`traced`)."""


@dataclass(slots=True)
class Namespace:
    """Where the code of one program runs."""

    fn: Callable[..., Any]
    globals: dict[str, Any]
    cells: Mapping[str, Any]
    file: str
    _functions: dict[tuple[str, frozenset[str]], Callable[..., Any]] = field(default_factory=dict)

    def evaluator(self, node: Node) -> Evaluate:
        """The function of a node with code."""
        if node.attrs.get("whole"):
            return self._whole(node)
        names = [base(each) for each in node.operands]
        usual = self._function(node, frozenset())

        def evaluate(values: Sequence[Any]) -> Any:
            if any(value is UNBOUND for value in values):
                missing = frozenset(n for n, value in zip(names, values, strict=True) if value is UNBOUND)
                return self._function(node, missing)(*(value for value in values if value is not UNBOUND))
            return usual(*values)

        return evaluate

    def _whole(self, node: Node) -> Evaluate:
        names = [base(each) for each in node.operands]

        async def evaluate(values: Sequence[Any]) -> tuple[Any, ...]:
            return (await call_by_name(self.fn, dict(zip(names, values, strict=True))),)

        return evaluate

    def _function(self, node: Node, missing: frozenset[str]) -> Callable[..., Any]:
        key = (node.site, missing)
        if key not in self._functions:
            self._functions[key] = _build(node, self, missing)
        return self._functions[key]


def call_by_name(fn: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Call a function with all its parameters by name, `*args` and `**kwargs` included."""
    bound = inspect.BoundArguments(inspect.signature(fn), OrderedDict(values))
    return fn(*bound.args, **bound.kwargs)


def _build(node: Node, namespace: Namespace, missing: frozenset[str]) -> Callable[..., Any]:
    names = [base(each) for each in node.operands]
    parsed = ast.parse(node.code)
    plain = node.kind in (Kind.PYTHON, Kind.TRACED)
    body = _statements(parsed.body, node) if plain else [_call(parsed.body[0])]
    local = [ast.parse(f"if 0: {each} = None").body[0] for each in [*node.attrs.get("unbound", ()), *missing]]
    maker = ast.AsyncFunctionDef if node.kind is Kind.TRACED else ast.FunctionDef
    inner = maker(
        name="__block__",  # the agent's own name would hide the agent from its code
        args=_arguments([each for each in names if each not in missing]),
        body=[*local, *body],
        decorator_list=[],
    )
    helpers = {"__avm_results__": _collector(node), "__avm_locals__": locals, "__avm_call__": _as_parts}
    closure = {**namespace.cells, **helpers}
    outer = ast.FunctionDef(
        name="__outer__",
        args=_arguments(list(closure)),
        body=[inner, ast.Return(ast.Name("__block__", ast.Load()))],
        decorator_list=[],
    )
    module = ast.fix_missing_locations(ast.Module([outer], []))
    _place(module, max(0, node.span.line - 1))
    made: dict[str, Any] = {}
    exec(compile(module, namespace.file, "exec"), namespace.globals, made)
    function: types.FunctionType = made["__outer__"](**closure)
    function.__code__ = function.__code__.replace(
        co_name=namespace.fn.__name__, co_qualname=namespace.fn.__qualname__
    )
    return function


def _place(tree: ast.AST, lines: int) -> None:
    """Move the tree down to its lines in the file; columns are those of other text, so they go."""
    for each in ast.walk(tree):
        if hasattr(each, "lineno"):
            each.lineno = each.end_lineno = each.lineno + lines  # type: ignore[attr-defined]
            each.col_offset = each.end_col_offset = 0  # type: ignore[attr-defined]


def _arguments(names: list[str]) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(each) for each in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )


def _call(statement: ast.stmt) -> ast.stmt:
    """`f(a, k=b)` -> `return __avm_call__(f, a, k=b)`."""
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    call = statement.value
    parts = ast.Call(ast.Name("__avm_call__", ast.Load()), [call.func, *call.args], call.keywords)
    return ast.Return(ast.copy_location(parts, call))


def _as_parts(callee: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    return callee, args, kwargs


def _collector(node: Node) -> Callable[..., tuple[Any, ...]]:
    names = [base(each) for each in node.results]
    exits = bool(node.attrs.get("exits"))
    kept = names[2:] if exits else names

    def collect(variables: Mapping[str, Any], reason: str | None, value: Any) -> tuple[Any, ...]:
        results = tuple(variables.get(each, UNBOUND) for each in kept)
        return (reason, value, *results) if exits else results

    return collect


def _statements(statements: list[ast.stmt], node: Node) -> list[ast.stmt]:
    """The statements with their exits turned into results."""
    guarded = any(
        isinstance(each, ast.Try | ast.TryStar | ast.With | ast.AsyncWith)
        for statement in statements
        for each in ast.walk(statement)
    )
    if node.attrs.get("exits") and guarded:
        return _in_function(statements, node)
    rewritten = [part for each in statements for part in _listed(_Exits(_leave).visit(each))]
    return [*rewritten, *_leave("None", ast.Constant(None))]


def _in_function(statements: list[ast.stmt], node: Node) -> list[ast.stmt]:
    """The statements as a function of their own, so that `finally` is done before results are read."""
    rewritten = [part for each in statements for part in _listed(_Exits(_return_exit).visit(each))]
    names = sorted({base(each) for each in (*node.operands, *node.results[2:])})
    shared: list[ast.stmt] = [ast.Nonlocal(names)] if names else []
    traced = node.kind is Kind.TRACED
    maker = ast.AsyncFunctionDef if traced else ast.FunctionDef
    body = [*shared, *rewritten, *_return_exit("None", ast.Constant(None))]
    inner = maker(name="__avm_body__", args=_arguments([]), body=body, decorator_list=[])
    declared = [ast.parse(f"if 0: {each} = None").body[0] for each in names]
    call = ast.parse("__avm_reason__, __avm_value__ = __avm_body__()").body[0]
    if traced:
        call.value = ast.Await(call.value)  # type: ignore[attr-defined]
    return [
        *declared,
        inner,
        call,
        ast.parse("return __avm_results__(__avm_locals__(), __avm_reason__, __avm_value__)").body[0],
    ]


class _Exits(ast.NodeTransformer):
    """Rewrites what would leave the block: `return`, and `break` and `continue` of a loop around it."""

    def __init__(self, leave: Callable[[str, ast.expr], list[ast.stmt]]) -> None:
        self.leave = leave
        self.loops = 0

    def visit_Return(self, node: ast.Return) -> list[ast.stmt]:
        value = node.value or ast.Constant(None)
        return [ast.copy_location(each, node) for each in self.leave("'return'", value)]

    def visit_Break(self, node: ast.Break) -> Any:
        return node if self.loops else self.leave("'break'", ast.Constant(None))

    def visit_Continue(self, node: ast.Continue) -> Any:
        return node if self.loops else self.leave("'continue'", ast.Constant(None))

    def _loop(self, node: Any) -> Any:
        self.loops += 1
        node.body = [part for each in node.body for part in _listed(self.visit(each))]
        self.loops -= 1
        node.orelse = [part for each in node.orelse for part in _listed(self.visit(each))]
        return node

    visit_For = visit_While = visit_AsyncFor = _loop

    def _leave_alone(self, node: Any) -> Any:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _leave_alone


def _listed(found: Any) -> list[ast.stmt]:
    return found if isinstance(found, list) else [found]


def _return_exit(reason: str, value: ast.expr) -> list[ast.stmt]:
    """`return (REASON, VALUE)`."""
    return [ast.Return(ast.Tuple([ast.parse(reason, mode="eval").body, value], ast.Load()))]


def _leave(reason: str, value: ast.expr) -> list[ast.stmt]:
    """`__avm_value__ = VALUE; return __avm_results__(locals(), REASON, __avm_value__)`."""
    keep = ast.Assign([ast.Name("__avm_value__", ast.Store())], value)
    leave = ast.parse(f"return __avm_results__(__avm_locals__(), {reason}, __avm_value__)").body[0]
    for each in ast.walk(leave):
        if hasattr(each, "lineno"):
            ast.copy_location(each, value)
    return [keep, leave]
