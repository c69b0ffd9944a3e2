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
from typing import Any, TypeVar

from agentvm_compiler.parsing import parse

from .frontend.tree import children
from .ir import UNBOUND, Kind, Node, base

T = TypeVar("T")

Kept = dict[str, Any]
"""The variables of a node's code when it has ended, be it by an exception."""

Evaluate = Callable[[Sequence[Any], Kept], Any]
"""Takes the operands' values, and where to put the variables of statements. For a call node it returns
`(callee, args, kwargs)`, otherwise a tuple of the results, or an awaitable of it (`traced`), which raises
a StopIteration as `Stopped`."""


class Stopped(Exception):
    """A `StopIteration` of an agent's on its way: as it is, no coroutine lets it through."""

    def __init__(self, error: StopIteration) -> None:
        super().__init__()
        self.error = error


def raised(error: BaseException) -> BaseException:
    """What the program raised."""
    return error.error if isinstance(error, Stopped) else error


@dataclass(slots=True)
class Namespace:
    """Where the code of one program runs."""

    fn: Callable[..., Any]
    globals: dict[str, Any]
    cells: Mapping[str, Any]
    file: str
    _functions: dict[tuple[str, frozenset[str]], Callable[..., Any]] = field(default_factory=dict)
    _evaluators: dict[str, Evaluate] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)

    def evaluator(self, node: Node) -> Evaluate:
        """The function of a node with code."""
        known = self._evaluators.get(node.site)
        if known is None:
            known = self._evaluators[node.site] = self._evaluator(node)
        return known

    def _evaluator(self, node: Node) -> Evaluate:
        if node.attrs.get("whole"):
            return self._whole(node)
        names = [base(each) for each in node.operands]
        usual = self._built(node, frozenset())

        def evaluate(values: Sequence[Any], kept: Kept) -> Any:
            for value in values:
                if value is UNBOUND:
                    return partly(values, kept)
            return usual(kept, *values)

        def partly(values: Sequence[Any], kept: Kept) -> Any:
            missing = frozenset(n for n, value in zip(names, values, strict=True) if value is UNBOUND)
            return self._built(node, missing)(kept, *(value for value in values if value is not UNBOUND))

        return evaluate

    def function(self, node: Node, params: list[str], body: list[ast.stmt]) -> types.FunctionType:
        """A function that runs other statements where a node's code would run."""
        return _function(params, body, node, self, frozenset())

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Something that is made when it is first asked for by this name."""
        if name not in self._made:
            self._made[name] = make()
        made: T = self._made[name]
        return made

    def handled(self, node: Node) -> tuple[Any, ...]:
        """The exception types of a `try` node, one entry a handler."""
        key: tuple[str, frozenset[str]] = (node.site, frozenset())
        if key not in self._functions:
            self._functions[key] = _function(
                [], [ast.Return(_expression(node.code))], node, self, frozenset()
            )
        types: tuple[Any, ...] = self._functions[key]()
        return types

    def _whole(self, node: Node) -> Evaluate:
        names = [base(each) for each in node.operands]

        async def evaluate(values: Sequence[Any], kept: Kept) -> tuple[Any, ...]:
            return (await call_by_name(self.fn, dict(zip(names, values, strict=True))),)

        return evaluate

    def _built(self, node: Node, missing: frozenset[str]) -> Callable[..., Any]:
        key = (node.site, missing)
        if key not in self._functions:
            self._functions[key] = _build(node, self, missing)
        return self._functions[key]


def call_by_name(fn: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Call a function with all its parameters by name, `*args` and `**kwargs` included."""
    bound = inspect.BoundArguments(inspect.signature(fn), OrderedDict(values))
    return fn(*bound.args, **bound.kwargs)


_KEPT = "__avm_kept__"
_LOCALS = "__avm_locals__"
_CALL = "__avm_call__"
_STOP = "__avm_stop__"
_STOPPED = "__avm_stopped__"
_END = "__avm_end__"


def _build(node: Node, namespace: Namespace, missing: frozenset[str]) -> Callable[..., Any]:
    names = [base(each) for each in node.operands if base(each) not in missing]
    parsed = parse(node.code)
    if node.kind not in (Kind.PYTHON, Kind.TRACED):
        parts = _function(names, [_call(parsed.body[0])], node, namespace, missing)
        return lambda kept, *values: parts(*values)
    statements = _statements(parsed.body, stops=node.kind is Kind.TRACED)
    function = _function([_KEPT, *names], statements, node, namespace, missing)
    exits = bool(node.attrs.get("exits"))
    wanted = [base(each) for each in node.results[2 if exits else 0 :]]

    def results(kept: Mapping[str, Any], left: tuple[str | None, Any]) -> tuple[Any, ...]:
        values = tuple(kept.get(each, UNBOUND) for each in wanted)
        return (*left, *values) if exits else values

    def run(kept: Kept, *values: Any) -> tuple[Any, ...]:
        return results(kept, function(kept, *values))

    async def run_traced(kept: Kept, *values: Any) -> tuple[Any, ...]:
        return results(kept, await function(kept, *values))

    return run_traced if node.kind is Kind.TRACED else run


