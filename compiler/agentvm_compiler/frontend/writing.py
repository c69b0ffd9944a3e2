"""Source text of syntax trees: that of `ast.unparse`, faster for what most nodes consist of.

Statements are written here, expressions by `expressing`; whatever else there is in them, or is
asked for, is left to `ast.unparse`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from .expressing import argument, arguments, expression, target

_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+=",
    ast.Sub: "-=",
    ast.Mult: "*=",
    ast.BitOr: "|=",
}


def written(tree: ast.AST) -> str:
    """The very text that `ast.unparse` gives."""
    if isinstance(tree, ast.expr):
        text = expression(tree)
        return ast.unparse(tree) if text is None else text
    lines = _lines(tree)
    return ast.unparse(tree) if lines is None else "\n".join(lines)


def _lines(tree: ast.AST) -> list[str] | None:
    """The lines of a statement; a text in one may go over several, which are not indented."""
    kind = type(tree)
    if write := _SIMPLE.get(kind):
        text = write(tree)
        return None if text is None else [text]
    compound = _COMPOUND.get(kind)
    return None if compound is None else compound(tree)


def _block(head: str | None, body: Sequence[ast.AST]) -> list[str] | None:
    if head is None:
        return None
    lines = [head]
    for each in body:
        inside = None if type(each) in _DEFINITIONS else _lines(each)  # between definitions there are blanks
        if inside is None:
            return None
        lines += [f"    {line}" for line in inside]
    return lines


def _blocks(*blocks: list[str] | None) -> list[str] | None:
    """One after the other."""
    known = [each for each in blocks if each is not None]
    return [line for each in known for line in each] if len(known) == len(blocks) else None


# -- simple statements -----------------------------------------------------------------


def _assign(tree: ast.Assign) -> str | None:
    bound = [target(each) for each in tree.targets]
    known = [each for each in bound if each is not None]
    if len(known) < len(bound) or getattr(tree, "type_comment", None):
        return None
    return f"{' = '.join(known)} = {argument(tree.value)}"


def _annotated(tree: ast.AnnAssign) -> str | None:
    bound = expression(tree.target)
    if bound is None or (isinstance(tree.target, ast.Name) and not tree.simple):
        return None
    value = "" if tree.value is None else f" = {argument(tree.value)}"
    return f"{bound}: {argument(tree.annotation)}{value}"


def _augmented(tree: ast.AugAssign) -> str | None:
    bound, sign = expression(tree.target), _SIGNS.get(type(tree.op))
    return None if bound is None or sign is None else f"{bound} {sign} {argument(tree.value)}"


def _return(tree: ast.Return) -> str:
    return "return" if tree.value is None else f"return {argument(tree.value)}"


def _raise(tree: ast.Raise) -> str:
    raised = "" if tree.exc is None else f" {argument(tree.exc)}"
    return f"raise{raised}" if tree.cause is None else f"raise{raised} from {argument(tree.cause)}"


def _evaluated(tree: ast.Expr) -> str | None:
    return expression(tree.value)


# -- statements with others in them ----------------------------------------------------


def _if(tree: ast.If) -> list[str] | None:
    then = _block(f"if {argument(tree.test)}:", tree.body)
    if len(tree.orelse) == 1 and isinstance(tree.orelse[0], ast.If):
        other = _if(tree.orelse[0])
        return None if other is None else _blocks(then, [f"el{other[0]}", *other[1:]])
    return _blocks(then, _else(tree.orelse))


def _else(body: Sequence[ast.AST]) -> list[str] | None:
    return _block("else:", body) if body else []


def _for(tree: ast.For) -> list[str] | None:
    bound = None if getattr(tree, "type_comment", None) else target(tree.target)
    head = None if bound is None else f"for {bound} in {argument(tree.iter)}:"
    return _blocks(_block(head, tree.body), _else(tree.orelse))


def _while(tree: ast.While) -> list[str] | None:
    return _blocks(_block(f"while {argument(tree.test)}:", tree.body), _else(tree.orelse))


def _try(tree: ast.Try) -> list[str] | None:
    final = _block("finally:", tree.finalbody) if tree.finalbody else []
    return _blocks(_block("try:", tree.body), *map(_lines, tree.handlers), _else(tree.orelse), final)


def _handler(tree: ast.ExceptHandler) -> list[str] | None:
    kind = "" if tree.type is None else f" {argument(tree.type)}"
    name = "" if tree.name is None else f" as {tree.name}"
    return _block(f"except{kind}{name}:", tree.body)


def _match(tree: ast.Match) -> list[str] | None:
    return _block(f"match {argument(tree.subject)}:", tree.cases)


def _case(tree: ast.match_case) -> list[str] | None:
    if tree.guard is not None:
        return None
    match tree.pattern:
        case ast.MatchValue(value):
            return _block(f"case {argument(value)}:", tree.body)
        case ast.MatchAs(None, name):
            return _block(f"case {name or '_'}:", tree.body)
    return None


# -- definitions -----------------------------------------------------------------------


def _function(tree: ast.FunctionDef) -> list[str] | None:
    return _defined(tree, "def")


def _coroutine(tree: ast.AsyncFunctionDef) -> list[str] | None:
    return _defined(tree, "async def")


def _defined(tree: ast.FunctionDef | ast.AsyncFunctionDef, word: str) -> list[str] | None:
    parameters = _parameters(tree.args)
    if parameters is None or getattr(tree, "type_comment", None) or not _is_plain(tree):
        return None
    returns = "" if tree.returns is None else f" -> {argument(tree.returns)}"
    return _decorated(tree, f"{word} {tree.name}({parameters}){returns}:")


def _class(tree: ast.ClassDef) -> list[str] | None:
    if tree.keywords or not _is_plain(tree):
        return None
    return _decorated(
        tree, f"class {tree.name}({arguments(tree.bases)}):" if tree.bases else f"class {tree.name}:"
    )


def _decorated(tree: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, head: str) -> list[str] | None:
    return _blocks([f"@{argument(each)}" for each in tree.decorator_list], _block(head, tree.body))


def _is_plain(tree: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether it has no docstring and no type parameters."""
    documented = isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant)
    return not documented and not getattr(tree, "type_params", None)


def _parameters(tree: ast.arguments) -> str | None:
    if tree.posonlyargs or tree.vararg or tree.kwarg:
        return None
    required = len(tree.args) - len(tree.defaults)
    defaults = [*[None] * required, *tree.defaults]
    parts = [_parameter(*each) for each in zip(tree.args, defaults, strict=True)]
    parts += ["*"] if tree.kwonlyargs else []
    parts += [_parameter(*each) for each in zip(tree.kwonlyargs, tree.kw_defaults, strict=True)]
    return ", ".join(parts)


def _parameter(tree: ast.arg, default: ast.expr | None) -> str:
    kind = "" if tree.annotation is None else f": {argument(tree.annotation)}"
    return f"{tree.arg}{kind}" if default is None else f"{tree.arg}{kind}={argument(default)}"


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SIMPLE: dict[type[ast.AST], Callable[[Any], str | None]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Expr: _evaluated,
    ast.Pass: lambda _: "pass",
    ast.Break: lambda _: "break",
    ast.Continue: lambda _: "continue",
}
_COMPOUND: dict[type[ast.AST], Callable[[Any], list[str] | None]] = {
    ast.If: _if,
    ast.For: _for,
    ast.While: _while,
    ast.Try: _try,
    ast.ExceptHandler: _handler,
    ast.Match: _match,
    ast.match_case: _case,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _coroutine,
    ast.ClassDef: _class,
}
