"""Artifacts: a compiled agent in one file, to be run where its source is absent.

An *artifact* is the IR of an agent and of the agents of the same file that it
uses, and what their code needs to be linked again: for each module-level name
the code reads, where to import it from, or its value if that is an immutable
constant. What is imported must be the code that the artifact was compiled with,
since recorded results are found by its hash. `export` makes artifacts; here they
are read, checked in full, and linked.
"""

from __future__ import annotations

import ast
import base64
import builtins
import functools
import importlib
import inspect
import logging
import operator
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentvm_compiler import serialise
from agentvm_compiler.calls import Agent, Tool
from agentvm_compiler.codegen import Namespace
from agentvm_compiler.compile import Compiled, adopt
from agentvm_compiler.errors import CompileError, ConfigError, InputError
from agentvm_compiler.frontend.fingerprint import fingerprint
from agentvm_compiler.frontend.scope import UNKNOWN
from agentvm_compiler.ir import CALLS, Kind, Node, Program, content_hash
from agentvm_compiler.parsing import parse

FORMAT = 1
SUFFIX = ".json"
"""What the name of an artifact's file ends in."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def is_artifact(place: str) -> bool:
    """Whether a command line's place of an agent is an artifact's file."""
    return place.endswith(SUFFIX)


def load_artifact(path: Path, name: str = "") -> Agent:
    """An agent of an artifact, ready to run.

    The artifact's folder and the working folder are put on `sys.path`.

    Args:
        name: the agent, by its reference or the name in it; by default the main one.

    Raises:
        InputError: no such file or agent; what it imports is missing or has changed.
        CompileError: the file is no artifact, or malformed.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogatepass")
    except FileNotFoundError:
        raise InputError(f"There is no file {path} (looked in {Path.cwd()}). Check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from None
    path = path.resolve()
    try:
        loader = serialise.guarded(lambda: _Loader(serialise.load_json(text), path))
    except CompileError as error:
        raise CompileError(f"{path}: {error}") from None
    agents = loader.link()
    wanted = [each for ref, each in agents.items() if name in ("", ref, ref.partition(":")[2])]
    if not wanted:
        raise InputError(f"{path} has no agent named {name!r}. Its agents: {', '.join(agents)}.")
    return wanted[0]


class _Loader:
    """Reads an artifact's document in full, then links it."""

    def __init__(self, document: Any, path: Path) -> None:
        self.path = path
        data = serialise.mapping(document, "$")
        if "programs" in data and "module" not in data:
            serialise.refuse("$", "this is a module alone, which says not what its names stand for")
        serialise.check_version(data, "$", FORMAT)
        serialise.keys(data, "$", ("format", "python", "module", "agents", "globals", "fingerprints", "hash"))
        if content_hash({key: value for key, value in data.items() if key != "hash"}) != data["hash"]:
            serialise.refuse("$.hash", "it is not that of the content: the file was changed or damaged")
        self.python = serialise.string(data["python"], "$.python")
        self.module = serialise.module_of(data["module"], "$.module")
        self.entries = serialise.mapping(data["agents"], "$.agents")
        self.globals = _links(data["globals"], "$.globals")
        self.fingerprints = _strings(data["fingerprints"], "$.fingerprints")
        programs = {each.name: each for each in self.module.programs}
        for ref in programs.keys() ^ self.entries.keys():
            serialise.refuse("$.agents", f"{ref} has no program, or no entry here")
        for ref, entry in self.entries.items():
            _check_entry(serialise.mapping(entry, f"$.agents[{ref!r}]"), programs[ref], f"$.agents[{ref!r}]")
        for links in [self.globals, *(each["cells"] for each in self.entries.values())]:
            for name, each in links["agents"].items():
                if each not in programs:
                    serialise.refuse("$.agents", f"{name} stands for {each!r:.60}, which has no program")
        for program in self.module.programs:
            for node in program.body.walk():
                _check_code(node, f"$.module: {program.name}: {node.site}")

    def link(self) -> dict[str, Agent]:
        for folder in (str(Path.cwd()), str(self.path.parent)):
            if folder not in sys.path:
                sys.path.insert(0, folder)
        for reference, recorded in self.fingerprints.items():
            self._check_unchanged(reference, recorded)
        agents = {each.name: self._agent(each) for each in self.module.programs}
        home = self.module.main.name.partition(":")[0]
        shared: dict[str, Any] = {
            "__name__": home,
            "__file__": self.module.main.file,
            "__builtins__": builtins,
            **self._linked(self.globals, agents),
        }
        for program in self.module.programs:
            agent = agents[program.name]
            links = self.entries[program.name]["cells"]
            cells = self._linked(links, agents) | {
                name: _function(code, program, shared) for name, code in links["functions"].items()
            }
            namespace = self._namespace(program, agent, shared, cells)
            callees = [
                agents[ref]
                for each in program.body.walk()
                if each.kind is Kind.AGENT and (ref := str(each.attrs["callee"])) in agents
            ]
            adopt(Compiled(agent, program, namespace, None, (), tuple(dict.fromkeys(callees))))
        return agents

    def _namespace(
        self, program: Program, agent: Agent, shared: dict[str, Any], cells: Mapping[str, Any]
    ) -> Namespace:
        """Where the program's code runs; the code is made now, so that nothing is malformed later."""
        node = next(iter(program.body.nodes), None)
        fn: Callable[..., Any] = agent.fn
        try:
            if node is not None and node.attrs.get("whole"):
                fn = _built(node, program, shared, cells)
                fn.__signature__ = inspect.signature(agent.fn)  # type: ignore[attr-defined]
                agent.fn.__dict__["__wrapped_whole__"] = fn
            namespace = Namespace(fn, shared, cells, program.file)
            for node in program.body.walk():
                if node.kind in (*CALLS, Kind.PYTHON, Kind.TRACED):
                    namespace.evaluator(node)
        except Exception as error:  # whatever Python says to code that it can parse and not compile
            where = f"{program.name}: {node.site if node is not None else ''}"
            raise CompileError(
                f"{self.path} is no artifact: {where}: its code cannot be compiled: {error}. "
                "Compile the agent again: agentvm compile FILE:AGENT -o FILE.avm.json"
            ) from None
        return namespace

    def _agent(self, program: Program) -> Agent:
        entry = self.entries[program.name]
        module, _, qualname = program.name.partition(":")
        parameters = []
        for each in entry["parameters"]:
            annotation = each.get("text", inspect.Parameter.empty)
            if "annotation" in each:
                annotation = self._read(each["annotation"])
            default = self._read(each["default"]) if "default" in each else inspect.Parameter.empty
            kind = getattr(inspect.Parameter, each["kind"])
            try:
                one = inspect.Parameter(each["name"], kind, annotation=annotation, default=default)
            except ValueError as error:
                raise CompileError(f"{self.path} is no artifact: {program.name}: {error}.") from None
            parameters.append(one)
        fn = _stub(program.name, str(self.path))
        fn.__module__, fn.__qualname__, fn.__name__ = module, qualname, qualname.rpartition(".")[2]
        returns = entry["returns"] or inspect.Signature.empty
        try:
            fn.__signature__ = inspect.Signature(parameters, return_annotation=returns)
        except ValueError as error:
            raise CompileError(f"{self.path} is no artifact: {program.name}: {error}.") from None
        return Agent(fn, name=entry["name"], deadline=entry["deadline"], on_deadline=entry["on_deadline"])

    def _linked(self, links: Mapping[str, Mapping[str, Any]], agents: Mapping[str, Agent]) -> dict[str, Any]:
        values = {name: self._import(each) for name, each in links["imports"].items()}
        values |= {name: agents[ref] for name, ref in links["agents"].items()}
        return values | {name: self._read(each) for name, each in links["constants"].items()}

    def _import(self, reference: str) -> Any:
        from .loading import load_module

        module, _, qualname = reference.partition(":")
        try:
            value = load_module(module)
        except InputError as error:
            raise InputError(f"{self.path} imports {module}, which cannot be had here: {error}") from None
        here = found(reference) if qualname else value
        if here is UNKNOWN:
            raise InputError(
                f"{self.path} imports {qualname} from {module}, "
                f"and {getattr(value, '__file__', 'that')} has none. Put it back, or compile the agent again."
            )
        return here

    def _check_unchanged(self, reference: str, recorded: str) -> None:
        """Results are found by the hash of the code at compile time: other code must not use them."""
        code = code_of(self._import(reference))
        if self.python != PYTHON or code is None:
            return  # another version of Python may write the same code in another way
        now = fingerprint(code)
        if now not in (recorded, f"{code.__module__}.{code.__qualname__}"):
            raise InputError(
                f"{reference} has changed since {self.path} was compiled. "
                "Compile the agent again: agentvm compile FILE:AGENT -o FILE.avm.json"
            )

    def _read(self, value: Any) -> Any:
        """The constant that `export` wrote."""
        if not isinstance(value, dict):
            return value
        tag, content = next(iter(value.items()))
        if tag == "import":
            return self._import(content)
        parts = [self._read(each) for each in content] if isinstance(content, list) else content
        try:
            return _READERS[tag](parts)
        except Exception as error:  # whatever a class says to what stands there
            raise CompileError(f"{self.path} is no artifact: it has a malformed {tag}: {error}.") from None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "float": float,
    "complex": lambda parts: complex(*parts),
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "ellipsis": lambda _: ...,
    "range": lambda parts: range(*parts),
    "tuple": tuple,
    "frozenset": frozenset,
    "pattern": lambda parts: re.compile(parts[0], parts[1]),
    "logger": logging.getLogger,
    "or": lambda parts: functools.reduce(operator.or_, parts),
    "union": lambda parts: typing.Union[tuple(parts)],  # noqa: UP007
    "literal": lambda parts: typing.Literal[tuple(parts)],
    "annotated": lambda parts: typing.Annotated[tuple(parts)],
    "generic": lambda parts: parts[0][tuple(parts[1:])],
}


