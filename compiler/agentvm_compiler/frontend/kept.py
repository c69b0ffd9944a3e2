"""Coroutines and tasks that are kept before they are awaited, rewritten as calls where they are.

A coroutine begins when it is awaited, with the arguments it was given before; so

    a = f(x)            becomes     _a_0 = x
    y = await a                     y = await f(_a_0)

A task begins earlier, which cannot be told if what it does is pure: in a graph its
nodes start as soon as their operands are there. Rewritten is what is certainly awaited
at most once, by one `await` or one `asyncio.gather` after it; anything else stays as it is.
"""

from __future__ import annotations

import ast
import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentvm_compiler.calls import Agent, Effect, Tool

from .callees import agent_of, effect_calls, is_async_call, is_gather
from .decide import Unsupported
from .fitting import check_bound
from .scope import Scope, scope_of
from .source import Source
from .tree import COMPREHENSIONS, NESTED_SCOPES, FunctionTree, blocks_in

EffectOf = Callable[[Agent], Effect]

_LOOPS = (ast.While, ast.AsyncFor, ast.Lambda, *COMPREHENSIONS, *NESTED_SCOPES)
"""What may run its parts more than once, or not where it stands; of a `for` only the body does."""


_KEEPING = (ast.Call, ast.Assign, ast.AnnAssign, ast.ListComp, ast.List)


def without_kept(source: Source, effect_of: EffectOf) -> Scope:
    """The scope of the source with kept coroutines as calls; of itself if none can be rewritten."""
    scope = scope_of(source)
    if not _is_kept(scope) or not any(
        _keeps(node, scope) for node in source.index.every(*_KEEPING, nested=False)
    ):
        return scope
    tree = copy.deepcopy(source.tree)
    _Rewriting(tree, replace(source, tree=tree), effect_of).run()
    return Scope(replace(source, tree=ast.fix_missing_locations(tree)))


def _is_kept(scope: Scope) -> bool:
    """Whether any coroutine of ours is not awaited at once."""
    parents = scope.tree.parents
    found = effect_calls(scope.tree.root, scope)
    return any(not isinstance(parents[id(each)], ast.Await) and is_async_call(each, scope) for each in found)


def _keeps(node: ast.AST, scope: Scope) -> bool:
    """Whether a call of ours stands where its coroutine is not awaited at once."""
    if isinstance(node, ast.Call) and not is_gather(node, scope):
        return any(is_async_call(each, scope) for each in node.args)
    match node:
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) | ast.ListComp(elt=value):
            return is_async_call(value, scope)
        case ast.List(elts=values):
            return any(is_async_call(each, scope) for each in values)
    return False


@dataclass
class _Call:
    """A call whose arguments are evaluated before it is made."""

    call: ast.Call
    names: list[str]
    """Where its arguments are kept."""

    @property
    def operands(self) -> list[ast.expr]:
        return [*self.call.args, *(each.value for each in self.call.keywords)]

    @property
    def shape(self) -> tuple[object, ...]:
        """What calls of one list must have in common."""
        return (
            ast.dump(self.call.func),
            len(self.call.args),
            tuple(each.arg for each in self.call.keywords),
        )

    def made(self) -> ast.Call:
        """The call with the kept arguments."""
        loads: list[ast.expr] = [ast.Name(each, ast.Load()) for each in self.names]
        count = len(self.call.args)
        keywords = [
            ast.keyword(each.arg, load) for each, load in zip(self.call.keywords, loads[count:], strict=True)
        ]
        call = ast.Call(copy.deepcopy(self.call.func), loads[:count], keywords)
        return ast.copy_location(call, self.call)

    def item(self) -> ast.expr:
        """The arguments as one value."""
        if len(self.operands) == 1:
            return self.operands[0]
        return ast.copy_location(ast.Tuple(self.operands, ast.Load()), self.call)

    def target(self) -> ast.expr:
        """What takes such a value apart."""
        names: list[ast.expr] = [ast.Name(each, ast.Store()) for each in self.names]
        return names[0] if len(names) == 1 else ast.Tuple(names, ast.Store())

    def kept(self) -> list[ast.stmt]:
        """Statements that evaluate the arguments."""
        made = []
        for name, value in zip(self.names, self.operands, strict=True):
            made.append(ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), value))
        return [*made] or [ast.copy_location(ast.Pass(), self.call)]


