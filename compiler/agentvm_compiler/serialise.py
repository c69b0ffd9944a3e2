"""The JSON form of the IR: canonical, versioned, and read back strictly.

Whatever is read is checked in full before it becomes a module: types, kinds,
names, the verifier's rules and the hash. Text that is not a module is a
`CompileError` that says what, where (a JSON path such as `$.programs[0].name`)
and what to do; it is never another exception.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from .calls import Effect
from .errors import CompileError
from .ir import FORMAT_VERSION, Kind, Module, Node, Program, Region, Span, canonical
from .verify import problems

T = TypeVar("T")

_AGAIN = "Compile the agent again: agentvm compile FILE:AGENT -o FILE.avm.json"


def module_json(module: Module) -> dict[str, Any]:
    """The module as a JSON value."""
    programs = [program_json(each, positions=True) for each in module.programs]
    return {"format": FORMAT_VERSION, "hash": module.hash, "programs": programs}


def write_module(module: Module) -> str:
    """Canonical JSON."""
    return canonical(module_json(module))


def read_module(text: str) -> Module:
    """The module that a JSON text holds.

    Raises:
        CompileError: it holds none, or one that is malformed or of a newer format.
    """
    return guarded(lambda: module_of(load_json(text)))


def guarded(read: Callable[[], T]) -> T:
    """What the reader returns; nesting too deep for Python is an error of the text.

    Raises:
        CompileError: from the reader, or the text is nested too deep.
    """
    try:
        return read()
    except RecursionError:
        raise CompileError(f"This is no IR of AgentVM: it is nested too deep. {_AGAIN}") from None


def load_json(text: str) -> Any:
    """A JSON value: no key twice, no NaN or Infinity.

    Raises:
        CompileError: the text is not JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CompileError(f"This is not JSON: {error.msg} at {where}. {_AGAIN}") from None
    except ValueError as error:  # a number with more digits than Python reads, or one of ours
        raise CompileError(f"This is not JSON as AgentVM writes it: {error}. {_AGAIN}") from None


def module_of(value: Any, path: str = "$") -> Module:
    """The module that a JSON value holds.

    Args:
        path: where the value stands in its document, for messages.

    Raises:
        CompileError: it holds none.
        RecursionError: it is nested too deep; see `guarded`.
    """
    data = mapping(value, path)
    check_version(data, path, FORMAT_VERSION)
    keys(data, path, ("format", "hash", "programs"))
    recorded = string(data["hash"], f"{path}.hash")
    programs = items(data["programs"], f"{path}.programs", _program)
    module = checked(Module(programs), f"{path}.programs")
    if module.hash != recorded:
        refuse(
            f"{path}.hash",
            f"the hash is {recorded!r}, but the programs have {module.hash}: the file was changed or damaged",
        )
    return module


def checked(module: Module, where: str) -> Module:
    """The module, if it is well formed by the verifier's rules.

    Raises:
        CompileError: it is not, or it holds no program or one twice.
    """
    if not module.programs:
        refuse(where, "a module holds one program at least")
    names = [each.name for each in module.programs]
    for name in names:
        if names.count(name) > 1:
            refuse(where, f"the program {name} stands twice")
    for program in module.programs:
        if len(program.params) != len(program.body.params):
            refuse(where, f"{program.name} has {len(program.params)} parameters, its body another number")
    try:
        found = next(problems(module), None)
    except (TypeError, AttributeError, KeyError, IndexError, ValueError):  # the verifier trusts attributes
        found = "an attribute has a value of the wrong type"
    if found is not None:
        refuse(where, found)
    return module


# -- writing ---------------------------------------------------------------------------


def program_json(program: Program, *, positions: bool) -> dict[str, Any]:
    """A program as a JSON value; without positions it is what the hash covers."""
    data: dict[str, Any] = {
        "name": program.name,
        "params": list(program.params),
        "body": _region_json(program.body, positions),
    }
    if positions:
        data["file"] = program.file
    return data


def _region_json(region: Region, positions: bool) -> dict[str, Any]:
    return {
        "params": list(region.params),
        "nodes": [_node_json(node, positions) for node in region.nodes],
        "results": list(region.results),
    }


def _node_json(node: Node, positions: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": node.kind.value,
        "site": node.site,
        "operands": list(node.operands),
        "results": list(node.results),
        "code": node.code,
        "effect": node.effect.value,
        "attrs": dict(node.attrs),
        "regions": [_region_json(each, positions) for each in node.regions],
        "after": list(node.after),
        "code_hash": node.code_hash,
    }
    if positions:
        span = node.span
        data["span"] = [span.line, span.column, span.end_line, span.end_column]
    return data


