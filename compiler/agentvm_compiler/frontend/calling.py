"""What a call in plain Python may do: to the world, to its arguments, with its result."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import enum
import functools
import itertools
import operator
import re
import types
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Agent, Effect, Tool

from . import known
from .callees import agent_of, effect_call, effect_callee, subclasses, written_method
from .choosing import choices
from .declared import annotations_of
from .families import is_copied
from .kinds import element, is_immutable, item, members, plain
from .library import is_validation_error
from .objects import Obj, effect_mark, mark_effect
from .records import ATOMS, has_fields, is_generated, is_model, is_record, record_fields
from .scope import UNKNOWN, member_of, parameters
from .source import is_users
from .summary import Summary, summarise, summarise_callee

if TYPE_CHECKING:
    from .alias import Analysis


class Calls:
    """The calls of the function under analysis."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._scope = analysis.scope
        self._special: dict[tuple[int, tuple[str, ...]], list[types.FunctionType]] = {}
        """The user's own code behind operations, by a class's identity and names of special methods."""
        self._asked: list[Any] = []
        """Those classes, so that nothing else has their identity."""

    def of(self, node: ast.Call) -> Obj | None:
        """What the call may refer to; marks the tree with what it may do."""
        analysis = self._analysis
        callee = self._scope.resolve(node.func)
        arguments = [analysis.element(each) for each in node.args]
        arguments += [analysis.value(each.value) for each in node.keywords]
        if effect_call(node, self._scope):
            analysis.calls = True
            if callee is UNKNOWN:
                return self._chosen(node, arguments)
            called = callee if isinstance(callee, Tool) else agent_of(callee)
            if called is not None:
                return self._summarised(summarise_callee(called), called.fn, node, arguments)
            return Obj()
        if callee is not UNKNOWN:
            return self._known(callee, arguments, node)
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, arguments, node)
        return analysis.unknown([analysis.value(node.func), *arguments], node)

    def _chosen(self, node: ast.Call, arguments: list[Obj | None]) -> Obj:
        """A call of one of several: any of them may be meant."""
        self._analysis.value(node.func)
        made = Obj()
        for each in choices(node, self._scope):
            called = effect_callee(each)
            if called is not None:
                made.include(self._summarised(summarise_callee(called), called.fn, node, arguments))
        return made

    def _known(self, callee: Any, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        analysis = self._analysis
        inside = [each.content for each in arguments if each is not None]
        deeper = [each.content for each in inside]
        if callee is next:
            for each in arguments[:1]:
                analysis.mutate(each, node)
        if _in(callee, known.PICKS):
            self._handed(node, arguments)
            made = analysis.either([*inside, *arguments])
            made.passed = callee is getattr
            return made
        if _in(callee, known.HEAP):
            return self._heap(arguments, node)
        if _in(callee, known.FRESH):
            return Obj()
        if _in(callee, known.PURE_BUILTINS):
            given = self._handed(node, arguments)
            for part, held in zip(node.args, arguments, strict=False):
                self.operate(analysis.types.of(part), held, _BY_BUILTINS, node)
                self._compare(part, held, node)
            made = analysis.fresh([*inside, *deeper, *given])
            made.iterator = made.passed = _in(callee, known.ITERATORS)
            made.when_read = effect_mark(node) if made.iterator else Effect.PURE
            if made.iterator:
                analysis.over += [(made, held) for held in arguments if held is not None]
            return made
        if _in(callee, known.OUTPUT_BUILTINS):
            mark_effect(node, Effect.WRITE)
            made = analysis.fresh(arguments)
            made.iterator = made.passed = True
            return made
        if callee is dataclasses.replace and node.args:
            return self._constructed(plain(analysis.types.of(node.args[0])), [*arguments, *inside], node)
        if getattr(callee, "__self__", None) in (dict, int, float, str, bytes):  # dict.fromkeys and the like
            return analysis.fresh([*arguments, *inside])
        if isinstance(callee, type):
            return self._constructed(callee, arguments, node)
        if known.is_pure(callee):
            given = self._handed(node, arguments)
            made = analysis.fresh([*arguments, *inside, *deeper, *given])
            made.passed = not is_copied(analysis.types.of(node))
            if callee is itertools.tee:
                made.content.iterator = made.content.passed = True
            if callee.__module__ in ("operator", "_operator", "_functools"):
                made.include(analysis.either([*arguments, *inside, *given]))
            return made
        if isinstance(callee, types.FunctionType):
            summary = summarise(callee)
            mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
            analysis.calls |= summary.calls
            lambdas = [each for each in node.args if isinstance(each, ast.Lambda)]
            if lambdas:
                return self._called_back(lambdas, arguments, node)
            return self._summarised(summary, callee, node, arguments)
        if is_users(callee) or isinstance(callee, functools.partial):
            arguments.append(analysis.outside)  # it may hold something, as what `functools.cache` makes does
        return analysis.unknown(arguments, node)

    def _called_back(
        self, lambdas: list[ast.Lambda], arguments: list[Obj | None], node: ast.Call
    ) -> Obj | None:
        """A function of the user's calls these with anything, and may do anything with what they give."""
        analysis = self._analysis
        made = analysis.unknown([*arguments, *(analysis.value(each.body) for each in lambdas)], node)
        made.include(analysis.outside)
        for each in lambdas:
            for name in parameters(each):
                analysis.name(name).include(made)
        return made

    def _heap(self, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        """`heappush` and the like: change the list, by comparing what is in it, and may give an element."""
        heap, *added = arguments or [None]
        if heap is None:
            return None
        for each in added:
            self._analysis.put(each, heap)
        self._compare(node.args[0], heap, node)
        self._handed(node, arguments)
        self._analysis.mutate(heap, node)
        return heap.content

    def _constructed(self, cls: type, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        """An instance of a class."""
        analysis = self._analysis
        if typing.is_typeddict(cls):
            return analysis.fresh([*arguments, *(each.content for each in arguments if each is not None)])
        if not isinstance(cls, type):
            return analysis.unknown(arguments, node)
        own = [each for each in cls.__mro__ if is_users(each)]
        if is_record(cls) or (not own and (issubclass(cls, (*ATOMS, BaseException)) or _pure_library(cls))):
            given = self._handed(node, arguments)
            inside = [each.content for each in arguments if each is not None]
            deeper = [each.content for each in inside]
            made = analysis.fresh([*arguments, *given, *([] if is_record(cls) else [*inside, *deeper])])
            made.iterator = cls.__module__ == "itertools"
            made.passed = not is_copied(cls)
            return made
        if issubclass(cls, enum.Enum) and not is_users(_function_of(member_of(cls, "_missing_"))):
            return None
        special = {"__new__", "__init__", "__post_init__", "__call__", "__setattr__"}
        written = [each.__dict__[name] for each in own for name in special & set(each.__dict__)]
        simple = type(cls) is type or issubclass(cls, BaseException)
        if simple and all(isinstance(each, types.FunctionType) for each in written):
            for each in written:
                summary = summarise(each)
                mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
                if summary.mutates - {next(iter(each.__code__.co_varnames), "")} or summary.keeps:
                    kept = analysis.outside if summary.keeps and not is_generated(each) else None
                    return analysis.unknown([*arguments, kept], node, effect=summary.effect)
            made = analysis.fresh(arguments)
            made.passed = not is_copied(cls)
            return made
        return analysis.unknown(arguments, node)

    # -- operations on classes of the user's --------------------------------------------

    def operate(self, kind: Any, held: Obj | None, names: tuple[str, ...], node: ast.AST) -> None:
        """An operation that calls the special methods of a class: count what they do."""
        for function in self._methods(plain(kind), names):
            summary = summarise(function)
            mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
            if summary.mutates or summary.keeps:
                self._analysis.unknown([held], node, effect=summary.effect)

    def _methods(self, cls: Any, names: tuple[str, ...]) -> list[types.FunctionType]:
        found = self._special.get((id(cls), names))
        if found is None:
            found = self._special[id(cls), names] = list(_special_methods(cls, names, ()))
            self._asked.append(cls)
        return found

    def _compare(self, container: ast.expr, held: Obj | None, node: ast.AST) -> None:
        """What is in the container is compared, hashed or shown."""
        if held is not None:
            self.operate(element(self._analysis.types.of(container)), held.content, _BY_BUILTINS, node)

    # -- functions handed to others ----------------------------------------------------

    def _handed(self, node: ast.Call, arguments: list[Obj | None]) -> list[Obj | None]:
        """A function among the arguments may be called with the others: count what it does.

        Returns:
            What such functions give.
        """
        analysis = self._analysis
        results: list[Obj | None] = []
        for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
            passed = self._scope.resolve(each)
            if isinstance(each, ast.Lambda):
                given = analysis.value(each.body)
                self._bind_lambda(node, each, arguments, given)
                results.append(given)
            elif isinstance(passed, types.FunctionType):
                results.append(self._passed(passed, node, arguments))
            elif isinstance(passed, Tool | Agent):
                mark_effect(node, Effect.WRITE)
            elif self._called(node, each) and not self._harmless(each, passed):
                results.append(analysis.unknown([analysis.value(each), *arguments], node))
        return results

    def _bind_lambda(
        self, node: ast.Call, function: ast.Lambda, arguments: list[Obj | None], result: Obj | None
    ) -> None:
        """The parameters of a lambda are what the callee takes out of the arguments."""
        analysis = self._analysis
        callee = self._scope.resolve(node.func)
        whole = _in(callee, known.ACCUMULATES) or (callee in (min, max) and len(node.args) > 1)
        given: list[Obj | None] = [each.content for each in arguments if each is not None]
        if not _in(callee, known.PURE_BUILTINS):
            given += [each.content for each in given if each is not None]
        given += [*arguments, result] if whole else []
        for name in parameters(function):
            if not is_immutable(analysis.types.names.get(name, Any)):
                for each in given:
                    analysis.name(name).include(each)

    def _passed(self, fn: types.FunctionType, node: ast.Call, arguments: list[Obj | None]) -> Obj | None:
        """A function of the user's is called with what the callee takes out of the arguments."""
        analysis = self._analysis
        summary = summarise(fn)
        mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
        analysis.calls |= summary.calls
        if summary.mutates or summary.keeps:
            return analysis.unknown(arguments, node, effect=summary.effect)
        inside = [each.content for each in arguments if each is not None]
        made = analysis.either(
            [*([analysis.outside] if summary.returns_outside else []), *(inside if summary.returns else [])]
        )
        made.passed = not is_copied(annotations_of(fn).get("return", Any))
        return made

    def _called(self, node: ast.Call, argument: ast.expr) -> bool:
        """Whether the callee calls this argument, as far as its place tells."""
        if any(keyword.value is argument and keyword.arg in ("key", "default") for keyword in node.keywords):
            return not isinstance(argument, ast.Constant)
        callee = self._scope.resolve(node.func)
        first = bool(node.args) and node.args[0] is argument
        if callee in (map, filter) and first:
            return not isinstance(argument, ast.Constant)
        if callee is iter and first and len(node.args) > 1:
            return True
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if callee in (re.sub, re.subn) or (callee is UNKNOWN and name in ("sub", "subn")):
            place = 1 if callee is not UNKNOWN else 0
            text = plain(self._analysis.types.of(argument)) in (str, bytes)
            return len(node.args) > place and node.args[place] is argument and not text
        module = getattr(callee, "__module__", "")
        kind = self._analysis.types.of(argument)
        return module in ("functools", "_functools", "itertools") and not is_immutable(kind) and kind is Any

    def _harmless(self, argument: ast.expr, passed: Any) -> bool:
        """Whether calling the object is known to do nothing."""
        if _in(passed, known.PURE_BUILTINS):
            return True
        if isinstance(argument, ast.Attribute):
            owner = self._scope.resolve(argument.value)
            if _in(owner, known.PURE_METHODS):
                return True  # str.lower
            cls = plain(self._analysis.types.of(argument.value))
            if owner is UNKNOWN and (
                cls in known.PURE_METHODS or argument.attr in known.READERS.get(cls, ())
            ):
                return True  # counts.get
        if self._analysis.types.of(argument) is operator.itemgetter:
            return True
        owner = getattr(passed, "__objclass__", None)
        return owner in known.PURE_METHODS or known.is_pure(passed)

    # -- methods -----------------------------------------------------------------------

    def _method(self, method: ast.Attribute, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        analysis = self._analysis
        cls = plain(analysis.types.of(method.value))
        receiver = analysis.value(method.value)
        kind = analysis.types.of(method.value)
        if analysis.is_namespace(method.value):
            found = self._class_method(self._scope.resolve(method.value), method.attr, arguments, node)
            if found is not None:
                return found
        elif all(_in(each, known.PURE_METHODS) for each in map(plain, members(kind))):
            given = self._handed(node, arguments)
            for part, held in zip(node.args, arguments, strict=False):  # `"{}".format(x)`
                self.operate(analysis.types.of(part), held, _BY_BUILTINS, node)
                self._compare(part, held, node)
            inside = [each.content for each in (receiver, *arguments) if each is not None]
            return analysis.fresh([*arguments, *inside, *given])
        if receiver is None:
            if written_method(cls, method.attr) is None:
                return analysis.unknown(arguments, node)
            receiver = Obj()  # of an immutable class of the user's
        if method.attr in known.RECORD_READERS and _are_models(kind, method.attr):
            return analysis.fresh([receiver.content, *arguments, *_contents(arguments)])
        if method.attr in known.ERROR_READERS and is_validation_error(cls):
            return analysis.fresh([receiver.content])
        cls = dict if typing.is_typeddict(cls) else cls
        if method.attr in (*known.READERS.get(cls, ()), *known.MUTATORS.get(cls, ())):
            self._compare(method.value, receiver, node)
        if method.attr in known.READERS.get(cls, ()):
            made = analysis.fresh([receiver.content])
            if method.attr == "items":
                made.content.content.include(receiver.content)
            if method.attr in ("keys", "values", "items", "elements"):
                made.include(receiver)  # a view shows later changes
                made.passed = True
                made.iterator = method.attr == "elements"
            if method.attr == "get":
                made.include(receiver.content)
                made.include(arguments[1] if len(arguments) > 1 else None)
            return made
        if method.attr in known.MUTATORS.get(cls, ()):
            for each in arguments:
                analysis.put(each, receiver)
                if each is not None and method.attr in ("extend", "extendleft", "update", "subtract"):
                    analysis.put(each.content, receiver)
                    analysis.put(each.content.content, receiver)  # of pairs
            if method.attr == "sort":
                self._handed(node, [receiver])
            analysis.mutate(receiver, node)
            return receiver.content
        function = written_method(cls, method.attr)
        if function is not None:
            summary = summarise(function)
            mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
            analysis.calls |= summary.calls
            if summary.mutates or summary.keeps or summary.returns_outside:
                return analysis.unknown([receiver, *arguments], node, effect=summary.effect)
            if summary.raises:
                for each in (receiver, *arguments):
                    analysis.raised.include(each)
            made = analysis.either([analysis.fresh([receiver, *arguments]), receiver, *arguments])
            made.passed = not is_copied(analysis.types.of(node))
            return made
        return analysis.unknown([receiver, *arguments], node)

    def _class_method(self, cls: Any, name: str, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        """A method called on a class; None if nothing is known of it."""
        analysis = self._analysis
        if not isinstance(cls, type):
            return None
        if (
            name in known.RECORD_MAKERS
            and is_record(cls)
            and not is_users(_function_of(member_of(cls, name)))
        ):
            made = analysis.fresh([*arguments, *_contents(arguments)])
            made.include(analysis.either(arguments))  # an instance is its own validation
            return made
        if cls in _DATES and name in ("fromisoformat", "strptime", "combine", "fromordinal"):
            return Obj()
        return None

    # -- functions with a summary ------------------------------------------------------

    def _summarised(self, summary: Summary, fn: Any, node: ast.Call, arguments: list[Obj | None]) -> Obj:
        """Apply what is known of a callee to the arguments it gets here."""
        analysis = self._analysis
        callee = self._scope.resolve(node.func)
        made = Obj()
        made.iterator = summary.iterator
        made.passed = not (isinstance(callee, Tool | Agent) or is_copied(analysis.types.of(node)))
        if summary.returns_outside:
            made.include(analysis.outside)
        given = [(names, analysis.value(each), each) for names, each in _matched(fn, node)]
        for names, held, argument in given:
            if held is None:
                continue
            if summary.returns & names or isinstance(argument, ast.Starred):
                made.include(held)
                made.include(held.content)
                made.content.include(held)
                if effect_call(node, self._scope):
                    analysis.apart.append((made, held, node))
            if summary.raises & names:
                analysis.raised.include(held)
                analysis.raised.content.include(held)
            if summary.keeps & names:
                analysis.outside.unify(held)
            if summary.mutates & names:
                held.content.unify(held)  # it may change anything inside
                for others, other, _ in given:
                    if summary.joins(names, others):
                        analysis.put(other, held)
                analysis.mutate(held, node)
        return made


def _matched(fn: Any, node: ast.Call) -> list[tuple[frozenset[str], ast.expr]]:
    """Each argument with the names of the parameter it goes to; `*` stands for any."""
    code = fn.__code__
    names = code.co_varnames[: code.co_argcount]
    every = frozenset({*code.co_varnames, "*"})
    matched = []
    exact = ast.Starred not in map(type, node.args)
    for index, each in enumerate(node.args):
        known_place = exact and index < len(names)
        matched.append((frozenset({names[index], "*"}) if known_place else every, each))
    for keyword in node.keywords:
        plainly = keyword.arg is not None and keyword.arg in code.co_varnames
        matched.append((frozenset({str(keyword.arg), "*"}) if plainly else every, keyword.value))
    return matched


_CONVERTED = ("str", "repr", "format", "bytes", "bool", "int", "float", "index", "round", "abs", "hash")
_COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "divmod", "pow")
_READ = ("len", "iter", "next", "reversed", "contains", "getitem")
_BY_BUILTINS = tuple(f"__{name}__" for name in (*_CONVERTED, *_COMPARED, *_READ))
"""Special methods that the builtin functions call."""


def _special_methods(cls: Any, names: tuple[str, ...], seen: tuple[Any, ...]) -> Iterator[types.FunctionType]:
    """The user's own code behind operations on an instance; of generated methods, that of the fields."""
    if not isinstance(cls, type) or not is_users(cls) or cls in seen:
        return
    for function in [member_of(each, name) for each in (cls, *subclasses(cls)) for name in names]:
        if isinstance(function, types.FunctionType) and is_users(function) and not is_generated(function):
            yield function
    if has_fields(cls):
        for kind in record_fields(cls).values():
            for inner in (kind, element(kind), item(kind)):
                yield from _special_methods(plain(inner), names, (*seen, cls))


def _are_models(kind: Any, name: str) -> bool:
    """Whether all values of the type are pydantic models with the method as it comes."""
    return all(
        isinstance(each, type)
        and is_model(each)
        and all(is_record(sub) for sub in (each, *subclasses(each)))
        and not is_users(member_of(each, name))
        for each in members(kind)
    )


def _function_of(member: Any) -> Any:
    return getattr(member, "__func__", member)


def _contents(objects: list[Obj | None]) -> list[Obj | None]:
    return [each.content for each in objects if each is not None]


_DATES = (datetime.date, datetime.datetime, datetime.time)


def _pure_library(cls: type) -> bool:
    return cls.__module__ in known.PURE_MODULES or cls.__module__ == "builtins"


def _in(value: Any, known_set: frozenset[Any]) -> bool:
    try:
        return value in known_set
    except TypeError:
        return False
