"""Lowering: statements of an `async def` to nodes.

A statement without awaits is one `python` node, whatever is in it. One whose
expressions await is cut at the awaits (`hoist`). `if`, `for` and `while` with
awaits inside become regions. Anything else becomes one `traced` node.

Leaving a block early is data: a node that may leave it defines an *exit* (why)
and a *value* (what is returned), and what follows stands in a branch on the exit.
"""

from __future__ import annotations

import ast
import copy
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from agentvm_compiler.calls import Agent, Effect, Tool, joined, llm
from agentvm_compiler.human import is_human
from agentvm_compiler.ir import CHOSEN, LITERALS, Kind, Node, Program, Region, Span
from agentvm_compiler.parsing import remember

from .alias import Analysis
from .apart import is_cut, set_apart, test_apart
from .at_once import at_once
from .block import Block, Exit, Names
from .callees import agent_of, suspends
from .control import is_listed, lower_for, lower_guarded, lower_if, lower_match, lower_while
from .decide import Reason, Unsupported, why_whole
from .exits import may_exit
from .finalising import lower_finally
from .fingerprint import bare_hash, code_hash, fingerprint, without_docstrings
from .gated import lower_gated
from .handling import lower_try
from .hoist import hoist
from .kinds import element, is_immutable
from .pieces import Piece, Pieces
from .scope import UNKNOWN
from .source import source_of
from .targets import assign_to_awaiting, augmented, replaced, targets
from .writing import written

EffectOf = Callable[[Agent], Effect]
"""The effect of a whole agent."""


_OURS = re.compile(r"_(\d+|exit|value|if|in|item|gate\d+)")
"""What the names of our own intermediate values look like."""


class Decision(NamedTuple):
    """What became of a statement, for `--explain`."""

    line: int
    what: str
    """`compiled` or `traced`."""
    reason: Reason | None = None


