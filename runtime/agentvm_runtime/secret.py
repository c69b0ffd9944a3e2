"""Secrets: values that programs pass on and nothing records.

A `Secret` is a name. Its value is in the memory of this process, or in the
environment (`AGENTVM_SECRET_` and the name), and is had by `reveal()`, which
belongs into tools. Stores, logs, prompts and the web page get the name only, so
a run that is resumed elsewhere looks the value up there.

As a second line, values that are known here are *held*: what would be stored
with one of them in it is refused, and errors, questions and logs are redacted.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from typing import Any, Final

from agentvm_compiler.errors import ConfigError, InputError

VARIABLE: Final = "AGENTVM_SECRET_"
SHORTEST: Final = 8
"""Characters of a value that is looked for: shorter ones are found everywhere."""
HIDDEN: Final = "***"

HELD: dict[str, str] = {}
"""Values that must not be recorded, with their names."""
_values: dict[str, str] = {}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Secret:
    """A value nobody sees but who reveals it.

    Args:
        value: by default what the environment has under the name.
        name: what stands for it wherever it is shown or kept; by default made up.
    """

    __slots__ = ("name",)

    name: str

    def __init__(self, value: str | None = None, *, name: str | None = None) -> None:
        if value is None and name is None:
            raise InputError("Secret() takes a value, or the name of one in the environment, or both.")
        if name is not None and not _NAME.fullmatch(name):
            raise InputError(f"{name!r:.80} is no name of a secret: use letters, digits and _ . -")
        object.__setattr__(self, "name", name or f"once-{secrets.token_hex(6)}")
        if value is not None:
            _values[self.name] = value
            _hold(self.name, value)

    def reveal(self) -> str:
        """The value. Raises ConfigError if this process does not know it."""
        value = _values.get(self.name)
        if value is None:
            value = os.environ.get(VARIABLE + self.name)
        if value is None:
            raise ConfigError(
                f"The secret {self.name!r} is not known in this process. Set {VARIABLE}{self.name} in its "
                "environment, then go on with the run: agentvm resume RUN --retry"
            )
        _hold(self.name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Secret cannot be changed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Secret, self.name))

    def __repr__(self) -> str:
        return f"Secret(name={self.name!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __reduce__(self) -> Any:
        return _named, (self.name,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Takes a value, or `{"secret": NAME}`; gives the latter."""
        from pydantic_core import core_schema as core

        fields = {"secret": core.typed_dict_field(core.str_schema(pattern=f"^{_NAME.pattern}$"))}
        taken = core.union_schema(
            [core.str_schema(), core.typed_dict_schema(fields, extra_behavior="forbid")]
        )
        read = core.no_info_after_validator_function(_taken, taken)
        shown = core.plain_serializer_function_ser_schema(lambda secret: {"secret": secret.name})
        return core.json_or_python_schema(
            read, core.union_schema([core.is_instance_schema(cls), read]), serialization=shown
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        name = {"type": "object", "properties": {"secret": {"type": "string"}}, "required": ["secret"]}
        return {"anyOf": [{"type": "string", "format": "password", "writeOnly": True}, name]}


def _taken(given: Any) -> Secret:
    return Secret(given) if isinstance(given, str) else Secret(name=given["secret"])


def _named(name: str) -> Secret:
    return Secret(name=name)


def _hold(name: str, value: str) -> None:
    if len(value) >= SHORTEST:
        HELD[value] = name


def found_in(data: bytes | bytearray) -> str | None:
    """The name of a held secret whose value is in the bytes."""
    return next((name for value, name in list(HELD.items()) if value.encode() in data), None)


def redact(text: str) -> str:
    """The text with held values replaced."""
    for value in list(HELD):
        text = text.replace(value, HIDDEN)
    return text


def redacted(value: Any) -> Any:
    """A JSON value with held values replaced in all its texts."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redacted(key): redacted(each) for key, each in value.items()}
    return [redacted(each) for each in value] if isinstance(value, list | tuple) else value


class Redacting(logging.Filter):
    """Keeps held values out of a log; for a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        if HELD:
            record.msg, record.args = redact(record.getMessage()), None
            if record.exc_info and not record.exc_text:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_text = redact(record.exc_text) if record.exc_text else record.exc_text
        return True
