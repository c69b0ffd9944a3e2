"""Source text of syntax trees: that of `ast.unparse`, faster for what most nodes consist of.

Plain statements, calls, comparisons, sums, names, attributes, displays and simple f-strings are
written here; whatever else is in them, or is asked for, is left to `ast.unparse`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

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


def written(tree: ast.AST) -> str:
    """The very text that `ast.unparse` gives."""
    if isinstance(tree, ast.Name | ast.Attribute | ast.Call):
        text = _primary(tree)
        return ast.unparse(tree) if text is None else text
    lines = _lines(tree)
    return ast.unparse(tree) if lines is None else "\n".join(lines)


def _lines(tree: ast.AST) -> list[str] | None:
    """The lines of a statement; a text in one may go over several, which are not indented."""
    match tree:
        case ast.If(test, body, orelse) if not any(isinstance(each, ast.If) for each in orelse):
            then = _block(f"if {_argument(test)}:", body)
            other = _block("else:", orelse) if orelse else []
            return None if then is None or other is None else [*then, *other]
        case ast.Match(subject, cases):
            return _block(f"match {_argument(subject)}:", cases)
        case ast.match_case(ast.MatchValue(value), None, body):
            return _block(f"case {_argument(value)}:", body)
        case ast.match_case(ast.MatchAs(None, name), None, body):
            return _block(f"case {name or '_'}:", body)
    text = _statement(tree)
    return None if text is None else [text]


def _block(head: str, body: Sequence[ast.AST]) -> list[str] | None:
    lines = [head]
    for each in body:
        inside = _lines(each)
        if inside is None:
            return None
        lines += [f"    {line}" for line in inside]
    return lines


def _statement(tree: ast.AST) -> str | None:
    match tree:
        case ast.Assign([ast.Name(name)], value) if not getattr(tree, "type_comment", None):
            return f"{name} = {_argument(value)}"
        case ast.Return(ast.expr() as value):
            return f"return {_argument(value)}"
        case ast.Expr(ast.Call() | ast.Tuple() as value):
            return _value(value)
        case ast.AugAssign(ast.Name(name), ast.Add(), value):
            return f"{name} += {_argument(value)}"
        case ast.Break():
            return "break"
        case ast.Continue():
            return "continue"
    return None


def _argument(tree: ast.expr) -> str:
    """An expression where it stands alone, as it does in an argument."""
    text = _choice(tree) if isinstance(tree, ast.IfExp) else _expression(tree)
    return ast.unparse(tree) if text is None else text


def _choice(tree: ast.IfExp) -> str | None:
    then, test = _expression(tree.body), _expression(tree.test)
    return None if then is None or test is None else f"{then} if {test} else {_argument(tree.orelse)}"


def _expression(tree: ast.expr) -> str | None:
    """What stands in a choice without brackets."""
    match tree:
        case ast.UnaryOp(ast.Not(), operand):
            inside = _expression(operand)
            return None if inside is None else f"not {inside}"
        case ast.Compare(left, [operator], [right]):
            sides = _sum(left), _sum(right)
            sign = _SIGNS[type(operator)]
            return None if None in sides else f"{sides[0]} {sign} {sides[1]}"
    return _sum(tree)


def _sum(tree: ast.expr) -> str | None:
    """What stands beside a comparison without brackets."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        left, right = _sum(tree.left), _value(tree.right)
        return None if left is None or right is None else f"{left} + {right}"
    return _value(tree)


def _value(tree: ast.expr) -> str | None:
    """What stands beside any operator without brackets."""
    match tree:
        case ast.Name(name):
            return name
        case ast.Constant(value) if getattr(tree, "kind", None) is None:
            return repr(value) if type(value) in (str, int, bool, type(None)) else None
        case ast.Call(function, arguments, keywords):
            callee = _primary(function)
            if callee is None or any(each.arg is None for each in keywords):
                return None
            parts = [_argument(each) for each in arguments]
            parts += [f"{each.arg}={_argument(each.value)}" for each in keywords]
            return f"{callee}({', '.join(parts)})"
        case ast.JoinedStr(parts):
            return _formatted(parts)
        case ast.List(elements):
            return f"[{', '.join(map(_argument, elements))}]"
        case ast.Tuple([_, _, *_] as elements):
            return f"({', '.join(map(_argument, elements))})"
    return _primary(tree)


def _primary(tree: ast.AST) -> str | None:
    """What `.` and brackets may follow."""
    match tree:
        case ast.Name(name):
            return name
        case ast.Attribute(value, name):
            owner = _primary(value)
            return None if owner is None else f"{owner}.{name}"
        case ast.Subscript(value, ast.Name() | ast.Constant() as key):
            owner, inside = _primary(value), _value(key)
            return None if owner is None or inside is None else f"{owner}[{inside}]"
        case ast.Subscript(value, ast.Slice(lower, upper, None)):
            owner = _primary(value)
            ends = [_argument(each) if each is not None else "" for each in (lower, upper)]
            return None if owner is None else f"{owner}[{':'.join(ends)}]"
        case ast.Call():
            return _value(tree)
    return None


def _formatted(parts: list[ast.expr]) -> str | None:
    """An f-string that holds nothing that must be quoted or escaped."""
    text = ""
    for each in parts:
        match each:
            case ast.Constant(str() as plain):
                text += plain.replace("{", "{{").replace("}", "}}")
            case ast.FormattedValue(value, -1, None) if (inside := _primary(value)) is not None:
                text += f"{{{inside}}}"
            case _:
                return None
    plainly = text.isprintable() and not any(each in text for each in "'\"\\")
    return f"f'{text}'" if plainly else None