def _stub(ref: str, path: str) -> Any:
    """The function of an agent whose source is absent; it knows its artifact by its file name."""

    async def stub(*args: Any, **kwargs: Any) -> Any:
        whole = stub.__dict__.get("__wrapped_whole__")
        if whole is not None:
            return await whole(*args, **kwargs)
        raise ConfigError(
            f"The agent {ref} was loaded compiled, from {path}, and cannot run as plain Python. "
            "Run it on an AgentVM, or import it from its source."
        )

    stub.__code__ = stub.__code__.replace(co_filename=path)
    return stub


def _built(node: Node, program: Program, shared: dict[str, Any], cells: Mapping[str, Any]) -> Any:
    """The function of a program that is traced as a whole, made from its code."""
    module = bare(parse(node.code))
    function = module.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    name, function.name = function.name, "__avm_whole__"  # its own name is the agent's, not the function's
    arguments = ast.arguments(
        [], [ast.arg(each) for each in cells], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    result = ast.Return(ast.Name(function.name, ast.Load()))
    outer = ast.FunctionDef("__avm_outer__", arguments, [function, result], [])
    ast.increment_lineno(function, max(0, node.span.line - 1))
    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(ast.Module([outer], [])), program.file, "exec"), shared, made)
    fn = made["__avm_outer__"](**cells)
    qualname = program.name.partition(":")[2]
    fn.__code__ = fn.__code__.replace(co_name=name, co_qualname=qualname)
    fn.__name__, fn.__qualname__ = name, qualname
    return fn


