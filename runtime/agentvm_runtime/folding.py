"""Folds: Python code that only puts something into a container, or at the end of one.

What a run gathers in a loop would, if each version of it were recorded, take the
square of the run's length to keep. A *fold* on a large container is therefore
not recorded with its result but done again on resume, which takes no longer than
reading it would. That is only right if it comes out the same in any process: the
code is of a few forms, and only meets values whose order and text are fixed.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentvm_compiler.calls import Effect
from agentvm_compiler.ir import Kind, Node, base
from agentvm_compiler.parsing import parse

from .slots import CONTAINERS, is_large
from .values import key_digest

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_ORDERED = _ATOMS | {list, tuple}
"""What always gives its parts in the same order."""
_PLACE = frozenset({"append", "appendleft", "add", "insert"})
_JOIN = frozenset({"extend"})


@dataclass(frozen=True, slots=True)
class Form:
    """What the code of a fold asks of the values it meets, by the names it has for them."""

    into: frozenset[str]
    """Containers that something is put into."""
    joined: frozenset[str]
    """What is taken apart, or added to something."""
    written: frozenset[str]
    """What is written into a text, or added to one or to a number."""
    read: frozenset[str]
    """What is put in, or a part of that."""

    def suits(self, names: Sequence[str], values: Sequence[Any]) -> bool:
        if not self.into | self.joined | self.written <= set(names):
            return False  # a global, of which nothing is known here
        for name, value in zip(names, values, strict=True):
            cls = type(value)
            if name in self.written and cls not in _ATOMS:
                return False
            if name in self.joined and cls not in _ORDERED:
                return False
            if name in self.into and cls not in CONTAINERS | _ATOMS:
                return False
        return True


def fold_key(node: Node, values: Sequence[Any]) -> str:
    """Key of a fold on a large container, which counts by its length alone; empty if it is none.

    Such a key tells what was done where; no result may be found by it.
    """
    if node.kind is not Kind.PYTHON or node.effect is not Effect.PURE or node.attrs.get("exits"):
        return ""
    if not any(map(is_large, values)):
        return ""
    form = form_of(node.code)
    if form is None or not form.suits([base(each) for each in node.operands], values):
        return ""
    short = [(type(each).__name__, len(each)) if is_large(each) else repr(type(each)) for each in values]
    return key_digest(("fold", node.code_hash, short))


@functools.lru_cache(maxsize=4096)
def form_of(code: str) -> Form | None:
    """The form of a fold; None if the code does anything else."""
    into: set[str] = set()
    joined: set[str] = set()
    written: set[str] = set()
    read: set[str] = set()
    for statement in parse(code).body:
        match statement:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name(name), method), args, [])):
                into.add(name)
                if method in _JOIN:
                    joined |= _names(args)
                elif method not in _PLACE:
                    return None
                parts = args
            case ast.AugAssign(ast.Name(name), ast.Add(), value):
                into.add(name)
                joined |= {name} | _names([value])
                parts = [value]
            case ast.Assign([ast.Subscript(ast.Name(name), place)], value):
                into.add(name)
                parts = [place, value]
            case ast.Assign([ast.Name(name)], ast.BinOp(ast.Name(left), ast.Add(), value)) if name == left:
                into.add(name)
                joined |= {name} | _names([value])
                parts = [value]
            case ast.Assign([ast.Name()], ast.BinOp(left, ast.Add(), right)):
                joined |= _names([left, right])
                parts = [left, right]
            case _:
                return None
        if not all(_is_simple(each, written) for each in parts):
            return None
        read |= _names(parts)
    return Form(*map(frozenset, (into, joined, written, read)))


def _names(parts: Sequence[ast.expr]) -> set[str]:
    return {each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)}


def _is_simple(part: ast.expr, written: set[str]) -> bool:
    """Whether an expression runs no code of a user's; notes what must be texts or numbers for that."""
    match part:
        case ast.Constant() | ast.Name() | ast.UnaryOp(ast.USub(), ast.Constant()):
            return True
        case ast.Tuple(items) | ast.List(items):
            return all(_is_simple(each, written) for each in items)
        case ast.Dict(keys, values):
            named = [each for each in keys if each is not None]
            return len(named) == len(keys) and all(_is_simple(each, written) for each in named + values)
        case ast.JoinedStr(pieces):
            return all(_is_simple(each, written) for each in pieces)
        case ast.BinOp(left, ast.Add() | ast.Mult(), right):
            written |= _names([part])  # of texts and numbers, for which it always means the same
            return _is_simple(left, written) and _is_simple(right, written)
        case ast.FormattedValue(ast.Name(name), format_spec=None):
            written.add(name)
            return True
    return False