class Lowering:
    """Lowers one function."""

    def __init__(self, analysis: Analysis, effect_of_agent: EffectOf) -> None:
        self.analysis = analysis
        self.scope = analysis.scope
        self.tree = analysis.scope.tree
        self.marks = analysis.marks
        self.effect_of_agent = effect_of_agent
        self.pieces = Pieces(self.scope, self.marks)
        self.names = Names()
        self.decisions: list[Decision] = []
        self.temporaries = 0
        taken = any(map(_OURS.fullmatch, (*self.scope.shadowed, *self.read_counts)))
        self.prefix = "_avm_" if taken else "_"
        """What the names of our own intermediate values begin with."""
        self.unsure: set[str] = set()
        """SSA values that may be `$unbound`."""
        self.parts: set[str] = {self.own("item")}
        """Names for intermediate values that may be part of what other names stand for."""
        self.place: ast.stmt = self.scope.source.tree
        """The statement of the function's that is lowered."""
        self.callees: list[Agent] = []
        self.gates: list[str] = []
        """Names of the semaphores and locks around what is lowered."""
        self._fingerprints: dict[str, str] = {}
        """Of what is used outside the function, by dotted name."""

    def own(self, what: str) -> str:
        """The name of an intermediate value."""
        return self.prefix + what

    def is_bound(self, name: str, block: Block) -> bool:
        """Whether a name certainly has a value here."""
        value = block.read(name)
        return value is not None and value != "$unbound" and value not in self.unsure

    def is_read_once(self, expression: ast.expr) -> bool:
        """Whether this is a name that is read nowhere else, so that nobody sees it used up."""
        if not isinstance(expression, ast.Name):
            return False
        return self.read_counts[expression.id] == 1

    @functools.cached_property
    def read_counts(self) -> Counter[str]:
        """How often each name is read in the function."""
        return Counter(name for _, name in self.tree.reads.all)

    def program(self, name: str) -> Program:
        """Lower the whole function."""
        tree = self.scope.source.tree
        block = Block(self.names)
        params = self.scope.params
        values = tuple(block.bind(each) for each in params)
        reason = why_whole(self.analysis)
        if reason is not None:
            self.decisions.append(Decision(tree.lineno, "traced", reason))
            result = self._whole(block, params, reason)
        else:
            end = self.block(tree.body, block)
            result = end.value if end else "$none"
        return Program(name, params, block.region(values, (result,)), self.scope.source.file)

    def _whole(self, block: Block, params: tuple[str, ...], reason: Reason) -> str:
        source = source_of(self.scope.source.fn) or self.scope.source
        tree = source.tree
        code = written(without_docstrings(tree))
        operands = tuple(value for each in params if (value := block.read(each)))
        result = block.write(self.own("value"))
        # Its result alone would not change them again.
        changes = any(map(self.analysis.parameter_mutated, params))
        block.add(
            Node(
                Kind.TRACED,
                self.names.site("traced"),
                operands,
                (result,),
                code,
                Effect.WRITE,
                {"whole": True, "reason": reason.what, **({"shares": True} if changes else {})},
                code_hash=fingerprint(self.scope.source.fn),
                span=_span(tree),
            )
        )
        return result

    # -- statements --------------------------------------------------------------------

    def block(self, statements: list[ast.stmt], block: Block) -> Exit | None:
        """Lower statements one after the other."""
        for index, statement in enumerate(statements):
            end = self.statement(statement, block)
            if end is None:
                continue
            rest = statements[index + 1 :]
            if end.always or not rest:
                return end
            return lower_guarded(self, rest, end, block)
        return None

    def statement(self, statement: ast.stmt, block: Block) -> Exit | None:
        self.temporaries = 0
        if isinstance(statement, ast.Pass) or _is_text(statement):
            return None
        self.place = statement
        if not suspends(statement, self.scope):
            return self._plain(statement, block)
        checkpoint = block.state()
        try:
            end = self._suspending(statement, block)
        except Unsupported as unsupported:
            block.restore(checkpoint)
            self.decisions.append(Decision(statement.lineno, "traced", unsupported.reason))
            return self.python(statement, block, traced=unsupported.reason)
        self.decisions.append(Decision(statement.lineno, "compiled"))
        return end

    def _suspending(self, statement: ast.stmt, block: Block) -> Exit | None:
        match statement:
            case ast.If():
                return lower_if(self, statement, block)
            case ast.For():
                if getattr(statement, "avm_read_over", False):
                    raise Unsupported(statement, "the loop changes what it loops over", "loop over a copy")
                if self.marks.effect_of(statement.iter) is not Effect.PURE and not is_listed(
                    self, statement.iter
                ):
                    what = "what the loop goes over may do something each time it is asked for the next item"
                    raise Unsupported(statement, what, "make it a list first")
                if self.marks.mutated_in(statement.iter) and not self.is_read_once(statement.iter):
                    raise Unsupported(statement, "the loop uses up an iterator that has a name", "use a list")
                return lower_for(self, statement, block)
            case ast.Try(finalbody=[]):
                return lower_try(self, statement, block)
            case ast.Try():
                return lower_finally(self, statement, block)
            case ast.Match():
                return lower_match(self, statement, block)
            case ast.While():
                return lower_while(self, statement, block)
            case ast.AsyncWith():
                return lower_gated(self, statement, block)
            case ast.Assign(targets=[ast.Name(name)], value=value):
                rest = hoist(self, value, block, into=name)
                if rest is None:
                    return None
                return self._simple(replaced(statement, value=rest), block)
            case ast.AugAssign():
                return self._simple(augmented(self, statement, block), block)
            case ast.Assign() | ast.AnnAssign(value=ast.expr()) | ast.Return() | ast.Expr():
                if any(suspends(target, self.scope) for target in targets(statement)):
                    return self._simple(assign_to_awaiting(self, statement, block), block)
                assert statement.value is not None
                left = hoist(self, statement.value, block)
                if isinstance(statement, ast.Expr) and isinstance(left, ast.Name):
                    return None
                return self._simple(replaced(statement, value=left), block)
            case ast.Assert(msg=message) if message is None or not suspends(message, self.scope):
                test = hoist(self, statement.test, block)
                return self._simple(replaced(statement, test=test), block)
            case ast.Raise(exc=ast.expr() as raised, cause=cause) if not (
                cause and suspends(cause, self.scope)
            ):
                return self._simple(replaced(statement, exc=hoist(self, raised, block)), block)
        kind = type(statement).__name__.removeprefix("Async").lower()
        raise Unsupported(statement, f"`{kind}` with an await inside is not compiled yet")

    def _plain(self, statement: ast.stmt, block: Block) -> Exit | None:
        """A statement without awaits."""
        if (
            isinstance(statement, ast.If)
            and is_cut(self, statement)
            and not self.analysis.families.are_of_one_node(statement)
        ):
            return lower_if(self, test_apart(self, statement, block), block)
        whole = at_once(self, statement, block)
        return self.python(set_apart(self, whole, statement, block), block)

    def _simple(self, statement: ast.stmt, block: Block) -> Exit | None:
        """What is left of a statement whose awaits were hoisted."""
        if isinstance(statement, ast.Return) and isinstance(statement.value, ast.Name):
            value = block.read(statement.value.id)
            if value is not None and self.is_bound(statement.value.id, block):
                return Exit("$return", value, always=True)
        return self.python(set_apart(self, statement, self.place, block), block)

    def python(
        self,
        statement: ast.stmt,
        block: Block,
        traced: Reason | None = None,
        piece: Piece | None = None,
    ) -> Exit | None:
        """Lower a statement to one node that runs it as it stands.

        Args:
            piece: what is known of it, if it was asked for already.
        """
        if isinstance(statement, ast.Break | ast.Continue):
            return Exit("$break" if isinstance(statement, ast.Break) else "$continue", "$none", always=True)
        if isinstance(statement, ast.Return) and statement.value is None:
            return Exit("$return", "$none", always=True)
        piece = piece or self.pieces.of(statement)
        exits = bool(piece.special) and may_exit(statement)
        assigned = dict.fromkeys(piece.stored)
        mutated = [each for each in sorted(set(piece.mutated)) if self._is_held(each, block)]
        stored = {**assigned, **dict.fromkeys(mutated)}
        needed = dict.fromkeys([*piece.loaded, *mutated])
        sure = _is_definite(statement, piece)
        if not sure:  # a name it may leave alone keeps the value it had
            needed.update(stored)
        effect = joined([*piece.effects, *map(self.effect_of_call, piece.calls)])
        around = dict.fromkeys(sorted(self.analysis.families.around(stored, block.is_bound)))
        shares = self._shares(statement, piece, needed, stored) or bool(around)
        if effect is not Effect.PURE:  # it is read back from a journal, so all that shares at once
            stored, needed = {**stored, **around}, {**needed, **around}
        uncopied = sorted(self.analysis.families.apart_from(mutated, needed)) if mutated else []
        operands, unbound = self._operands(needed, block)
        results = tuple(
            block.write(each) for each in ([self.own("exit"), self.own("value")] if exits else [])
        )
        unsure = [
            each
            for each in stored
            if each in piece.ended or not ((sure and each in assigned) or self.is_bound(each, block))
        ]
        results += tuple(block.write(each) for each in stored)
        self.unsure.update(value for each in unsure if (value := block.read(each)))
        self.add(
            block,
            Kind.TRACED if traced else Kind.PYTHON,
            _label(statement, piece, traced),
            operands,
            results,
            statement,
            effect=effect,
            attrs={
                **({"reason": traced.what} if traced else {}),
                **({"shares": True} if shares else {}),
                **({"exits": True} if exits else {}),
                **({"mutates": mutated} if mutated else {}),
                **({"uncopied": uncopied} if uncopied else {}),
                **unbound,
            },
            piece=piece,
        )
        if not exits:
            return None
        return Exit(results[0], results[1], always=isinstance(statement, ast.Return))

    def _shares(
        self, statement: ast.stmt, piece: Piece, operands: Iterable[str], stored: Iterable[str]
    ) -> bool:
        """Whether what the statement makes may have a mutable part in common with what it is given.

        Such results are not read back from a journal, one by one, but computed
        again, so that `is` and shared parts are after a crash what they were before.
        """
        objects, types, share = self.analysis.objects, self.analysis.types.names, self.analysis.share
        given = [each for each in operands if each in objects and not is_immutable(types.get(each, Any))]
        part = any(each in self.parts and each not in objects for each in operands)
        if (given or part) and piece.has(ast.Return):
            return True
        shared = self.own("raised") in operands
        for name in stored:
            if self.is_own(name):
                if (given or part) and not self._is_new(statement):
                    self.parts.add(name)
                    shared = True
            elif name in objects and not is_immutable(types.get(name, Any)):
                others = [each for each in given if each != name]
                shared = shared or part or any(share(objects[name], objects[each]) for each in others)
        return shared

    def _is_new(self, statement: ast.stmt) -> bool:
        """Whether what is assigned certainly has no mutable part that was there before."""
        if not isinstance(statement, ast.Assign):
            return False
        kind = self.analysis.types.of(statement.value)
        listed = isinstance(statement.value, ast.List | ast.Set | ast.ListComp | ast.SetComp)
        return is_immutable(kind) or (listed and is_immutable(element(kind)))

    def _is_held(self, name: str, block: Block) -> bool:
        """Whether the name is the program's, or that of what a loop around the block goes over."""
        return name not in self.analysis.items or block.read(name) is not None

    def _operands(self, names: Iterable[str], block: Block) -> tuple[tuple[str, ...], dict[str, object]]:
        """What code that reads these names is given; as an attribute, those local names not bound."""
        bound: dict[str, None] = {}
        unbound = []
        for name in names:
            value = block.read(name)
            if value is not None and value not in LITERALS:
                bound[value] = None
            elif (value is None or value == "$unbound") and name in self.scope.locals:
                unbound.append(name)
        return tuple(bound), {"unbound": unbound} if unbound else {}

    def add(
        self,
        block: Block,
        kind: Kind,
        label: str,
        operands: tuple[str, ...],
        results: tuple[str, ...],
        tree: ast.AST | None = None,
        *,
        effect: Effect = Effect.PURE,
        attrs: dict[str, object] | None = None,
        regions: tuple[Region, ...] = (),
        place: ast.AST | None = None,
        piece: Piece | None = None,
    ) -> None:
        """Add a node.

        Args:
            tree: its code.
            piece: what is known of that, if it was asked for already.
        """
        if block.guarded:
            before = {name: value for name, value in block.before.items() if not self.is_own(name)}
            attrs = {**(attrs or {}), **({"before": before} if before else {})}
        code = written(tree) if tree is not None else ""
        piece = self.pieces.of(tree) if piece is None and tree is not None else piece
        used = {name: self._fingerprint(name, value) for name, value in piece.used} if piece else {}
        if kind in _READ_BY_PASSES:
            assert isinstance(tree, ast.stmt | ast.expr)
            remember(code, [tree if isinstance(tree, ast.stmt) else ast.Expr(tree)])
        block.add(
            Node(
                kind,
                self.names.site(label),
                operands,
                results,
                code,
                effect,
                attrs or {},
                regions,
                code_hash=code_hash(code, used, kind.value) if tree is not None else bare_hash(kind.value),
                span=_span(place or tree),
            )
        )

    def _fingerprint(self, name: str, value: Any) -> str:
        if name not in self._fingerprints:
            self._fingerprints[name] = fingerprint(value)
        return self._fingerprints[name]

    def effect_of_call(self, node: ast.AST) -> Effect:
        assert isinstance(node, ast.Call)
        return self._effect_of(self.scope.resolve(node.func))

    def _effect_of(self, callee: object) -> Effect:
        if callee is llm:
            return Effect.PURE
        if isinstance(callee, Tool):
            return callee.effect
        if callee is UNKNOWN:
            return Effect.WRITE  # it is chosen as the program runs
        agent = agent_of(callee)
        return Effect.PURE if agent is None else self.effect_of_agent(agent)

    def is_own(self, name: str) -> bool:
        return (
            name.startswith(self.prefix) and name not in self.scope.locals and name not in self.analysis.items
        )

    # -- calls, asked for by `hoist` ---------------------------------------------------

    def temporary(self) -> str:
        """A name for an intermediate value, numbered within its statement."""
        self.temporaries += 1
        return self.own(str(self.temporaries))

    def assign(self, name: str, value: ast.expr, block: Block) -> None:
        """Add `name = value` as a node."""
        target = ast.Assign([ast.Name(name, ast.Store())], value, lineno=getattr(value, "lineno", 0))
        self.python(ast.copy_location(target, value), block, piece=self.pieces.of_assigned(name, value))

    def choice(self, call: ast.Call, options: Sequence[Any], name: str, block: Block) -> None:
        """Add `name = await call` as a node that finds out what it calls when it runs.

        Args:
            options: what that may be, as far as is known now.
        """
        self.callees += [each for each in map(agent_of, options) if each is not None]
        self.parts.add(name)
        needed = dict.fromkeys(self.pieces.of(call).loaded)
        operands, unbound = self._operands(needed, block)
        result = block.write(name)
        attrs = {"callee": CHOSEN, **unbound}
        self.add(block, Kind.AGENT, "chosen", operands, (result,), call, effect=Effect.WRITE, attrs=attrs)

    def call(self, call: ast.Call, name: str, block: Block) -> None:
        """Add `name = await call` as a node; the arguments hold no awaits any more."""
        callee = self.scope.resolve(call.func)
        callee = agent_of(callee) or callee
        kind = _call_kind(callee)
        label = "llm" if callee is llm else callee.name
        if isinstance(callee, Agent):
            self.callees.append(callee)
            self.parts.add(name)
        parts = (*call.args, *call.keywords)
        needed = dict.fromkeys([name for each in parts for name in self.pieces.of(each).loaded])
        operands, unbound = self._operands(needed, block)
        gates = [value for each in self.gates if (value := block.read(each))]
        result = block.write(name)
        self.add(
            block,
            kind,
            label,
            tuple(dict.fromkeys([*operands, *gates])),
            (result,),
            call,
            effect=self._effect_of(callee),
            attrs={
                "callee": "agentvm:llm" if callee is llm else callee.ref,
                **({"gates": gates} if gates else {}),
                **unbound,
            },
        )

    def map(
        self, items: str, target: ast.expr, element: ast.expr, name: str, block: Block, place: ast.AST
    ) -> None:
        """Add `name = [element for target in items]`, all elements side by side."""
        body = Block(self.names, block, guarded=False)  # the names in it end with it
        target = copy.deepcopy(target)  # in its comprehension it binds no names of the function, here it does
        targets = set(self.tree.stored(target))
        if isinstance(target, ast.Name):
            item = body.bind(target.id)
        else:
            item = body.bind(self.own("item"))
            self._unpack(target, body, place)
        rest = hoist(self, element, body)
        assert rest is not None
        if not isinstance(rest, ast.Name):
            temporary = self.temporary()
            self.assign(temporary, rest, body)
            rest = ast.Name(temporary, ast.Load())
        changed = [each for each in body.written if not self.is_own(each) and each not in targets]
        if changed:
            what = f"each element changes `{changed[0]}` for the next"
            raise Unsupported(place, what, "use a for loop")
        result = body.read(rest.id)
        assert result is not None
        source = block.read(items)
        assert source is not None
        self.parts.add(name)
        captures = tuple(body.captures)
        self.add(
            block,
            Kind.MAP,
            "map",
            (source, *captures),
            (block.write(name),),
            effect=body.effect,
            regions=(body.region((item, *captures), (result,)),),
            place=place,
        )

    def _unpack(self, target: ast.expr, block: Block, place: ast.AST) -> None:
        unpack = ast.Assign([target], ast.Name(self.own("item"), ast.Load()))
        self.python(ast.copy_location(unpack, place), block)


