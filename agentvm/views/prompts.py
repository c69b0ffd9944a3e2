"""The prompt of a model call, put together from its source and the values it read.

Nothing is evaluated but names, fields, constants and f-strings of them. What is
more than that stays as it is in the source, in braces.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from agentvm_compiler.parsing import parse


def prompt_of(code: str, values: Mapping[str, Any]) -> str | None:
    """The prompt, as far as the values tell; None where the call has none of its own.

    Args:
        code: the call, `await llm(...)`.
        values: by the name the source has for them.
    """
    try:
        call = parse(code, mode="eval").body
    except SyntaxError:
        return None
    call = call.value if isinstance(call, ast.Await) else call
    if not isinstance(call, ast.Call):
        return None
    wanted = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "prompt")]
    return None if not wanted else _text(wanted[0], values)


def _text(node: ast.expr, values: Mapping[str, Any]) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each, values) for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, values) + _text(node.right, values)
    try:
        if isinstance(node, ast.FormattedValue):
            return _formatted(node, values)
        return str(_value(node, values))
    except LookupError:
        source = node.value if isinstance(node, ast.FormattedValue) else node
        return f"{{{ast.unparse(source)}}}"


def _formatted(node: ast.FormattedValue, values: Mapping[str, Any]) -> str:
    value = _value(node.value, values)
    if node.conversion == ord("r"):
        value = repr(value)
    spec = "" if node.format_spec is None else _text(node.format_spec, values)
    try:
        return format(value, spec)
    except (TypeError, ValueError):
        raise LookupError(spec) from None


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """Raises LookupError where it would have to be computed."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return values[node.id]
        case ast.Attribute():
            inner = _value(node.value, values)
            if isinstance(inner, dict) and node.attr in inner:
                return inner[node.attr]
        case ast.Subscript(slice=ast.Constant(value=key)):
            inner = _value(node.value, values)
            if isinstance(inner, dict | list | tuple | str):
                try:
                    return inner[key]  # type: ignore[index]
                except TypeError:
                    raise LookupError(key) from None
    raise LookupError(ast.unparse(node))
