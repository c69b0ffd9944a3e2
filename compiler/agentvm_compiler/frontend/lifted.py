"""Functions defined inside an agent, lifted out of it: helpers that are given what they capture.

    async def one(word):              becomes a helper    async def one(word, *, topic)
        return await llm(topic + word)
    await one("x")                    becomes             await one("x", topic=topic)

That is the same if the names it captures are bound once, before it, and it is only ever
called. Any other function is left where it is.
"""

from __future__ import annotations

import ast
import copy
import functools
import types
from dataclasses import replace
from typing import Any

from .infer import Types
from .scope import Scope, parameters
from .source import Source, give_source, source_of
from .tree import NESTED_SCOPES, FunctionTree, Tree, blocks_in, loaded_names

_UNLIFTED = (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)
"""What a function that is lifted may not hold; nor definitions."""


@functools.lru_cache(maxsize=4096)
def with_lifted(fn: types.FunctionType) -> Source | None:
    """The source of a function, those that it defines lifted out of it as far as that can be done."""
    source = source_of(fn)
    if source is None or not source.index.every(ast.FunctionDef, ast.AsyncFunctionDef, nested=False):
        return source
    return _Lifting(source).source()


class _Lifting:
    """Lifts functions out of one."""

    def __init__(self, source: Source) -> None:
        tree = copy.deepcopy(source.tree)
        self._source = replace(source, tree=tree)
        self._scope = Scope(self._source)
        self._index = Tree(tree)
        self._types: Types | None = None

    def source(self) -> Source:
        tree = self._source.tree
        found = {}
        for block in [*blocks_in(tree)]:
            for number, statement in enumerate(block):
                if (
                    isinstance(statement, FunctionTree)
                    and (captured := self._captures(statement)) is not None
                    and self._is_defined_first(statement.name, block[number + 1 :])
                    and (not captured or self._is_called_rightly(statement))
                ):
                    found[statement.name] = self._made(statement, captured)
                    for call in self._calls(statement.name):
                        call.keywords += [ast.keyword(each, ast.Name(each, ast.Load())) for each in captured]
                        ast.fix_missing_locations(call)
                    block[number] = ast.copy_location(ast.Pass(), statement)
        return replace(self._source, tree=tree, lifted=found)

    def _captures(self, function: FunctionTree) -> list[str] | None:
        """The names of the outer function that a function reads; None if it cannot be lifted."""
        own = Tree(function)
        inner = [each for each in own.every(*NESTED_SCOPES, *_UNLIFTED) if each is not function]
        simple = not inner and not function.decorator_list and function.args.kwarg is None
        defaults = [*function.args.defaults, *(each for each in function.args.kw_defaults if each)]
        if not simple or not all(isinstance(each, ast.Constant) for each in defaults):
            return None
        bound = {*parameters(function), *own.stored(function)} - {function.name}
        targets = {
            each.id for part in own.every(ast.comprehension) for each in own.within(part.target, ast.Name)
        }
        read = dict.fromkeys(name for each in function.body for name in loaded_names(each))
        free = [name for name in read if name not in bound]
        captured = [name for name in free if name in self._scope.locals]
        if targets & self._scope.locals or any(name in self._scope.cells for name in free):
            return None
        if not self._is_only_called(function, captured) or not all(
            self._is_settled(name, function) for name in captured
        ):
            return None
        return captured

    def _is_only_called(self, function: FunctionTree, captured: list[str]) -> bool:
        """Whether the function is called by its name, where what it captures means the same."""
        name = function.name
        stores = [each for each in self._index.stored(self._source.tree) if each == name]
        loads = [each for each in self._index.every(ast.Name) if each.id == name]
        if len(stores) != 1 or name in self._scope.params or len(loads) != len(self._calls(name)):
            return False
        shadows = {
            each.id
            for part in self._index.every(ast.comprehension)
            for each in self._index.within(part.target, ast.Name)
        }
        shadows |= {each for part in self._index.every(ast.Lambda) for each in parameters(part)}
        nested = [each for each in self._index.every(*NESTED_SCOPES) if each is not self._source.tree]
        inside = any(each.id == name for part in nested for each in self._index.within(part, ast.Name))
        return not inside and not shadows & {name, *captured}

    def _is_defined_first(self, name: str, rest: list[ast.stmt]) -> bool:
        """Whether all calls stand in what comes after the definition, where it has certainly been made."""
        later = {id(node) for each in rest for node in self._index.within(each, ast.Call)}
        return all(id(each) in later for each in self._calls(name))

    def _is_called_rightly(self, function: FunctionTree) -> bool:
        """Whether the arguments of all calls fit: an error would say what it captures."""
        positional = [*function.args.posonlyargs, *function.args.args]
        defaults = len(function.args.defaults)
        required = {each.arg for each in positional[: len(positional) - defaults]}
        required |= {
            each.arg
            for each, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if default is None
        }
        named = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
        for call in self._calls(function.name):
            if any(isinstance(each, ast.Starred) for each in call.args):
                return False
            given = [each.arg for each in positional[: len(call.args)]]
            keywords = [each.arg for each in call.keywords]
            if len(call.args) > len(positional) and function.args.vararg is None:
                return False
            if not named.issuperset(keywords) or not required.issubset({*given, *keywords}):
                return False
            if not set(given).isdisjoint(keywords):
                return False
        return True

    def _calls(self, name: str) -> list[ast.Call]:
        return [
            each
            for each in self._index.every(ast.Call)
            if isinstance(each.func, ast.Name) and each.func.id == name
        ]

    def _is_settled(self, name: str, function: FunctionTree) -> bool:
        """Whether the name has one value, from before the function on."""
        stores = [each for each in self._index.stored(self._source.tree) if each == name]
        if name in self._scope.params:
            return not stores
        for statement in self._source.tree.body:
            if _holds(statement, function):
                return False
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                if any(isinstance(each, ast.Name) and each.id == name for each in targets):
                    return len(stores) == 1
        return False

    def _made(self, function: FunctionTree, captured: list[str]) -> types.FunctionType:
        """The function with what it captures as keyword arguments."""
        made = copy.deepcopy(function)
        annotations = self._annotations(made, captured)
        made.args.kwonlyargs = [*made.args.kwonlyargs, *(ast.arg(each) for each in captured)]
        made.args.kw_defaults = [*made.args.kw_defaults, *(None for _ in captured)]
        ast.fix_missing_locations(made)
        bare = copy.deepcopy(made)
        for each in [bare.args.vararg, *bare.args.posonlyargs, *bare.args.args, *bare.args.kwonlyargs]:
            if each is not None:
                each.annotation = None
        bare.returns = None
        outer = self._source.fn
        names: dict[str, Any] = {}
        module = ast.Module([bare], [])
        exec(compile(module, self._source.file, "exec"), outer.__globals__, names)
        fn: types.FunctionType = names[function.name]
        fn.__qualname__ = f"{outer.__qualname__}.<locals>.{function.name}"
        fn.__code__ = fn.__code__.replace(co_qualname=fn.__qualname__)
        fn.__annotations__ = annotations
        give_source(fn, replace(self._source, fn=fn, tree=made))
        return fn

    def _annotations(self, function: FunctionTree, captured: list[str]) -> dict[str, Any]:
        """The types of what it captures, as found out, and those that are written, as text."""
        if self._types is None:
            self._types = Types(self._scope)
        found = {name: self._types.names.get(name, Any) for name in captured}
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        written = [(each.arg, each.annotation) for each in arguments] + [("return", function.returns)]
        return found | {
            name: ast.unparse(each)
            for name, each in written
            if each is not None and not set(loaded_names(each)) & self._scope.locals
        }


def _holds(statement: ast.stmt, function: FunctionTree) -> bool:
    return any(each is function for each in ast.walk(statement))