def _function(
    params: list[str], body: list[ast.stmt], node: Node, namespace: Namespace, missing: frozenset[str]
) -> types.FunctionType:
    """A function that runs the body where the agent's own code would run."""
    unbound = [*node.attrs.get("unbound", ()), *sorted(missing)]
    local = [parse(f"if 0: {each} = None").body[0] for each in unbound]
    maker = ast.AsyncFunctionDef if node.kind is Kind.TRACED else ast.FunctionDef
    # Not under the agent's own name: that would hide the agent from its code.
    inner = maker(name="__avm_block__", args=_arguments(params), body=[*local, *body], decorator_list=[])
    closure = {**namespace.cells, _LOCALS: locals, _CALL: _as_parts, _STOP: StopIteration, _STOPPED: Stopped}
    outer = ast.FunctionDef(
        name="__avm_outer__",
        args=_arguments(list(closure)),
        body=[inner, ast.Return(ast.Name("__avm_block__", ast.Load()))],
        decorator_list=[],
    )
    module = ast.Module([outer], [])
    _place(module, 1, max(0, node.span.line - 1))
    made: dict[str, Any] = {}
    exec(compile(module, namespace.file, "exec"), namespace.globals, made)
    function: types.FunctionType = made["__avm_outer__"](**closure)
    function.__code__ = function.__code__.replace(
        co_name=namespace.fn.__name__, co_qualname=namespace.fn.__qualname__
    )
    return function


def _place(tree: Any, line: int, lines: int) -> None:
    """Move the tree down to its lines in the file; columns are those of other text, so they go.

    Args:
        line: that of what has none of its own.
    """
    if "lineno" in tree._attributes:
        line = getattr(tree, "lineno", line)
        tree.lineno = tree.end_lineno = line + lines
        tree.col_offset = tree.end_col_offset = 0
    for each in children(tree):
        _place(each, line, lines)


def _arguments(names: list[str]) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(each) for each in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )


def _call(statement: ast.stmt) -> ast.stmt:
    """`f(a, k=b)` as `return __avm_call__(f, a, k=b)`."""
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    call = statement.value
    parts = ast.Call(ast.Name(_CALL, ast.Load()), [call.func, *call.args], call.keywords)
    return ast.Return(ast.copy_location(parts, call))


def _expression(code: str) -> ast.expr:
    return parse(code, mode="eval").body


def _as_parts(callee: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    return callee, args, kwargs


def _statements(statements: list[ast.stmt], *, stops: bool) -> list[ast.stmt]:
    """The statements with their exits as `return (REASON, VALUE)`, and the variables kept at the end.

    They are kept in an outermost `finally`, after any of the user's own has run. The mapping is
    not kept in itself: what it refers to goes when it does, not when the cycle is found.

    Args:
        stops: it will be a coroutine's body, which a StopIteration has to leave as `Stopped`.
    """
    rewritten = [part for each in statements for part in _listed(_Exits().visit(each))]
    keep = parse(f"{_KEPT}.update({_LOCALS}()); {_KEPT}[{_KEPT!r}] = None").body
    handlers = []
    if stops:
        error = ast.Call(ast.Name(_STOPPED, ast.Load()), [ast.Name(_END, ast.Load())], [])
        handlers = [ast.ExceptHandler(ast.Name(_STOP, ast.Load()), _END, [ast.Raise(error)])]
    return [ast.Try([*rewritten, _leave(None)], handlers, [], keep)]


class _Exits(ast.NodeTransformer):
    """Rewrites what would leave the block: `return`, and `break` and `continue` of a loop around it."""

    def __init__(self) -> None:
        self.loops = 0

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        return ast.copy_location(_leave("return", node.value), node)

    def visit_Break(self, node: ast.Break) -> ast.stmt:
        return node if self.loops else _leave("break")

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        return node if self.loops else _leave("continue")

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


def _leave(reason: str | None, value: ast.expr | None = None) -> ast.stmt:
    """`return (REASON, VALUE)`."""
    pair: list[ast.expr] = [ast.Constant(reason), value or ast.Constant(None)]
    return ast.Return(ast.Tuple(pair, ast.Load()))
