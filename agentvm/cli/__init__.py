"""The command line: `agentvm COMMAND`.

Commands import what they need when they run, so that `agentvm --help` is quick.
An `AgentVMError` is shown as its message; no traceback reaches the user unless
`--traceback` or `AGENTVM_TRACEBACK=1` asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from . import (
    answer,
    archive,
    bench,
    cancel,
    compile,
    deadline,
    diff,
    doctor,
    fork,
    gc,
    memo,
    models,
    new,
    plan,
    resolve,
    resume,
    run,
    runs,
    serve,
    show,
    top,
    ui,
    worker,
)
from .exits import (
    Exit,
    begin,
    code_of,
    fail,
    flush_or_drop,
    heard,
    internal,
    of_the_system,
    tell_failure,
)

TRACEBACK = "AGENTVM_TRACEBACK"

app = typer.Typer(
    name="agentvm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(new.new)
app.command()(run.run)
app.command()(resume.resume)
app.command()(worker.worker)
app.command()(serve.serve)
app.command()(ui.ui)
app.command()(fork.fork)
app.command()(answer.answer)
app.command()(resolve.resolve)
app.command()(deadline.deadline)
app.command()(cancel.cancel)
app.command()(runs.runs)
app.command()(top.top)
app.command()(show.show)
app.command()(diff.diff)
app.command()(compile.compile)
app.command()(compile.graph)
app.command()(archive.export)
app.command(name="import")(archive.import_)
app.command()(gc.gc)
app.add_typer(memo.app, name="memo")
app.add_typer(models.app, name="models")
app.command()(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.command()(plan.plan)


def _version(asked: bool) -> None:
    if asked:
        from agentvm import __version__

        typer.echo(f"agentvm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show Python's traceback of an error.", envvar=TRACEBACK)
    ] = False,
) -> None:
    """The virtual machine for LLM agents.

    Exit codes: 0 done, 1 the run failed, 2 wrong usage or input, 3 suspended or
    uncertain, 4 the deadline was missed, 130 interrupted (and resumable).
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    begin()
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = "--traceback" in arguments  # wherever it stands
    arguments = [each for each in arguments if each != "--traceback"]
    from agentvm_compiler.errors import AgentVMError, alone

    try:
        if os.environ.get("AGENTVM_LOG"):  # only then, as it is imported for it
            from agentvm.telemetry.logs import configure

            configure(os.environ)
        try:
            app(arguments, prog_name="agentvm")
        finally:
            with heard(sys.stdout):
                sys.stdout.flush()
    except SystemExit as end:
        if end.code == Exit.USAGE:
            tell_failure(arguments, "Wrong usage; standard error says what.", Exit.USAGE)
        elif end.code == Exit.INTERRUPTED:
            tell_failure(arguments, "Interrupted before the run began.", Exit.INTERRUPTED)
        raise
    except Exception as raised:
        error = alone(raised)
        assert isinstance(error, Exception)  # as in a group of them
        code = code_of(error) if isinstance(error, AgentVMError) else Exit.FAILED
        message = _said(error, arguments)
        if wanted or os.environ.get(TRACEBACK, "") not in ("", "0"):
            import traceback

            flush_or_drop(sys.stdout)
            traceback.print_exception(raised)
        else:
            fail(message)
        tell_failure(arguments, message, code)
        sys.exit(code)


def _said(error: Exception, arguments: Sequence[str]) -> str:
    """What the user is told of an error."""
    from agentvm_compiler.errors import AgentVMError

    if isinstance(error, AgentVMError):
        return str(error)
    refusal = of_the_system(error) if isinstance(error, OSError) else None
    return refusal or internal(error, arguments)
