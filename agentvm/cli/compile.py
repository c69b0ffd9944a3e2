"""`agentvm compile` and `agentvm graph`: what an agent becomes, without running it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Target

if TYPE_CHECKING:
    from agentvm_compiler.calls import Agent


class Emit(StrEnum):
    TEXT = "text"
    JSON = "json"


class Format(StrEnum):
    MERMAID = "mermaid"
    SVG = "svg"


def compile(
    target: Target,
    emit: Annotated[Emit | None, typer.Option(help="The IR as text (the default) or JSON.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what was compiled, what was traced, and why.")
    ] = False,
    passes: Annotated[
        bool, typer.Option("--passes", help="Print the agent's own IR as lowered and after each pass.")
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="PASS", help="With --passes: leave out this pass; may be given several times."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.avm.json",
            help="Write what `agentvm run` needs to run the agent where its source file is absent.",
        ),
    ] = None,
) -> None:
    """Compile an agent; prints its IR, or writes it to a file that can be run.

    Example: agentvm compile research.py:research -o research.avm.json
    """
    from agentvm_compiler.compile import compile_agent

    from .driving import clean_stdout

    with clean_stdout(True) as out:
        from agentvm.loading import load_agent

        agent = load_agent(target)
        program = compile_agent(agent)
        if output is not None:
            from agentvm.export import write_artifact

            write_artifact(agent, output)
            print(f"Wrote {output}. Run it: agentvm run {output}", file=sys.stderr)
        if explain:
            print(program.explain().rstrip("\n"), file=out)
        if emit is Emit.JSON:
            print(program.module.to_json().rstrip("\n"), file=out)
        if passes:
            print("\n".join(_steps(agent, frozenset(skip or ()))).rstrip("\n"), file=out)
        elif emit is Emit.TEXT or not (explain or output or emit):
            print(program.module.to_text().rstrip("\n"), file=out)


def _steps(agent: Agent, skip: frozenset[str]) -> Iterator[str]:
    """The text form after each pass, or that a pass changed nothing."""
    from agentvm_compiler.compile import lowered
    from agentvm_compiler.passes import steps

    module, constants = lowered(agent)
    last = ""
    for name, after in steps(module, skip, constants):
        text = after.to_text(hashes=False)
        yield f"-- {name}" + (": no change" if text == last else f"\n{text}")
        last = text


def graph(
    target: Target,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.MERMAID,
) -> None:
    """Draw an agent's graph; regions are boxes.

    Example: agentvm graph research.py:research --format svg > research.svg
    """
    from agentvm_compiler.compile import compile_agent
    from agentvm_compiler.graph import mermaid
    from agentvm_compiler.svg import svg

    from .driving import clean_stdout

    with clean_stdout(True) as out:
        from agentvm.loading import load_agent

        draw = svg if format is Format.SVG else mermaid
        print(draw(compile_agent(load_agent(target)).module).rstrip("\n"), file=out)
