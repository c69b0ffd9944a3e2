"""What a call in plain Python may do: to the world, to its arguments, with its result."""

from __future__ import annotations

import ast
import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from agentvm_compiler.calls import Agent, Effect, Tool

from . import known
from .callees import agent_of, effect_call
from .kinds import ATOMS, is_immutable, is_record, plain
from .objects import Obj, effect_mark, mark_effect
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

    def of(self, node: ast.Call) -> Obj | None:
        """What the call may refer to; marks the tree with what it may do."""
        analysis = self._analysis
        callee = self._scope.resolve(node.func)
        arguments = [analysis.element(each) for each in node.args]
        arguments += [analysis.value(each.value) for each in node.keywords]
        if effect_call(node, self._scope):
            analysis.calls = True
            called = callee if isinstance(callee, Tool) else agent_of(callee)
            if called is not None:
                return self._summarised(summarise_callee(called), called.fn, node, arguments)
            return Obj()
        if callee is not UNKNOWN:
            return self._known(callee, arguments, node)
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, arguments, node)
        return analysis.unknown([analysis.value(node.func), *arguments], node)

    def _known(self, callee: Any, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        analysis = self._analysis
        inside = [each.content for each in arguments if each is not None]
        if callee is next:
            for each in arguments[:1]:
                analysis.mutate(each, node)
        if _in(callee, known.PICKS):
            self._handed(node, arguments)
            return analysis.either([*inside, *arguments])
        if _in(callee, known.FRESH):
            return Obj()
        if _in(callee, known.PURE_BUILTINS):
            self._handed(node, arguments)
            made = analysis.fresh([*inside, *[each.content for each in inside]])
            made.iterator = _in(callee, known.ITERATORS)
            made.when_read = effect_mark(node) if made.iterator else Effect.PURE
            return made
        if _in(callee, known.OUTPUT_BUILTINS):
            mark_effect(node, Effect.WRITE)
            made = analysis.fresh(arguments)
            made.iterator = True
            return made
        if getattr(callee, "__self__", None) in (dict, int, float, str, bytes):  # dict.fromkeys and the like
            return analysis.fresh([*arguments, *inside])
        if isinstance(callee, type):
            return self._constructed(callee, arguments, node)
        if getattr(callee, "__module__", None) in known.PURE_MODULES and not _in(callee, known.IMPURE):
            self._handed(node, arguments)
            made = analysis.fresh([*arguments, *inside])
            made.include(
                analysis.either(arguments) if callee.__module__ in ("operator", "_operator") else None
            )
            return made
        if isinstance(callee, types.FunctionType):
            summary = summarise(callee)
            mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
            analysis.calls |= summary.calls
            return self._summarised(summary, callee, node, arguments)
        return analysis.unknown(arguments, node)

    def _constructed(self, cls: type, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        """An instance of a class."""
        analysis = self._analysis
        own = [each for each in cls.__mro__ if is_users(each)]
        if is_record(cls) or (not own and (issubclass(cls, (*ATOMS, BaseException)) or _pure_library(cls))):
            self._handed(node, arguments)
            made = analysis.fresh(arguments)
            made.iterator = cls.__module__ == "itertools"
            return made
        special = {"__new__", "__init__", "__post_init__", "__call__", "__setattr__"}
        written = [each.__dict__[name] for each in own for name in special & set(each.__dict__)]
        simple = type(cls) is type or issubclass(cls, BaseException)
        if simple and all(isinstance(each, types.FunctionType) for each in written):
            for each in written:
                summary = summarise(each)
                mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
                if summary.mutates - {next(iter(each.__code__.co_varnames), "")} or summary.keeps:
                    return analysis.unknown(arguments, node, effect=summary.effect)
            return analysis.fresh(arguments)
        return analysis.unknown(arguments, node)

    # -- functions handed to others ----------------------------------------------------

    def _handed(self, node: ast.Call, arguments: list[Obj | None]) -> None:
        """A function among the arguments may be called with the others: count what it does."""
        analysis = self._analysis
        for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
            passed = self._scope.resolve(each)
            if isinstance(each, ast.Lambda):
                for name in parameters(each):
                    for given in arguments:
                        if given is not None:
                            analysis.name(name).include(given.content)
                            analysis.name(name).include(given.content.content)
                            analysis.name(name).include(given)
            elif isinstance(passed, types.FunctionType):
                summary = summarise(passed)
                mark_effect(node, Effect.WRITE if summary.calls else summary.effect)
                if summary.mutates or summary.keeps:
                    analysis.unknown(arguments, node, effect=summary.effect)
            elif isinstance(passed, Tool | Agent):
                mark_effect(node, Effect.WRITE)
            elif self._called(node, each) and not self._harmless(passed):
                analysis.unknown([analysis.value(each), *arguments], node)

    def _called(self, node: ast.Call, argument: ast.expr) -> bool:
        """Whether the callee calls this argument, as far as its place tells."""
        if any(keyword.value is argument and keyword.arg in ("key", "default") for keyword in node.keywords):
            return not isinstance(argument, ast.Constant)
        callee = self._scope.resolve(node.func)
        first = bool(node.args) and node.args[0] is argument
        if callee in (map, filter) and first:
            return not isinstance(argument, ast.Constant)
        module = getattr(callee, "__module__", "")
        kind = self._analysis.types.of(argument)
        return module in ("functools", "_functools", "itertools") and not is_immutable(kind) and kind is Any

    def _harmless(self, passed: Any) -> bool:
        """Whether calling the object is known to do nothing."""
        if _in(passed, known.PURE_BUILTINS):
            return True
        owner = getattr(passed, "__objclass__", None)
        return owner in known.PURE_METHODS or getattr(passed, "__module__", None) in known.PURE_MODULES

    # -- methods -----------------------------------------------------------------------

    def _method(self, method: ast.Attribute, arguments: list[Obj | None], node: ast.Call) -> Obj | None:
        analysis = self._analysis
        cls = plain(analysis.types.of(method.value))
        receiver = analysis.value(method.value)
        if cls in known.PURE_METHODS and not analysis.is_namespace(method.value):
            self._handed(node, arguments)
            inside = [each.content for each in (receiver, *arguments) if each is not None]
            return analysis.fresh([*arguments, *inside])
        if receiver is None:
            if written_method(cls, method.attr) is None:
                return analysis.unknown(arguments, node)
            receiver = Obj()  # of an immutable class of the user's
        kind = analysis.types.of(method.value)
        if method.attr in known.RECORD_READERS and self._are_models(kind, method.attr):
            return analysis.fresh([receiver.content])
        if method.attr in known.READERS.get(cls, ()):
            made = analysis.fresh([receiver.content])
            if method.attr == "items":
                made.content.content.include(receiver.content)
            if method.attr in ("keys", "values", "items"):
                made.include(receiver)  # a view shows later changes
            if method.attr == "get":
                made.include(receiver.content)
                made.include(arguments[1] if len(arguments) > 1 else None)
            return made
        if method.attr in known.MUTATORS.get(cls, ()):
            for each in arguments:
                receiver.content.include(each)
                if each is not None and method.attr in ("extend", "update"):
                    receiver.content.include(each.content)
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
            return analysis.either([analysis.fresh([receiver, *arguments]), receiver, *arguments])
        return analysis.unknown([receiver, *arguments], node)

    def _are_models(self, kind: Any, name: str) -> bool:
        """Whether all values of the type are pydantic models with the method as it comes."""
        classes = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else [kind]
        return all(
            isinstance(each, type)
            and hasattr(each, "__pydantic_fields__")
            and not is_users(member_of(each, name))
            for each in classes
        )

    # -- functions with a summary ------------------------------------------------------

    def _summarised(self, summary: Summary, fn: Any, node: ast.Call, arguments: list[Obj | None]) -> Obj:
        """Apply what is known of a callee to the arguments it gets here."""
        analysis = self._analysis
        made = Obj()
        made.iterator = summary.iterator
        if summary.returns_outside:
            made.include(analysis.outside)
        for names, argument in _matched(fn, node):
            held = analysis.value(argument)
            if held is None:
                continue
            if summary.returns & names or isinstance(argument, ast.Starred):
                made.include(held)
                made.include(held.content)
                made.content.include(held)
            if summary.keeps & names:
                analysis.outside.unify(held)
            if summary.mutates & names:
                held.content.unify(held)  # it may change anything inside
                analysis.mutate(held, node)
        return made


def written_method(cls: Any, name: str) -> types.FunctionType | None:
    """The method a call on an instance declared as `cls` certainly reaches; None if that cannot be told."""
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False):
        return None
    if any(name in each.__dict__ for each in _subclasses(cls)):
        return None
    found = next((each.__dict__[name] for each in cls.__mro__ if name in each.__dict__), None)
    return found if isinstance(found, types.FunctionType) else None


def _subclasses(cls: type) -> list[type]:
    try:
        direct: list[type] = cls.__subclasses__()
    except TypeError:  # `type` itself
        return []
    return [*direct, *(each for sub in direct for each in _subclasses(sub))]


def _matched(fn: Any, node: ast.Call) -> list[tuple[frozenset[str], ast.expr]]:
    """Each argument with the names of the parameter it goes to; `*` stands for any."""
    code = fn.__code__
    names = code.co_varnames[: code.co_argcount]
    every = frozenset({*code.co_varnames, "*"})
    matched = []
    exact = not any(isinstance(each, ast.Starred) for each in node.args)
    for index, each in enumerate(node.args):
        known_place = exact and index < len(names)
        matched.append((frozenset({names[index], "*"}) if known_place else every, each))
    for keyword in node.keywords:
        plainly = keyword.arg is not None and keyword.arg in code.co_varnames
        matched.append((frozenset({str(keyword.arg), "*"}) if plainly else every, keyword.value))
    return matched


def _pure_library(cls: type) -> bool:
    return cls.__module__ in known.PURE_MODULES or cls.__module__ == "builtins"


def _in(value: Any, known_set: frozenset[Any]) -> bool:
    try:
        return value in known_set
    except TypeError:
        return False