# -- reading ---------------------------------------------------------------------------


def _program(value: Any, path: str) -> Program:
    data = mapping(value, path)
    keys(data, path, ("name", "params", "body", "file"))
    return Program(
        string(data["name"], f"{path}.name"),
        items(data["params"], f"{path}.params", string),
        _region(data["body"], f"{path}.body"),
        string(data["file"], f"{path}.file"),
    )


def _region(value: Any, path: str) -> Region:
    data = mapping(value, path)
    keys(data, path, ("params", "nodes", "results"))
    return Region(
        items(data["params"], f"{path}.params", string),
        items(data["nodes"], f"{path}.nodes", _node),
        items(data["results"], f"{path}.results", string),
    )


_NODE = (
    "kind", "site", "operands", "results", "code", "effect", "attrs", "regions", "after", "code_hash", "span",
)  # fmt: skip


def _node(value: Any, path: str) -> Node:
    data = mapping(value, path)
    keys(data, path, _NODE)
    return Node(
        kind=Kind(one_of(data["kind"], f"{path}.kind", Kind)),
        site=string(data["site"], f"{path}.site"),
        operands=items(data["operands"], f"{path}.operands", string),
        results=items(data["results"], f"{path}.results", string),
        code=string(data["code"], f"{path}.code"),
        effect=Effect(one_of(data["effect"], f"{path}.effect", Effect)),
        attrs=mapping(data["attrs"], f"{path}.attrs"),
        regions=items(data["regions"], f"{path}.regions", _region),
        after=items(data["after"], f"{path}.after", string),
        code_hash=string(data["code_hash"], f"{path}.code_hash"),
        span=_span(data["span"], f"{path}.span"),
    )


def _span(value: Any, path: str) -> Span:
    numbers = items(value, path, natural)
    if len(numbers) != 4:
        refuse(path, f"four numbers are needed, not {len(numbers)}")
    return Span(*numbers)


def check_version(data: Mapping[str, Any], path: str, known: int) -> None:
    """Refuse a document of a format newer than the known one, before anything else is looked at."""
    if "format" not in data:
        refuse(path, "the key 'format' is missing")
    version = natural(data["format"], f"{path}.format")
    if version > known:
        raise CompileError(
            f"{path}.format: this is format {version}, made by a newer AgentVM; "
            f"this one reads format {known}. Upgrade AgentVM, or compile the agent again with this one."
        )
    if version < 1:
        refuse(f"{path}.format", f"there is no format {version}")


def mapping(value: Any, path: str) -> dict[str, Any]:
    """The value if it is an object."""
    return value if isinstance(value, dict) else _wrong(value, path, "an object")


def string(value: Any, path: str) -> str:
    """The value if it is a string."""
    return value if isinstance(value, str) else _wrong(value, path, "a string")


def natural(value: Any, path: str) -> int:
    """The value if it is a whole number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _wrong(value, path, "a whole number, not negative,")
    return value


def items(value: Any, path: str, read: Callable[[Any, str], T]) -> tuple[T, ...]:
    """The items of an array, each read."""
    if not isinstance(value, list):
        _wrong(value, path, "an array")
    return tuple(read(each, f"{path}[{index}]") for index, each in enumerate(value))


def one_of(value: Any, path: str, known: Any) -> str:
    """The value if it is among the known strings."""
    if not isinstance(value, str) or value not in {str(each) for each in known}:
        refuse(path, f"{_shown(value)} is none of {', '.join(str(each) for each in known)}")
    return value


def keys(data: Mapping[str, Any], path: str, wanted: tuple[str, ...]) -> None:
    """Refuse an object that has not exactly these keys."""
    for each in wanted:
        if each not in data:
            refuse(path, f"the key {each!r} is missing")
    for each in data:
        if each not in wanted:
            refuse(path, f"there is no such key as {_shown(each)}; it has {', '.join(wanted)}")


def refuse(path: str, problem: str) -> NoReturn:
    """Raise the error of a malformed document."""
    raise CompileError(f"This is no IR of AgentVM: {path}: {problem}. {_AGAIN}")


def _wrong(value: Any, path: str, needed: str) -> NoReturn:
    refuse(path, f"{needed} is needed, not {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return f"{json.dumps(value):.60}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_shown(twice)} stands twice in an object")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
