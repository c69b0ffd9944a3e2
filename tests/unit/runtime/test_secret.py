"""Secrets: declared values that nothing records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from agentvm import AgentVM, RunFailed, Secret, UnstorableValue, agent, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_compiler.errors import ConfigError, InputError
from agentvm_runtime import secret as module
from agentvm_runtime.values import decode, encode

VALUE = "correct-horse-battery"
seen: list[str] = []


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test knows its own secrets only."""
    yield
    module.HELD.clear()
    module._values.clear()
    seen.clear()


@tool(effect="read")
async def fetch(url: str, token: Secret) -> str:
    seen.append(token.reveal())
    return f"page of {url}"


@tool(effect="read")
async def leaks(token: Secret) -> str:
    return f"Bearer {token.reveal()}"


@tool(effect="read")
async def fails(token: Secret) -> str:
    raise ValueError(f"401 for {token.reveal()}")


@agent
async def reads(url: str, token: Secret) -> str:
    page = await fetch(url, token)
    return await llm(f"Sum up {page} with {token}")


@agent
async def returns_it(token: Secret) -> str:
    return await leaks(token)


@agent
async def raises_it(token: Secret) -> str:
    return await fails(token)


@agent
async def computes_with_it(token: Secret) -> int:
    header = f"Bearer {token.reveal()}"
    return len(header)


def everything(folder: Path) -> bytes:
    """All that is on the disk."""
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


async def test_a_declared_secret_reaches_its_tool_and_nothing_else(tmp_path: Path, caplog: Any) -> None:
    """Neither the store nor the prompt nor the log has it, and the program's text shows stars."""
    caplog.set_level(logging.DEBUG)
    model = ScriptedLLM("summary")
    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path}/runs.db", llm=model) as vm:
        assert await vm.run(reads, "example.org", Secret(VALUE, name="SITE"), run_id="r") == "summary"
    assert seen == [VALUE]
    assert model.prompts == ["Sum up page of example.org with ***"]
    assert VALUE.encode() not in everything(tmp_path)
    assert b"SITE" in everything(tmp_path)
    assert VALUE not in caplog.text


async def test_a_resumed_run_takes_the_value_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that does not know it says which variable to set."""
    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path}/runs.db", llm=ScriptedLLM("s")) as vm:
        with pytest.raises(RunFailed) as failed:
            await vm.run(reads, "example.org", Secret(name="SITE"), run_id="r")
        assert "AGENTVM_SECRET_SITE" in str(failed.value)
        monkeypatch.setenv("AGENTVM_SECRET_SITE", VALUE)
        run = await vm.resume("r", retry=True)
        assert await run.result() == "s"
    assert seen == [VALUE]


async def test_a_result_that_holds_a_revealed_secret_is_refused(tmp_path: Path) -> None:
    """The error names the secret and the place, not the value."""
    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path}/runs.db", llm=ScriptedLLM("s")) as vm:
        with pytest.raises(RunFailed) as failed:
            await vm.run(returns_it, Secret(VALUE, name="SITE"))
        assert isinstance(failed.value.__cause__, UnstorableValue)
        assert "'SITE'" in str(failed.value) and VALUE not in str(failed.value)
    assert VALUE.encode() not in everything(tmp_path)


async def test_an_error_is_recorded_without_the_secret_in_it(tmp_path: Path) -> None:
    """Clients of APIs put keys into messages."""
    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path}/runs.db", llm=ScriptedLLM("s")) as vm:
        with pytest.raises(RunFailed):
            await vm.run(raises_it, Secret(VALUE, name="SITE"), run_id="r")
        with pytest.raises(RunFailed, match=r"ValueError: 401 for \*\*\*"):
            await (await vm.resume("r")).result()
    assert VALUE.encode() not in everything(tmp_path)


async def test_what_a_program_computes_with_a_secret_is_computed_again(tmp_path: Path) -> None:
    """It cannot be recorded, so it is not."""
    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path}/runs.db", llm=ScriptedLLM("s")) as vm:
        assert await vm.run(computes_with_it, Secret(VALUE)) == len("Bearer ") + len(VALUE)
    assert VALUE.encode() not in everything(tmp_path)


def test_a_secret_shows_itself_nowhere() -> None:
    """Text, repr, formats, JSON, bytes."""
    hidden = Secret(VALUE, name="SITE")

    class Account(BaseModel):
        token: Secret

    account = Account(token=hidden)
    for shown in (str(hidden), f"{hidden}", f"{hidden:>20}", repr(hidden), repr([hidden]), str(account)):
        assert VALUE not in shown
    assert json.loads(account.model_dump_json()) == {"token": {"secret": "SITE"}}
    assert decode(encode({"a": [hidden]})) == {"a": [hidden]}
    with pytest.raises(AttributeError):
        hidden.name = "x"  # type: ignore[misc]


def test_inputs_give_a_value_or_a_name() -> None:
    """A value stays in memory, under a made-up name; a name is looked up when it is revealed."""
    adapter = TypeAdapter(Secret)
    given = adapter.validate_json(json.dumps(VALUE))
    assert given.reveal() == VALUE
    assert given.name.startswith("once-")
    assert adapter.validate_json('{"secret": "SITE"}').name == "SITE"
    assert adapter.validate_python(given, strict=True) is given
    for wrong in ('{"secret": "a b"}', '{"secret": "A", "value": "x"}', "3"):
        with pytest.raises(ValueError, match="validation error"):
            adapter.validate_json(wrong)
    assert {"type": "string", "format": "password", "writeOnly": True} in adapter.json_schema()["anyOf"]


def test_names_and_absence_are_said() -> None:
    """What to set, and what a name may be."""
    with pytest.raises(ConfigError, match="AGENTVM_SECRET_NOWHERE"):
        Secret(name="NOWHERE").reveal()
    with pytest.raises(InputError, match="no name of a secret"):
        Secret(name="a/b")
    with pytest.raises(InputError, match="takes a value"):
        Secret()


def test_logs_are_redacted() -> None:
    """Messages, their arguments, and tracebacks."""
    Secret(VALUE)
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (VALUE,), None)
    try:
        raise ValueError(VALUE)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert module.Redacting().filter(record)
    assert VALUE not in logging.Formatter().format(record)


def test_short_values_are_not_looked_for() -> None:
    """They are in every second text; that they are not shown is all there is."""
    Secret("abc")
    assert module.HELD == {}
    assert encode("abc") == encode("abc")
