"""Making artifacts: an agent's programs, and where their code's names come from.

Tools, helpers and classes are imported, never carried, so they must stand in
importable modules; those that the agent's own file defines are a `CompileError`
that names them all.
"""

from __future__ import annotations

import ast
import base64
import copy
import enum
import importlib.util
import inspect
import linecache
import logging
import math
import re
import symtable
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentvm_compiler import serialise
from agentvm_compiler.calls import Agent, Tool
from agentvm_compiler.compile import Compiled, compile_agent
from agentvm_compiler.errors import CompileError, InputError
from agentvm_compiler.frontend.callees import agent_of
from agentvm_compiler.frontend.fingerprint import fingerprint
from agentvm_compiler.frontend.scope import UNKNOWN
from agentvm_compiler.frontend.source import is_given, source_of
from agentvm_compiler.ir import LITERALS, Module, Node, Program, base, canonical, content_hash
from agentvm_compiler.parsing import parse

from .artifact import FORMAT, PYTHON, SUFFIX, bare, code_of, found, is_artifact


def write_artifact(agent: Agent, path: Path) -> None:
    """Compile an agent into a file.

    Raises:
        CompileError: the code needs what an artifact cannot carry; all of it in one message.
        InputError: the file cannot be written.
    """
    if not is_artifact(path.name):
        raise InputError(
            f"-o {path}: the name of an artifact ends in {SUFFIX}, for example {path.stem}.avm.json."
        )
    text = make_artifact(agent) + "\n"
    try:
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
    except OSError as error:
        raise InputError(f"-o {path}: {error.strerror}. Check the path.") from None


def make_artifact(agent: Agent) -> str:
    """The artifact of an agent, as JSON text. Raises CompileError."""
    home = Home(agent)
    return canonical(home.document())


class _Refused(Exception):
    """A value that an artifact cannot carry; says what it is."""