_READ_BY_PASSES = (Kind.LLM, Kind.PYTHON)
"""Kinds of nodes whose code passes look into."""


def _call_kind(callee: object) -> Kind:
    if callee is llm:
        return Kind.LLM
    if is_human(callee):
        return Kind.HUMAN
    return Kind.TOOL if isinstance(callee, Tool) else Kind.AGENT


def _is_definite(statement: ast.stmt, piece: Piece) -> bool:
    """Whether all names the statement binds are bound when it is done."""
    if piece.has(ast.NamedExpr):
        return False  # `:=` may stand where it is not always evaluated
    return isinstance(statement, ast.Assign | ast.Expr | ast.Return | ast.Import | ast.ImportFrom) or (
        isinstance(statement, ast.AnnAssign) and statement.value is not None
    )


def _label(statement: ast.stmt, piece: Piece, traced: Reason | None) -> str:
    """A site label that names what the node is for."""
    if traced is not None:
        return "traced"
    if isinstance(statement, ast.Return):
        return "return"
    return f"={piece.stored[0]}" if piece.stored else "python"


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _span(tree: ast.AST | None) -> Span:
    line = getattr(tree, "lineno", 0)
    column = getattr(tree, "col_offset", 0)
    end = getattr(tree, "end_lineno", None) or line
    return Span(line, column, end, getattr(tree, "end_col_offset", None) or column)
