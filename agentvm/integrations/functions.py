"""OpenAI-style function tools: to and from tools of AgentVM, and a model's choice among them.

    TOOLS = {each.name: each for each in (search, calculate)}
    Action = one_of(*TOOLS.values())

    action = await llm(question, returns=Action)          # {"tool": "search", "arguments": {"query": ...}}
    found = await TOOLS[action["tool"]](**action["arguments"])

The engine is guided by the parameters' types, so even a small model calls a tool
only in ways that it takes. `TOOLS` is a constant of the module: the compiler then
knows what may be called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NotRequired, Union, cast

import jsonschema
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from agentvm.sdk import tool as make_tool
from agentvm_compiler.calls import Effect, Tool
from agentvm_compiler.errors import ConfigError, InputError

__all__ = ["from_openai", "one_of", "to_openai"]


def one_of(*tools: Any) -> Any:
    """The type of a call of one of these tools, for `llm(..., returns=...)`.

    Its values are plain: `{"tool": NAME, "arguments": {PARAMETER: VALUE, ...}}`.

    Raises:
        ConfigError: no tools, one that is none, two of one name, or parameters without a name.
    """
    if not tools:
        raise ConfigError("one_of() needs the tools that a model may choose from.")
    names = [_tool(each).name for each in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"one_of(): two tools are called {twice!r}. Give one another name: @tool(name=...)."
        )
    calls = [_call_type(_tool(each)) for each in tools]
    if len(calls) == 1:
        return calls[0]
    return Annotated[Union[tuple(calls)], Field(discriminator="tool")]  # noqa: UP007  # made at run time


def to_openai(tool: Any) -> dict[str, Any]:
    """A tool as an entry of `tools=[...]` of OpenAI's chat completions."""
    made = _tool(tool)
    schema = TypeAdapter(_arguments_type(made)).json_schema()
    schema.pop("title", None)
    described = inspect.getdoc(made.fn)
    function = {"name": made.name, "parameters": schema}
    return {"type": "function", "function": function | ({"description": described} if described else {})}


def from_openai(
    definition: Mapping[str, Any],
    function: Callable[..., Any],
    *,
    effect: str | Effect = Effect.WRITE,
    **options: Any,
) -> Tool:
    """A tool of AgentVM from an OpenAI-style definition and the function that does it.

    Args:
        definition: `{"type": "function", "function": {"name", "description", "parameters"}}`, or the
            inner part.
        function: called with the arguments by name; may be async.
        effect: `pure`, `read` or `write`: a definition does not say.
        options: as of `@agentvm.tool`.

    Raises:
        ConfigError: the definition has no name, or its parameters are not a JSON Schema.
        InputError: at a call: arguments that the schema does not allow.
    """
    inner = definition.get("function", definition)
    name, schema = inner.get("name"), inner.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(name, str) or not name:
        raise ConfigError(f"from_openai(): the definition has no name: {dict(definition)!r:.200}")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigError(f"from_openai(): parameters of {name!r}: {error.message}") from None
    validator = jsonschema.Draft202012Validator(schema)

    signature = inspect.signature(function)

    def checked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        arguments = _by_name(signature.bind(*args, **kwargs))
        problem = jsonschema.exceptions.best_match(validator.iter_errors(arguments))
        if problem is not None:
            raise InputError(f"{name}(): {problem.json_path}: {problem.message}")
        return arguments

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            return await function(**checked(args, kwargs))

        call: Callable[..., Any] = call_async
    else:

        @functools.wraps(function)
        def call_sync(*args: Any, **kwargs: Any) -> Any:
            return function(**checked(args, kwargs))

        call = call_sync
    call.__doc__ = inner.get("description") or function.__doc__
    return cast(Tool, make_tool(effect=effect, name=name, **options)(call))


def _by_name(given: inspect.BoundArguments) -> dict[str, Any]:
    parameters = given.signature.parameters
    extra = [name for name in given.arguments if parameters[name].kind is inspect.Parameter.VAR_KEYWORD]
    arguments = {name: value for name, value in given.arguments.items() if name not in extra}
    return arguments | {key: value for name in extra for key, value in given.arguments[name].items()}


def _tool(given: Any) -> Tool:
    if not isinstance(given, Tool):
        raise ConfigError(f"{given!r:.80} is not a tool. Declare it with @tool.")
    return given


def _call_type(tool: Tool) -> Any:
    fields = {"tool": Literal[tool.name], "arguments": _arguments_type(tool)}
    call = TypedDict(f"{tool.name}_call", fields)  # type: ignore[misc]  # made at run time
    call.__doc__ = inspect.getdoc(tool.fn)
    return call


def _arguments_type(tool: Tool) -> Any:
    """A `TypedDict` of the tool's parameters; those with a default may be left out."""
    fields: dict[str, Any] = {}
    for name, parameter in tool.signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"{tool.name}: a model gives arguments by name, so the parameter {str(parameter)!r} "
                "cannot be given. Name each parameter."
            )
        annotated = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[name] = annotated if parameter.default is parameter.empty else NotRequired[annotated]
    made = TypedDict(f"{tool.name}_arguments", fields)  # type: ignore[misc]  # made at run time
    made.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return made
