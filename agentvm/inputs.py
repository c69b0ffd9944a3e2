"""An agent's inputs: given as text on the command line, or as values in Python.

Both are checked against the agent's signature by pydantic before a run exists.
A value that is of its type already is passed on as it is, not as a copy, so
that a compiled agent gets what plain Python would.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentvm_compiler.calls import Agent
from agentvm_compiler.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_MOST_WRONG = 20
"""Mistakes that are named at once."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def bind_inputs(
    agent: Agent, pairs: Sequence[str] = (), json_file: Path | str | None = None
) -> dict[str, Any]:
    """Keyword arguments from `name=value` texts and a JSON file; a pair wins over the file.

    A text is JSON where the parameter is not a `str`; what is not JSON is taken as
    plain text where the type allows it (enums, paths, dates, `str | None`).

    Raises:
        InputError: an unknown or missing name, or a value of the wrong type; all of
            them in one message, with the signature.
    """
    given = {name: (value, False) for name, value in _from_file(json_file).items()}
    texts = list(map(_pair, pairs))
    twice = [name for name, times in Counter(name for name, _ in texts).items() if times > 1]
    if twice:
        raise InputError(
            f'-i {twice[0]}= is given more than once. A list is one value: -i \'names=["a", "b"]\'.'
        )
    given |= {name: (text, True) for name, text in texts}
    return _bound(agent, given, "Give it with -i NAME=VALUE or --input-json FILE")