class Home:
    """What the agent's own file defines, and what of it the programs need."""

    def __init__(self, agent: Agent) -> None:
        self.main = agent
        self.name = agent.fn.__module__
        self.file = agent.fn.__code__.co_filename
        self.imported = _import_table(self.file, agent.fn.__globals__.get("__package__") or "")
        self.agents: dict[str, Agent] = {agent.ref: agent}
        self.fingerprints: dict[str, str] = {}
        self.problems: dict[str, None] = {}

    def document(self) -> dict[str, Any]:
        programs: list[Program] = []
        entries: dict[str, Any] = {}
        globals_ = _no_links()
        pending = [self.main.ref]
        while pending:
            agent = self.agents[pending.pop(0)]
            compiled = compile_agent(agent)
            programs.append(compiled.program)
            known = set(self.agents)
            cells = _no_links()
            for name, line in self._names(compiled):
                self._link(name, line, compiled, globals_, cells)
            entries[agent.ref] = {
                "name": agent.name,
                "deadline": agent.deadline,
                "on_deadline": agent.on_deadline,
                "parameters": [self._parameter(each, agent) for each in agent.signature.parameters.values()],
                "returns": _text(agent.signature.return_annotation),
                "cells": cells,
            }
            pending += [each for each in self.agents if each not in known]
        if self.problems:
            listed = "\n".join(f"  {each}" for each in self.problems)
            raise CompileError(
                f"The agent {self.main.name} cannot be made an artifact: where {self.file} is absent, "
                f"this would be missing:\n{listed}\n"
                "Move it to a module of its own, which can be imported there, and import it from that."
            )
        document: dict[str, Any] = {
            "format": FORMAT,
            "python": PYTHON,
            "module": serialise.module_json(Module(tuple(programs))),
            "agents": entries,
            "globals": globals_,
            "fingerprints": self.fingerprints,
        }
        return document | {"hash": content_hash(document)}

    def _names(self, compiled: Compiled) -> Iterator[tuple[str, int]]:
        """The non-local names that the program's code uses, each with the first line that does."""
        seen: set[str] = set()
        for node in compiled.program.body.walk():
            if node.attrs.get("whole") and not node.code:
                reason = node.attrs.get("reason", "its source is not to be had")
                self.problems[f"the agent `{compiled.agent.name}` itself: {reason}"] = None
            for name in sorted(global_names(node) - seen):
                seen.add(name)
                yield name, node.span.line

    def _link(
        self,
        name: str,
        line: int,
        compiled: Compiled,
        globals_: dict[str, dict[str, Any]],
        cells: dict[str, dict[str, Any]],
    ) -> None:
        """Note where the object behind a name comes from."""
        namespace = compiled.namespace
        in_cell = name in namespace.cells
        value = namespace.cells[name] if in_cell else namespace.globals.get(name, UNKNOWN)
        inner = agent_of(value) if is_given(value) else None
        if inner is not None:  # defined inside the agent, and a program of its own
            cells["agents"][name] = inner.ref
            self.agents.setdefault(inner.ref, inner)
            return
        if is_given(value):  # defined inside the agent, and plain Python
            code = cells["functions"][name] = ast.unparse(_Unannotated().visit(_tree_of(value)))
            for each in sorted(_globals_of(code) - {name}):
                self._link(each, line, compiled, globals_, cells)
            return
        if value is UNKNOWN:
            return  # a builtin, or a NameError as in plain Python
        into = cells if in_cell else globals_
        reference = self._reference(value, None if in_cell else name)
        if reference is not None:
            into["imports"][name] = reference
        elif isinstance(value, Agent) and self._is_home(value):
            into["agents"][name] = value.ref
            self.agents.setdefault(value.ref, value)
        else:
            try:
                into["constants"][name] = self._value(value)
            except _Refused as refused:
                self.problems[f"`{name}`, {refused}, used by {compiled.agent.name} at line {line}"] = None

    def _parameter(self, parameter: inspect.Parameter, agent: Agent) -> dict[str, Any]:
        data: dict[str, Any] = {"name": parameter.name, "kind": parameter.kind.name}
        where = f"parameter `{parameter.name}` of {agent.name}"
        if parameter.annotation is not parameter.empty:
            data["text"] = _text(parameter.annotation)
            local = [each for each in _classes(parameter.annotation) if self._is_home(each)]
            for each in local:
                self.problems[f"{_described(each)}, the type of {where}"] = None
            with suppress(_Refused):  # then values are not checked against it
                data["annotation"] = self._value(parameter.annotation)
        if parameter.default is not parameter.empty:
            try:
                data["default"] = self._value(parameter.default)
            except _Refused as refused:
                self.problems[f"the default of {where}, {refused}"] = None
        return data

    def _is_home(self, value: Any) -> bool:
        return getattr(value, "__module__", None) == self.name

    def _reference(self, value: Any, name: str | None = None) -> str | None:
        """`module` or `module:qualname` by which the object is imported; None if there is none."""
        candidates = [self.imported[name]] if name in self.imported else []
        if value is type(None):
            candidates.append("types:NoneType")
        elif isinstance(value, types.ModuleType):
            candidates.append(value.__name__)
        elif isinstance(value, enum.Enum):
            candidates.append(f"{type(value).__module__}:{type(value).__qualname__}.{value.name}")
        else:
            module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
            module = "builtins" if isinstance(value, types.BuiltinFunctionType) and not module else module
            if isinstance(module, str) and isinstance(qualname, str) and "<" not in qualname:
                candidates.append(f"{module}:{qualname}")
        for each in candidates:
            if each.partition(":")[0] not in (self.name, "__main__") and found(each) is value:
                code = code_of(value)
                if code is not None:
                    self.fingerprints[each] = fingerprint(code)
                return each
        return None

    def _value(self, value: Any) -> Any:
        """An immutable value as JSON. Raises _Refused."""
        if value is None or isinstance(value, bool) or type(value) in (int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is complex:
            return {"complex": [self._value(value.real), self._value(value.imag)]}
        if type(value) is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        if value is ...:
            return {"ellipsis": True}
        if type(value) is range:
            return {"range": [value.start, value.stop, value.step]}
        if type(value) is tuple:
            return {"tuple": [self._value(each) for each in value]}
        if type(value) is frozenset:
            return {"frozenset": sorted((self._value(each) for each in value), key=canonical)}
        if type(value) is logging.Logger:
            return {"logger": value.name}
        if type(value) is re.Pattern:
            return {"pattern": [self._value(value.pattern), value.flags]}
        origin = typing.get_origin(value)
        if origin is not None:
            return self._alias(value, origin)
        reference = self._reference(value)
        if reference is None:
            raise _Refused(_described(value))
        return {"import": reference}

    def _alias(self, value: Any, origin: Any) -> Any:
        if origin is typing.Annotated:
            arguments = (value.__origin__, *value.__metadata__)
        else:
            arguments = typing.get_args(value)
        tag = {typing.Union: "union", types.UnionType: "or", typing.Literal: "literal"}.get(origin)
        tag = "annotated" if origin is typing.Annotated else tag
        if tag is not None:
            return {tag: [self._value(each) for each in arguments]}
        return {"generic": [self._value(origin), *(self._value(each) for each in arguments)]}


def _no_links() -> dict[str, dict[str, Any]]:
    return {"imports": {}, "agents": {}, "constants": {}, "functions": {}}


def _tree_of(fn: types.FunctionType) -> ast.AST:
    source = source_of(fn)
    assert source is not None
    return copy.deepcopy(source.tree)


def global_names(node: Node) -> set[str]:
    """The names in a node's code that are not the agent's own variables, builtins included."""
    if not node.code:
        return set()
    function = _function_tree(node)
    return _globals_of(ast.unparse(function))


def _globals_of(code: str) -> set[str]:
    """The names that a function's code takes from its module, builtins included."""
    table = symtable.symtable(code, "<code>", "exec")
    return {
        symbol.get_name()
        for scope in _tables(table.get_children()[0])
        for symbol in scope.get_symbols()
        if symbol.is_global()
    }


def _function_tree(node: Node) -> ast.AST:
    """The node's code as a function of its operands; of a whole function, the function itself."""
    parsed = _Unannotated().visit(parse(node.code))
    if node.attrs.get("whole"):
        return bare(parsed)
    operands = [base(each) for each in node.operands if each not in LITERALS]
    names = dict.fromkeys([*operands, *node.attrs.get("unbound", ())])
    arguments = ast.arguments(
        [], [ast.arg(each) for each in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    made = ast.AsyncFunctionDef("code", arguments, parsed.body or [ast.Pass()], [])
    return ast.fix_missing_locations(ast.Module([made], []))


class _Unannotated(ast.NodeTransformer):
    """Drops the annotations that no code evaluates: all but those in class bodies."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def _function(self, node: Any) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _import_table(file: str, package: str) -> dict[str, str]:
    """What the file's own import statements bind: `module` or `module:name` by name."""
    try:
        tree = parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return {}
    table: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                bound = each.asname or each.name.partition(".")[0]
                table[bound] = each.name if each.asname else bound
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if node.level:
                try:
                    module = importlib.util.resolve_name(module, package)
                except ImportError:
                    continue
            for each in node.names:
                table[each.asname or each.name] = f"{module}:{each.name}"
    return table


def _classes(annotation: Any) -> Iterator[Any]:
    arguments = typing.get_args(annotation)
    if not arguments:
        yield annotation
    for each in arguments:
        yield from _classes(each)


def _text(annotation: Any) -> str:
    return "" if annotation is inspect.Parameter.empty else inspect.formatannotation(annotation)


def _described(value: Any) -> str:
    name = getattr(value, "__qualname__", "")
    if isinstance(value, Tool):
        return f"the tool {name}"
    if isinstance(value, type):
        return f"the class {name}"
    if isinstance(value, types.FunctionType):
        return f"the function {name}"
    if isinstance(value, types.ModuleType):
        return f"the module {value.__name__}"
    return f"an object of type {type(value).__name__}"
