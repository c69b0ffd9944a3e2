"""Task groups whose tasks are single calls, rewritten as one call of all of them.

    async with TaskGroup() as g:            becomes      _g = await grouped(f(x), h(y))
        a = g.create_task(f(x))                          a, b = _g[0], _g[1]
        b = g.create_task(h(y))
    a.result()                                           a

Rewritten are groups of model calls and of tools that do not write: of several that fail
all may have failed before the group has noticed one. What takes longer is cancelled, and
when depends on time. In the body nothing else may stand, nor anything that may fail.
"""

from __future__ import annotations

import ast
import asyncio
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentvm_compiler.calls import Effect, Tool, llm
from agentvm_compiler.grouped import GROUPED, SETTLED, grouped, settled
from agentvm_compiler.parsing import parse

from .certain import Certainty
from .decide import Unsupported
from .fitting import check_bound
from .infer import Types
from .scope import Scope, scope_of
from .source import Source
from .tree import COMPREHENSIONS, blocks_in


def without_groups(source: Source) -> Source:
    """The source with task groups as calls; the same if there are none that can be rewritten."""
    managed = source.index.every(ast.AsyncWith)
    scope = scope_of(source) if managed else None
    if scope is None or not any(_group(each, scope) for each in managed):
        return source
    tree = copy.deepcopy(source.tree)
    copied = replace(source, tree=tree)
    rewriting = _Rewriting(copied)
    for block in [*blocks_in(tree)]:
        for number in range(len(block) - 1, -1, -1):
            rewriting.statement(block, number)
    if not rewriting.done:
        return source
    standing: dict[str, Callable[..., Any]] = {GROUPED: grouped, SETTLED: settled}
    return replace(source, tree=ast.fix_missing_locations(tree), lifted={**source.lifted, **standing})


def _group(statement: ast.AST, scope: Scope) -> str:
    """The name of a task group that the statement is over; empty if it is over anything else."""
    if not isinstance(statement, ast.AsyncWith) or len(statement.items) != 1:
        return ""
    match statement.items[0]:
        case ast.withitem(ast.Call(function, [], []), ast.Name(name)):
            return name if scope.resolve(function) is asyncio.TaskGroup else ""
    return ""