def _function(code: str, program: Program, shared: dict[str, Any]) -> Any:
    """A function that an agent defines within it, made from its code."""
    made: dict[str, Any] = {}
    exec(compile(code, program.file, "exec"), shared, made)
    (fn,) = made.values()
    return fn


# -- checking --------------------------------------------------------------------------


def _links(value: Any, path: str) -> dict[str, dict[str, Any]]:
    data = serialise.mapping(value, path)
    serialise.keys(data, path, ("imports", "agents", "constants", "functions"))
    _strings(data["imports"], f"{path}.imports")
    _strings(data["agents"], f"{path}.agents")
    for name, each in serialise.mapping(data["constants"], f"{path}.constants").items():
        _check_constant(each, f"{path}.constants.{name}")
    for name, code in _strings(data["functions"], f"{path}.functions").items():
        _check_function(code, f"{path}.functions.{name}")
    for names in data.values():
        for name in names:
            if not name.isidentifier():
                serialise.refuse(path, f"{name!r:.60} is not a name")
    return data


def _strings(value: Any, path: str) -> dict[str, str]:
    data = serialise.mapping(value, path)
    for key, each in data.items():
        serialise.string(each, f"{path}.{key}")
    return data


def _check_entry(entry: dict[str, Any], program: Program, path: str) -> None:
    serialise.keys(entry, path, ("name", "deadline", "on_deadline", "parameters", "returns", "cells"))
    serialise.string(entry["name"], f"{path}.name")
    serialise.string(entry["returns"], f"{path}.returns")
    deadline = entry["deadline"]
    if deadline is not None and (isinstance(deadline, bool) or not isinstance(deadline, int | float)):
        serialise.refuse(f"{path}.deadline", "a number of seconds or null is needed")
    if entry["on_deadline"] not in ("cancel", "best_effort"):
        serialise.refuse(f"{path}.on_deadline", "cancel or best_effort is needed")
    _links(entry["cells"], f"{path}.cells")
    parameters = serialise.items(entry["parameters"], f"{path}.parameters", serialise.mapping)
    for number, each in enumerate(parameters):
        where = f"{path}.parameters[{number}]"
        for key in each:
            if key not in ("name", "kind", "text", "annotation", "default"):
                serialise.refuse(where, f"there is no such key as {key!r:.60}")
        for key in ("name", "kind"):
            serialise.string(each.get(key), f"{where}.{key}")
        serialise.string(each.get("text", ""), f"{where}.text")
        serialise.one_of(each["kind"], f"{where}.kind", inspect._ParameterKind.__members__)
        for key in ("annotation", "default"):
            _check_constant(each.get(key), f"{where}.{key}")
    if tuple(each["name"] for each in parameters) != program.params:
        serialise.refuse(f"{path}.parameters", f"the program has the parameters {', '.join(program.params)}")


