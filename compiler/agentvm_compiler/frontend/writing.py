"""Source text of syntax trees: that of `ast.unparse`, faster for what most nodes consist of.

Calls, plain assignments, comparisons, names, attributes and simple f-strings are written here;
whatever else is in them, or is asked for, is left to `ast.unparse`.
"""

from __future__ import annotations

import ast

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
    return _statement(tree) or ast.unparse(tree)


def _statement(tree: ast.AST) -> str | None:
    match tree:
        case ast.Assign([ast.Name(name)], value) if not getattr(tree, "type_comment", None):
            return f"{name} = {_argument(value)}"
        case ast.Return(ast.expr() as value):
            return f"return {_argument(value)}"
        case ast.Expr(ast.Call() as call) | (ast.Call() as call):
            return _expression(call)
    return None


def _argument(tree: ast.expr) -> str:
    """An expression where it stands alone, as it does in an argument."""
    return _expression(tree) or ast.unparse(tree)


def _expression(tree: ast.expr) -> str | None:
    match tree:
        case ast.UnaryOp(ast.Not(), operand):
            inside = _expression(operand)
            return None if inside is None else f"not {inside}"
        case ast.Compare(left, [operator], [right]):
            sides = _value(left), _value(right)
            sign = _SIGNS[type(operator)]
            return None if None in sides else f"{sides[0]} {sign} {sides[1]}"
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
    return _primary(tree)


def _primary(tree: ast.expr) -> str | None:
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