class _Rewriting:
    """Rewrites one function's tree in place."""

    def __init__(self, tree: FunctionTree, source: Source, effect_of: EffectOf) -> None:
        self._tree = tree
        self._scope = Scope(source)
        self._effect_of = effect_of
        self._used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        self._note_parents()

    def run(self) -> None:
        for node in self._scope.tree.every(ast.Await, nested=False):
            self._strip(node)
        self._note_parents()
        for block in [*blocks_in(self._tree)]:
            index = 0
            while index < len(block):
                self._statement(block, index)
                index += 1

    def _note_parents(self) -> None:
        self._parents = {
            id(child): node for node in ast.walk(self._tree) for child in ast.iter_child_nodes(node)
        }

    # -- what is kept ------------------------------------------------------------------

    def _strip(self, node: ast.AST) -> None:
        """A task that is awaited where it is made is a call."""
        if isinstance(node, ast.Await) and (inner := self._task(node.value)) is not None:
            node.value = inner
        if isinstance(node, ast.Await) and is_gather(node.value, self._scope):
            assert isinstance(node.value, ast.Call)
            if any(isinstance(each, ast.Await) for each in ast.walk(node.value)):
                return
            for number, each in enumerate(node.value.args):
                node.value.args[number] = self._task(each) or each
                if isinstance(each, ast.Starred) and isinstance(each.value, ast.ListComp | ast.GeneratorExp):
                    each.value.elt = self._task(each.value.elt) or each.value.elt

    def _task(self, node: ast.AST) -> ast.Call | None:
        """The call that a task is made of."""
        if not isinstance(node, ast.Call) or len(node.args) != 1:
            return None
        if self._scope.resolve(node.func) not in (asyncio.create_task, asyncio.ensure_future):
            return None
        plainly = all(each.arg == "name" and isinstance(each.value, ast.Constant) for each in node.keywords)
        inner = node.args[0]
        return inner if plainly and isinstance(inner, ast.Call) and self._is_ours(inner) else None

    def _is_ours(self, node: ast.AST) -> bool:
        if not is_async_call(node, self._scope):
            return False
        assert isinstance(node, ast.Call)
        try:
            check_bound(node, self._scope)
        except Unsupported:
            return False
        return True

    def _call(self, node: ast.expr, name: str) -> _Call | None:
        """The call behind a coroutine, or behind a task that may begin later."""
        task = self._task(node)
        if task is not None and not self._is_pure(task):
            return None
        call = task or node
        if not self._is_ours(call):
            return None
        assert isinstance(call, ast.Call)
        count = len(call.args) + len(call.keywords)
        return _Call(call, [self._fresh(f"_{name}_{number}") for number in range(count)])

    def _is_pure(self, call: ast.Call) -> bool:
        callee = self._scope.resolve(call.func)
        if isinstance(callee, Tool):
            return callee.effect is Effect.PURE
        agent = agent_of(callee)
        return agent is None or self._effect_of(agent) is Effect.PURE

    def _fresh(self, name: str) -> str:
        while name in self._used:
            name += "_"
        return name

    # -- statements --------------------------------------------------------------------

    def _statement(self, block: list[ast.stmt], index: int) -> None:
        match block[index]:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                pass
            case _:
                return
        if not self._is_private(name):
            return
        done = False
        if isinstance(value, ast.ListComp) and (call := self._call(value.elt, name)):
            done = self._comprehended(block, index, name, value, call)
        elif isinstance(value, ast.List) and value.elts:
            calls = [self._call(each, f"{name}{number}") for number, each in enumerate(value.elts)]
            done = self._listed(block, index, name, [each for each in calls if each], len(calls))
        elif isinstance(value, ast.List):
            done = self._appended(block, index, name)
        elif call := self._call(value, name):
            done = self._single(block, index, name, call)
        if done:
            self._used = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}
            self._note_parents()

    def _is_private(self, name: str) -> bool:
        """Whether the name is bound once in the function, and stands for nothing else anywhere in it."""
        stores = [each for each in self._names(name) if not isinstance(each.ctx, ast.Load)]
        return len(stores) == 1 and name not in self._scope.params

    def _names(self, name: str) -> list[ast.Name]:
        return [node for node in ast.walk(self._tree) if isinstance(node, ast.Name) and node.id == name]

    def _loads(self, name: str) -> list[ast.Name]:
        return [each for each in self._names(name) if isinstance(each.ctx, ast.Load)]

    def _single(self, block: list[ast.stmt], index: int, name: str, call: _Call) -> bool:
        """`a = f(x)`, and later `await a` or `gather(..., a, ...)`."""
        loads = self._loads(name)
        if len(loads) != 1 or not self._once(loads[0], block, index):
            return False
        parent = self._parents[id(loads[0])]
        if isinstance(parent, ast.Await):
            parent.value = call.made()
        elif (gather := self._awaited_gather(parent)) and any(each is loads[0] for each in gather.args):
            gather.args = [call.made() if each is loads[0] else each for each in gather.args]
        else:
            return False
        block[index : index + 1] = call.kept()
        return True

    def _listed(self, block: list[ast.stmt], index: int, name: str, calls: list[_Call], count: int) -> bool:
        """`many = [f(x), g(y)]`, and later `gather(*many)`."""
        use = self._gathered(name, block, index, 1)
        if use is None or len(calls) != count:
            return False
        gather, starred = use
        at = next(n for n, each in enumerate(gather.args) if each is starred)
        gather.args[at : at + 1] = [each.made() for each in calls]
        block[index : index + 1] = [part for each in calls for part in each.kept()]
        return True

    def _comprehended(
        self, block: list[ast.stmt], index: int, name: str, value: ast.ListComp, call: _Call
    ) -> bool:
        """`many = [f(x) for x in xs]`, and later `gather(*many)`, or each awaited in a loop."""
        if not call.operands or not self._used_by_loop(name, block, index, 1, call):
            return False
        value.elt = call.item()
        block[index] = self._assigned(block[index], name, value)
        return True

    def _appended(self, block: list[ast.stmt], index: int, name: str) -> bool:
        """`many = []`, then `many.append(f(x))` anywhere before `gather(*many)`."""
        found: list[tuple[ast.Call, _Call]] = []
        for load in self._loads(name):
            method = self._parents[id(load)]
            append = self._parents[id(method)]
            if not (isinstance(method, ast.Attribute) and method.attr == "append"):
                continue
            if not (isinstance(append, ast.Call) and len(append.args) == 1 and not append.keywords):
                return False
            call = self._call(append.args[0], name)
            if call is None or not isinstance(self._parents[id(append)], ast.Expr):
                return False
            found.append((append, call))
        if not found or len({each.shape for _, each in found}) > 1 or not found[0][1].operands:
            return False
        if not self._used_by_loop(name, block, index, 1 + len(found), found[0][1]):
            return False
        for append, call in found:
            append.args = [call.item()]
        block[index] = self._assigned(block[index], name, ast.List([], ast.Load()))
        return True

    def _assigned(self, statement: ast.stmt, name: str, value: ast.expr) -> ast.stmt:
        return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), statement)

    # -- uses --------------------------------------------------------------------------

    def _used_by_loop(self, name: str, block: list[ast.stmt], index: int, count: int, call: _Call) -> bool:
        """Rewrite the one place where the list is awaited, if there is one."""
        use = self._gathered(name, block, index, count)
        if use is not None:
            source = ast.comprehension(call.target(), ast.Name(name, ast.Load()), [], 0)
            use[1].value = ast.copy_location(ast.ListComp(call.made(), [source]), use[1])
            return True
        return any(self._loop(load, block, index, count, call) for load in self._loads(name))

    def _gathered(
        self, name: str, block: list[ast.stmt], index: int, count: int
    ) -> tuple[ast.Call, ast.Starred] | None:
        """The gather that the list is given to, with a star, and nothing else but `append` uses it."""
        loads = self._loads(name)
        for load in loads:
            starred = self._parents[id(load)]
            gather = self._awaited_gather(self._parents.get(id(starred)))
            if isinstance(starred, ast.Starred) and gather is not None:
                fits = len(loads) == count and self._once(load, block, index)
                return (gather, starred) if fits and any(each is starred for each in gather.args) else None
        return None

    def _loop(self, load: ast.Name, block: list[ast.stmt], index: int, count: int, call: _Call) -> bool:
        """`for each in many:` in which `await each` stands once."""
        loop = self._parents[id(load)]
        if not isinstance(loop, ast.For | ast.comprehension) or loop.iter is not load:
            return False
        around = self._parents[id(loop)] if isinstance(loop, ast.comprehension) else loop
        if isinstance(around, COMPREHENSIONS) and (
            isinstance(around, ast.GeneratorExp) or around.generators[0] is not loop or loop.is_async
        ):
            return False
        if not isinstance(loop.target, ast.Name) or not self._is_private(loop.target.id):
            return False
        uses = self._loads(loop.target.id)
        if len(uses) != 1 or len(self._loads(load.id)) != count or not self._once(around, block, index):
            return False
        awaited = self._parents[id(uses[0])]
        if not isinstance(awaited, ast.Await) or not self._within(awaited, around):
            return False
        awaited.value = call.made()
        loop.target = call.target()
        return True

    def _within(self, node: ast.AST, loop: ast.AST) -> bool:
        """Whether the loop comes to the node at most once for each item."""
        while node is not loop:
            parent = self._parents.get(id(node))
            if parent is None or (isinstance(parent, (*_LOOPS, ast.For)) and parent is not loop):
                return False
            if isinstance(parent, ast.For) and not any(each is node for each in parent.body):
                return False
            node = parent
        return True

    def _awaited_gather(self, node: ast.AST | None) -> ast.Call | None:
        if not isinstance(node, ast.Call) or not is_gather(node, self._scope):
            return None
        return node if isinstance(self._parents.get(id(node)), ast.Await) else None

    def _once(self, node: ast.AST, block: list[ast.stmt], index: int) -> bool:
        """Whether control comes to the node at most once for each time it passes the statement, and later."""
        later = {id(each) for each in block[index + 1 :]}
        while id(node) not in later:
            parent = self._parents.get(id(node))
            if parent is None or isinstance(parent, _LOOPS):
                return False
            if isinstance(parent, ast.For) and parent.iter is not node:
                return False
            node = parent
        return True