def _check_constant(value: Any, path: str) -> None:
    if isinstance(value, list):
        serialise.refuse(path, "an array stands only within a tagged object")
    if isinstance(value, dict):
        if len(value) != 1 or next(iter(value)) not in (*_READERS, "import"):
            serialise.refuse(path, f"an object with one key of {', '.join([*_READERS, 'import'])} is needed")
        if "import" in value:
            serialise.string(value["import"], path)
        content = next(iter(value.values()))
        for number, each in enumerate(content if isinstance(content, list) else ()):
            _check_constant(each, f"{path}[{number}]")


def _check_function(code: str, path: str) -> None:
    try:
        body = parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        serialise.refuse(path, f"this is no Python ({error})")
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or body[0].decorator_list:
        serialise.refuse(path, "one function is needed, and nothing else")


def _check_code(node: Node, where: str) -> None:
    """Refuse code that is not Python, or not of the form its kind of node needs."""
    try:
        tree = parse(node.code)
        if node.attrs.get("whole"):
            bare(tree)
    except (SyntaxError, ValueError, MemoryError) as error:
        serialise.refuse(where, f"its code is not Python {PYTHON}: {error}")
    if node.kind in CALLS:
        only = tree.body[0] if len(tree.body) == 1 else None
        if not (isinstance(only, ast.Expr) and isinstance(only.value, ast.Call)):
            serialise.refuse(where, "its code is not a call")


# -- shared with `export` ---------------------------------------------------------------


def bare(parsed: ast.Module) -> ast.Module:
    """A module of one function, without decorators, annotations and defaults: what runs at its definition."""
    function = parsed.body[0] if parsed.body else None
    if not isinstance(function, ast.AsyncFunctionDef):
        raise ValueError("the code is not an `async def`")
    function.decorator_list, function.returns = [], None
    args = function.args
    for each in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if each is not None:
            each.annotation = None
    args.defaults, args.kw_defaults = [], [None] * len(args.kwonlyargs)
    return parsed


def found(reference: str) -> Any:
    """The object behind a reference; UNKNOWN if there is none."""
    module, _, qualname = reference.partition(":")
    try:
        value = importlib.import_module(module)
    except Exception:  # whatever a user's module raises: then it is not importable
        return UNKNOWN
    try:
        return functools.reduce(getattr, qualname.split("."), value) if qualname else value
    except Exception:  # mostly: `from package import submodule` need not have made it an attribute
        return sys.modules.get(f"{module}.{qualname}", UNKNOWN)


def code_of(value: Any) -> Any:
    """The function or class whose code an imported object is; None for other objects."""
    value = value.fn if isinstance(value, Tool | Agent) else value
    return value if isinstance(value, types.FunctionType | type) else None