class _Rewriting:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._scope = Scope(source)
        self._types = Types(self._scope)
        self.done = False

    def statement(self, block: list[ast.stmt], number: int) -> None:
        statement = block[number]
        group = _group(statement, self._scope)
        if not group or not isinstance(statement, ast.AsyncWith):
            return
        names = [self._task(each, group) for each in statement.body]
        given = [each for each in names if each is not None]
        lists = [each for each in given if each[2]]
        loads = [each for each in self._names(group) if isinstance(each.ctx, ast.Load)]
        if len(given) != len(names) or len(lists) > 1 or len(loads) != len(names):
            return
        if len(self._names(group)) != len(loads) + 1:
            return
        uses = [self._uses(name, is_list) for name, _, is_list in given if name]
        if any(each is None for each in uses) or not self._stand_in(
            block[number + 1 :], [node for each in uses for node, _ in each or ()]
        ):
            return
        held = f"_{group}_done"
        arguments = [value for _, value, _ in given]
        call = ast.Call(ast.Name(GROUPED, ast.Load()), arguments, [])
        made: list[ast.stmt] = [ast.Assign([ast.Name(held, ast.Store())], ast.Await(call))]
        made += self._parts(held, given)
        block[number : number + 1] = [ast.copy_location(each, statement) for each in made]
        for node, value in (pair for each in uses for pair in each or ()):
            _replace(self._source.tree, node, value)
        self.done = True

    def _parts(self, held: str, given: list[tuple[str, ast.expr, bool]]) -> list[ast.stmt]:
        """Take the results apart: those after a list are counted from the end."""
        made: list[ast.stmt] = []
        listed = next((number for number, each in enumerate(given) if each[2]), len(given))
        for number, (name, _, is_list) in enumerate(given):
            after = len(given) - 1 - number
            if is_list:
                index = f"{number}:{f'-{after}' if after else ''}"
            else:
                index = str(number) if number < listed else f"-{after + 1}"
            if name:
                made.append(parse(f"{name} = {held}[{index}]").body[0])
        return made

    def _task(self, statement: ast.stmt, group: str) -> tuple[str, ast.expr, bool] | None:
        """The name a statement of the body gives its task or tasks, their calls, and whether it is a list."""
        match statement:
            case ast.Assign(targets=[ast.Name(name)], value=value) if self._is_private(name):
                pass
            case ast.Expr(value=value):
                name = ""
            case _:
                return None
        if isinstance(value, ast.ListComp) and name and len(value.generators) == 1:
            call = self._created(value.elt, group)
            source = value.generators[0]
            bound = {each.id for each in ast.walk(source.target) if isinstance(each, ast.Name)}
            plain = not source.ifs and not source.is_async and isinstance(source.iter, ast.Name)
            fits = plain and isinstance(source.target, ast.Name) and self._certain(source.iter, set())
            if call is None or not fits or not self._all_certain(call, bound):
                return None
            calls = ast.ListComp(call, [source])
            return name, ast.Starred(ast.copy_location(calls, value), ast.Load()), True
        call = self._created(value, group)
        return (name, call, False) if call is not None and self._all_certain(call, set()) else None

    def _created(self, node: ast.expr, group: str) -> ast.Call | None:
        """The call in `group.create_task(call)`, if it is one that a group may be rewritten for."""
        match node:
            case ast.Call(ast.Attribute(ast.Name(owner), "create_task"), [ast.Call() as call], []):
                callee = self._scope.resolve(call.func)
                reads = isinstance(callee, Tool) and callee.is_async and callee.effect is not Effect.WRITE
                if owner != group or not (callee is llm or reads):
                    return None
                try:
                    check_bound(call, self._scope)
                except Unsupported:
                    return None
                return call
        return None

    def _all_certain(self, call: ast.Call, bound: set[str]) -> bool:
        return all(self._certain(each, bound) for each in [*call.args, *(k.value for k in call.keywords)])

    def _certain(self, node: ast.expr, bound: set[str]) -> bool:
        """Whether it certainly evaluates: parameters and targets have a value, other names may have none."""
        tree = self._source.index
        stored = tree.stored(self._source.tree)
        params = {each for each in self._scope.params if each not in stored}
        kinds = [self._types.of(node)] if isinstance(node, ast.Name) and not bound else []
        listed = not kinds or getattr(kinds[0], "__origin__", kinds[0]) in (list, tuple, str, int)
        return listed and Certainty(self._types, lambda name: name in bound or name in params).of(node)

    # -- uses --------------------------------------------------------------------------

    def _names(self, name: str) -> list[ast.Name]:
        found = [node for node in ast.walk(self._source.tree) if isinstance(node, ast.Name)]
        return [each for each in found if each.id == name]

    def _is_private(self, name: str) -> bool:
        stores = [each for each in self._names(name) if not isinstance(each.ctx, ast.Load)]
        return len(stores) == 1 and name not in self._scope.params

    def _uses(self, name: str, is_list: bool) -> list[tuple[ast.expr, ast.expr]] | None:
        """Where the result of the task, or of each in the list, is asked for; None if anything else is."""
        asked: list[tuple[ast.expr, ast.expr]] = []
        for load in (each for each in self._names(name) if isinstance(each.ctx, ast.Load)):
            found = self._asked_of_each(load) if is_list else self._asked(load)
            if found is None:
                return None
            asked += found
        return asked

    def _stand_in(self, rest: list[ast.stmt], uses: list[ast.expr]) -> bool:
        """Whether all uses come after the group in its own block: only there it certainly did not fail."""
        after = {id(node) for each in rest for node in ast.walk(each)}
        return all(id(each) in after for each in uses)

    def _asked(self, load: ast.Name) -> list[tuple[ast.expr, ast.expr]] | None:
        for node in ast.walk(self._source.tree):
            match node:
                case ast.Call(ast.Attribute(value, "result"), [], []) | ast.Await(value) if value is load:
                    return [(node, load)]
        return None

    def _asked_of_each(self, load: ast.Name) -> list[tuple[ast.expr, ast.expr]] | None:
        for node in ast.walk(self._source.tree):
            if isinstance(node, COMPREHENSIONS) and node.generators[0].iter is load:
                target = node.generators[0].target
                if isinstance(target, ast.Name) and self._is_private(target.id):
                    return self._uses(target.id, is_list=False)
        return None


def _replace(tree: ast.AST, old: ast.expr, new: ast.expr) -> None:
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if value is old:
                setattr(node, field, new)
            elif isinstance(value, list):
                value[:] = [new if each is old else each for each in value]
