"""Constant folding: what is known of a prompt before the run becomes its text.

In the arguments of a model call, literals within f-strings, nested f-strings,
sums of texts and module constants become one literal. A *module constant* is a
name annotated `Final` whose value is a plain `str`, `int`, `float` or `bool`:
other globals are read when the call is made, since a test may replace them. The
code hash stays as it was: it covers the constants by value already.

Verified module in, verified module out.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_origin

from agentvm_compiler.frontend.tree import walk
from agentvm_compiler.ir import Kind, Module, Node, Program, base, changed, substituted

from .parsed import call_in, call_of

Constant = str | int | float | bool
_FINAL = re.compile(r"(\w+\.)?Final(\[.*\])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fold:
    """The pass, with the module constants of the program it is for."""

    constants: Mapping[str, Constant] = field(default_factory=dict)

    def __call__(self, module: Module) -> Module:
        """Fold the arguments of all model calls."""
        return changed(module, programs=tuple(self._program(each) for each in module.programs))

    def _program(self, program: Program) -> Program:
        calls = [each for each in program.body.walk() if each.kind is Kind.LLM]
        folded = {each.site: made for each in calls if (made := self._call(each)) is not each}
        return changed(program, body=substituted(program.body, folded))

    def _call(self, node: Node) -> Node:
        call = call_of(node)
        if call is None:
            return node
        hidden = {*map(base, node.operands), *node.attrs.get("unbound", ())} if self.constants else ()
        constants = {name: value for name, value in self.constants.items() if name not in hidden}
        if not any(_may_fold(each, constants) for each in walk(call)):
            return node
        folding = _Folding(constants)
        made = copy.deepcopy(call)
        made.args = [folding.visit(each) for each in made.args]
        made.keywords = [folding.visit(each) for each in made.keywords]
        try:
            code = ast.unparse(ast.fix_missing_locations(made))
        except ValueError:  # a text that this Python cannot write inside an f-string
            return node
        again = call_in(code)
        same = again is not None and ast.dump(again) == ast.dump(made)
        return changed(node, code=code) if same else node


def module_constants(namespace: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Constant]:
    """The names of a module that are annotated `Final`, with their values.

    Args:
        hidden: names that mean something else in the agent.
    """
    annotations = namespace.get("__annotations__", {})
    return {
        name: namespace[name]
        for name, kind in annotations.items()
        if name not in hidden and _is_final(kind) and type(namespace.get(name)) in (str, int, float, bool)
    }


def _is_final(kind: object) -> bool:
    if isinstance(kind, str):
        return _FINAL.fullmatch(kind) is not None
    return kind is Final or get_origin(kind) is Final


def _may_fold(node: ast.AST, constants: Mapping[str, Constant]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in constants
    if isinstance(node, ast.FormattedValue):
        return isinstance(node.value, ast.Constant | ast.JoinedStr)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


class _Folding(ast.NodeTransformer):
    def __init__(self, constants: Mapping[str, Constant]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.constants:
            return node
        value = self.constants[node.id]
        if isinstance(value, int | float) and not isinstance(value, bool) and not value >= 0:
            return node  # there is no literal for it that is one constant
        return ast.copy_location(ast.Constant(value), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add) and _is_text(node.left) and _is_text(node.right):
            return ast.copy_location(_joined([*_parts(node.left), *_parts(node.right)]), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        self.generic_visit(node)
        return ast.copy_location(_joined([part for each in node.values for part in _inlined(each)]), node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        node.value = self.visit(node.value)
        if node.format_spec is not None:
            self.generic_visit(node.format_spec)  # it must stay an f-string
        return node


def _parts(text: ast.expr) -> list[ast.expr]:
    return list(text.values) if isinstance(text, ast.JoinedStr) else [text]


def _inlined(part: ast.expr) -> Iterator[ast.expr]:
    """What a part of an f-string is made of."""
    if not isinstance(part, ast.FormattedValue):
        yield part
        return
    inner, plain = part.value, part.format_spec is None and part.conversion == -1
    if plain and isinstance(inner, ast.JoinedStr):
        yield from inner.values
    elif isinstance(inner, ast.Constant) and (text := _formatted(inner.value, part)) is not None:
        yield ast.Constant(text)
    else:
        yield part


def _formatted(value: object, part: ast.FormattedValue) -> str | None:
    """The text of a constant in an f-string; None if it is better left to the run."""
    if type(value) not in (str, int, float, bool, type(None)):
        return None
    spec = ""
    if isinstance(part.format_spec, ast.JoinedStr):
        texts = [each.value for each in part.format_spec.values if isinstance(each, ast.Constant)]
        if len(texts) < len(part.format_spec.values):
            return None
        spec = "".join(map(str, texts))
    if "n" in spec:  # follows the locale
        return None
    try:
        match part.conversion:
            case 114:  # !r
                return format(repr(value), spec)
            case 97:  # !a
                return format(ascii(value), spec)
            case 115:  # !s
                return format(str(value), spec)
        return format(value, spec)
    except (ValueError, TypeError):
        return None


def _joined(parts: list[ast.expr]) -> ast.expr:
    """An f-string of the parts, adjacent texts as one; a plain literal if there is nothing else."""
    merged: list[ast.expr] = []
    for each in parts:
        last = merged[-1] if merged else None
        if isinstance(each, ast.Constant) and isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(str(last.value) + str(each.value))
        else:
            merged.append(each)
    if not merged:
        return ast.Constant("")
    return merged[0] if isinstance(merged[0], ast.Constant) and len(merged) == 1 else ast.JoinedStr(merged)
