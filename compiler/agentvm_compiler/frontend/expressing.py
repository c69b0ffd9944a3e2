"""Source text of expressions: that of `ast.unparse`, faster for what most expressions consist of.

Each kind of expression has a *strength*: how much of what is around it it stands beside without
brackets. What would need brackets, or is of another kind, is None here, and left to `ast.unparse`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

CHOICE, BOOLEAN, NOT, COMPARISON, SUM, VALUE, PRIMARY = range(7)
"""Strengths: what stands alone, beside `if` and `else`, `and`, `not`, a comparison, a sum, any operator;
`.` and brackets may follow a primary."""

_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_PLAIN = frozenset((str, int, bool, type(None)))
"""Types of constants that are written as they are shown."""


def argument(tree: ast.expr) -> str:
    """An expression where it stands alone, as it does in an argument."""
    text = expression(tree)
    return ast.unparse(tree) if text is None else text


def expression(tree: ast.AST, strength: int = CHOICE) -> str | None:
    """An expression that stands without brackets beside what asks for this strength."""
    kind = type(tree)
    if _STRENGTHS.get(kind, -1) < strength:
        return None
    return _WRITERS[kind](tree)


def arguments(trees: list[ast.expr]) -> str:
    """Expressions with commas between."""
    return ", ".join(map(argument, trees))


def target(tree: ast.expr) -> str | None:
    """What a value is bound to: a pair has no brackets there."""
    if isinstance(tree, ast.Tuple) and len(tree.elts) > 1:
        return arguments(tree.elts)
    return expression(tree, PRIMARY)


def _name(tree: ast.Name) -> str:
    return tree.id


def _attribute(tree: ast.Attribute) -> str | None:
    owner = expression(tree.value, PRIMARY)
    return None if owner is None else f"{owner}.{tree.attr}"


def _subscript(tree: ast.Subscript) -> str | None:
    owner, key = expression(tree.value, PRIMARY), tree.slice
    if owner is None or isinstance(key, ast.Tuple):
        return None
    if not isinstance(key, ast.Slice):
        return f"{owner}[{argument(key)}]"
    if key.step is not None:
        return None
    first, last = ("" if each is None else argument(each) for each in (key.lower, key.upper))
    return f"{owner}[{first}:{last}]"


def _call(tree: ast.Call) -> str | None:
    callee = expression(tree.func, PRIMARY)
    if callee is None:
        return None
    parts = [*map(argument, tree.args)]
    for each in tree.keywords:
        if each.arg is None:
            return None
        parts.append(f"{each.arg}={argument(each.value)}")
    return f"{callee}({', '.join(parts)})"


def _constant(tree: ast.Constant) -> str | None:
    plain = type(tree.value) in _PLAIN and getattr(tree, "kind", None) is None
    return repr(tree.value) if plain else None


def _formatted(tree: ast.JoinedStr) -> str | None:
    """An f-string that holds nothing that must be quoted or escaped."""
    parts = []
    for each in tree.values:
        if isinstance(each, ast.Constant):
            part: str | None = str(each.value).replace("{", "{{").replace("}", "}}")
        elif isinstance(each, ast.FormattedValue) and each.conversion == -1 and each.format_spec is None:
            inside = expression(each.value, PRIMARY)
            part = None if inside is None else f"{{{inside}}}"
        else:
            return None
        if part is None:
            return None
        parts.append(part)
    text = "".join(parts)
    plainly = "'" not in text and '"' not in text and "\\" not in text and text.isprintable()
    return f"f'{text}'" if plainly else None


def _list(tree: ast.List) -> str:
    return f"[{arguments(tree.elts)}]"


def _tuple(tree: ast.Tuple) -> str | None:
    return f"({arguments(tree.elts)})" if len(tree.elts) > 1 else None


def _dict(tree: ast.Dict) -> str | None:
    pairs = []
    for key, value in zip(tree.keys, tree.values, strict=True):
        if key is None:
            return None
        pairs.append(f"{argument(key)}: {argument(value)}")
    return f"{{{', '.join(pairs)}}}"


def _awaited(tree: ast.Await) -> str | None:
    inside = expression(tree.value, PRIMARY)
    return None if inside is None else f"await {inside}"


def _unary(tree: ast.UnaryOp) -> str | None:
    if isinstance(tree.op, ast.Not):
        inside = expression(tree.operand, NOT)
        return None if inside is None else f"not {inside}"
    return None


def _compared(tree: ast.Compare) -> str | None:
    left = expression(tree.left, SUM)
    right = expression(tree.comparators[0], SUM) if len(tree.ops) == 1 else None
    return None if left is None or right is None else f"{left} {_SIGNS[type(tree.ops[0])]} {right}"


def _sum(tree: ast.BinOp) -> str | None:
    sign = "+" if isinstance(tree.op, ast.Add) else "-" if isinstance(tree.op, ast.Sub) else ""
    left, right = expression(tree.left, SUM), expression(tree.right, VALUE)
    return f"{left} {sign} {right}" if sign and left is not None and right is not None else None


def _boolean(tree: ast.BoolOp) -> str | None:
    sides = [expression(each, COMPARISON) for each in tree.values]
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    return f"{sides[0]} {'and' if isinstance(tree.op, ast.And) else 'or'} {sides[1]}"


def _choice(tree: ast.IfExp) -> str | None:
    then, test = expression(tree.body, BOOLEAN), expression(tree.test, BOOLEAN)
    return None if then is None or test is None else f"{then} if {test} else {argument(tree.orelse)}"


def _listed(tree: ast.ListComp) -> str | None:
    return _comprehension(tree, "[", "]")


def _generated(tree: ast.GeneratorExp) -> str | None:
    return _comprehension(tree, "(", ")")


def _comprehension(tree: ast.ListComp | ast.GeneratorExp, before: str, after: str) -> str | None:
    parts = [argument(tree.elt)]
    for each in tree.generators:
        bound = target(each.target)
        texts = [expression(part, BOOLEAN) for part in (each.iter, *each.ifs)]
        known = [text for text in texts if text is not None]
        if bound is None or len(known) < len(texts) or each.is_async:
            return None
        parts += [f"for {bound} in {known[0]}", *(f"if {text}" for text in known[1:])]
    return f"{before}{' '.join(parts)}{after}"


_KINDS: tuple[tuple[type[ast.expr], int, Callable[[Any], str | None]], ...] = (
    (ast.Name, PRIMARY, _name),
    (ast.Attribute, PRIMARY, _attribute),
    (ast.Subscript, PRIMARY, _subscript),
    (ast.Call, PRIMARY, _call),
    (ast.Constant, VALUE, _constant),
    (ast.JoinedStr, VALUE, _formatted),
    (ast.List, VALUE, _list),
    (ast.Tuple, VALUE, _tuple),
    (ast.Dict, VALUE, _dict),
    (ast.ListComp, VALUE, _listed),
    (ast.GeneratorExp, VALUE, _generated),
    (ast.Await, VALUE, _awaited),
    (ast.BinOp, SUM, _sum),
    (ast.Compare, COMPARISON, _compared),
    (ast.UnaryOp, NOT, _unary),
    (ast.BoolOp, BOOLEAN, _boolean),
    (ast.IfExp, CHOICE, _choice),
)
_STRENGTHS: dict[type[ast.AST], int] = {kind: strength for kind, strength, _ in _KINDS}
_WRITERS: dict[type[ast.AST], Callable[[Any], str | None]] = {kind: write for kind, _, write in _KINDS}
