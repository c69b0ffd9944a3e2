"""Every command explains itself, and says what is wrong with how it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer.main

from agentvm.cli import app, main
from agentvm_compiler.errors import BackendError


def commands() -> Iterator[tuple[list[str], Any]]:
    """All commands, those of groups too: their names, and what Typer made of them."""
    pending: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    while pending:
        names, command = pending.pop()
        within = getattr(command, "commands", {})
        pending += [([*names, name], each) for name, each in within.items()]
        if names:
            yield names, command


ALL = sorted(commands(), key=lambda each: each[0])
IDS = [" ".join(names) for names, _ in ALL]


def ended(arguments: Sequence[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as found:
        main(arguments)
    return int(found.value.code or 0)


@pytest.mark.parametrize(("names", "command"), ALL, ids=IDS)
def test_every_command_explains_itself_and_its_options(
    names: list[str], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it is for, and what each option does; its own exit code is 0."""
    assert ended([*names, "--help"]) == 0
    assert "Usage: agentvm " + " ".join(names) in capsys.readouterr().out
    assert command.help
    assert [
        each.name for each in command.params if not (each.help or "").strip() and each.name != "help"
    ] == []


@pytest.mark.parametrize(("names", "command"), ALL, ids=IDS)
def test_an_option_that_is_not_there_is_wrong_usage(
    names: list[str], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the option named, nothing on standard output."""
    assert ended([*names, "--no-such-option"]) == 2
    told = capsys.readouterr()
    assert "--no-such-option" in told.err and told.out == ""


def test_a_command_that_is_not_there_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name is said."""
    assert ended(["resum"]) == 2
    assert "Did you mean 'resume'" in capsys.readouterr().err


def test_an_error_out_of_task_groups_is_told_as_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not as a bug: task groups wrap what is raised in them, one in another."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [BackendError("the engine refused it")])])

    monkeypatch.setattr("agentvm.cli.app", broken)
    assert ended(["runs"]) == 1
    assert capsys.readouterr().err == "error: the engine refused it\n"