def bind_json(agent: Agent, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments from JSON values. Raises InputError as `bind_inputs` does."""
    return _bound(agent, {name: (value, False) for name, value in values.items()}, "Give it in `inputs`")


def _bound(agent: Agent, given: Mapping[str, tuple[Any, bool]], remedy: str) -> dict[str, Any]:
    """Convert what was given, by the signature.

    Args:
        given: values by name, and whether each is a text.
        remedy: how a missing one is given.
    """
    parameters = agent.signature.parameters
    extra = next((each for each in parameters.values() if each.kind is each.VAR_KEYWORD), None)
    wrong: list[str] = []
    bound: dict[str, Any] = {}
    for name, (value, is_text) in given.items():
        if len(wrong) == _MOST_WRONG:  # whoever sends a thousand wrong names is not helped by all of them
            raise _refused(agent, [*wrong, "..."])
        parameter = parameters.get(name, extra)
        if parameter is None or (parameter.kind in _VARIADIC and parameter is not extra):
            wrong.append(_unknown(name, [each for each in parameters if each not in given]))
            continue
        try:
            bound[name] = _from_text(parameter, value) if is_text else _from_json(parameter, value)
        except _Wrong as error:
            wrong.append(f"{name}: {_shown(value)} is not a valid {_type_name(parameter)} ({error})")
    missing = [
        f"{name} ({_type_name(each)})"
        for name, each in parameters.items()
        if name not in given and each.default is each.empty and each.kind not in _VARIADIC
    ]
    if missing:
        wrong.append(f"missing: {', '.join(missing)}. {remedy}")
    if wrong:
        raise _refused(agent, wrong)
    return bound


def validate_inputs(agent: Agent, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Values by parameter name, defaults applied, as `inspect.BoundArguments.arguments`.

    What is of its type already is the very same object; the rest is converted as
    pydantic does (a dict to a model, "3" to an int). Defaults are not checked.

    Raises:
        InputError: the arguments do not fit the signature.
    """
    try:
        bound = agent.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise _refused(agent, [str(error)]) from None
    wrong: list[str] = []
    for name, value in bound.arguments.items():
        parameter = agent.signature.parameters[name]
        try:
            if parameter.kind is parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_checked(parameter, each) for each in value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                bound.arguments[name] = {key: _checked(parameter, each) for key, each in value.items()}
            else:
                bound.arguments[name] = _checked(parameter, value)
        except _Wrong as error:
            wrong.append(f"{name}: {_shown(value)} is not a valid {_type_name(parameter)} ({error})")
    if wrong:
        raise _refused(agent, wrong)
    bound.apply_defaults()
    return dict(bound.arguments)


def as_call(agent: Agent, inputs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Bound inputs as the arguments of a call, for agents with positional-only parameters."""
    positional = {
        name for name, each in agent.signature.parameters.items() if each.kind is each.POSITIONAL_ONLY
    }
    first = [inputs[name] for name in agent.signature.parameters if name in positional and name in inputs]
    return first, {name: value for name, value in inputs.items() if name not in positional}


def refit(agent: Agent, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded inputs, some of them changed, for the agent as it is now; what it no longer takes is left out.

    Raises:
        InputError: they do not fit its signature.
    """
    taken = {name: inputs[name] for name in agent.signature.parameters if name in inputs}
    bound = inspect.BoundArguments(agent.signature, OrderedDict(taken))
    return validate_inputs(agent, bound.args, bound.kwargs)


def described(agent: Agent) -> str:
    """The agent as its signature: `research(question: str, breadth: int = 3) -> Report`."""
    parts = []
    for name, each in agent.signature.parameters.items():
        stars = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
        annotation = "" if each.annotation is each.empty else f": {_type_name(each)}"
        spaced = " = " if annotation else "="
        default = "" if each.default is each.empty else f"{spaced}{each.default!r:.40}"
        parts.append(f"{stars}{name}{annotation}{default}")
    returns = agent.signature.return_annotation
    arrow = "" if returns is inspect.Signature.empty else f" -> {_name_of(returns)}"
    return f"{agent.name}({', '.join(parts)}){arrow}"


class _Wrong(Exception):
    """A value does not fit; the message is pydantic's."""


def _checked(parameter: inspect.Parameter, value: Any) -> Any:
    from pydantic import ValidationError

    adapter = adapter_of_parameter(parameter)
    if adapter is None:
        return value
    try:
        adapter.validate_python(value, strict=True)
        return value
    except ValidationError:
        pass
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise _wrong(error) from None


def _from_text(parameter: inspect.Parameter, text: str) -> Any:
    from pydantic import ValidationError

    if parameter.annotation is str:
        return text
    adapter = adapter_of_parameter(parameter)
    if adapter is None:
        try:
            return json.loads(text)
        except ValueError:
            return text
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        problem = error
    try:
        return adapter.validate_python(text)
    except ValidationError as error:
        is_json = problem.errors()[0]["type"] != "json_invalid"
        raise _wrong(problem if is_json else error) from None


def _from_json(parameter: inspect.Parameter, value: Any) -> Any:
    from pydantic import ValidationError

    adapter = adapter_of_parameter(parameter)
    if adapter is None:
        return value
    try:
        return adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        raise _wrong(error) from None


def adapter_of_parameter(parameter: inspect.Parameter) -> TypeAdapter[Any] | None:
    """The parameter's adapter; `None` where it has no type pydantic can check."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    annotation = parameter.annotation
    if annotation is parameter.empty or isinstance(annotation, str):
        return None
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, NameError):
        pass
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # whatever a type's own schema hook raises: then it is not checked
        return None


def _wrong(error: ValidationError) -> _Wrong:
    from agentvm_runtime.structured import problems

    return _Wrong(problems(error))


def _from_file(json_file: Path | str | None) -> dict[str, Any]:
    if json_file is None:
        return {}
    try:
        text = sys.stdin.read() if str(json_file) == "-" else Path(json_file).read_text(encoding="utf-8")
        value = json.loads(text)
    except OSError as error:
        raise InputError(f"--input-json {json_file}: {error.strerror}. Check the path.") from None
    except ValueError as error:
        raise InputError(f"--input-json {json_file} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InputError(
            f'--input-json {json_file}: a JSON object is needed, as {{"name": value}}, '
            f"not {type(value).__name__}."
        )
    return value


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise InputError(f"-i {text!r}: write it as NAME=VALUE, for example -i breadth=3.")
    return name.strip(), value


def _unknown(name: str, free: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, free, 1)
    return f"{name}: no such input" + (f"; did you mean {close[0]}?" if close else "")


def _refused(agent: Agent, wrong: Sequence[str]) -> InputError:
    lines = "\n".join(f"  {each}" for each in wrong)
    return InputError(
        f"The inputs do not fit the agent {agent.name}:\n{lines}\n  It takes {described(agent)}"
    )


def _type_name(parameter: inspect.Parameter) -> str:
    return "value" if parameter.annotation is parameter.empty else _name_of(parameter.annotation)


def _name_of(annotation: Any) -> str:
    text = inspect.formatannotation(annotation)
    return text if "Literal[" in text else _QUALIFIERS.sub("", text)


_QUALIFIERS = re.compile(r"(?:[A-Za-z_]\w*\.|<locals>\.)+")


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
