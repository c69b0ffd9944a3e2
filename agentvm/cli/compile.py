"""`agentvm compile` and `agentvm graph`: what an agent becomes, without running it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import Target


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
            from agentvm.artifact import write_artifact

            write_artifact(agent, output)
            print(f"Wrote {output}. Run it: agentvm run {output}", file=sys.stderr)
        if explain:
            print(program.explain().rstrip("\n"), file=out)
        if emit is Emit.JSON:
            print(program.module.to_json().rstrip("\n"), file=out)
        elif emit is Emit.TEXT or not (explain or output):
            print(program.module.to_text().rstrip("\n"), file=out)


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
