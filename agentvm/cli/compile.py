"""`agentvm compile` and `agentvm graph`: what an agent becomes, without running it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .options import Target


class Emit(StrEnum):
    TEXT = "text"
    JSON = "json"


class Format(StrEnum):
    MERMAID = "mermaid"


def compile(
    target: Target,
    emit: Annotated[Emit | None, typer.Option(help="The IR as text (the default) or JSON.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what was compiled, what was traced, and why.")
    ] = False,
) -> None:
    """Compile an agent and print its IR."""
    from agentvm_compiler.compile import compile_agent

    from .driving import clean_stdout

    with clean_stdout(True) as out:
        from agentvm.loading import load_agent

        program = compile_agent(load_agent(target))
        if explain:
            print(program.explain().rstrip("\n"), file=out)
        if emit is Emit.JSON:
            print(program.module.to_json().rstrip("\n"), file=out)
        elif emit is Emit.TEXT or not explain:
            print(program.module.to_text().rstrip("\n"), file=out)


def graph(
    target: Target,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.MERMAID,
) -> None:
    """Draw an agent's graph."""
    from agentvm_compiler.compile import compile_agent
    from agentvm_compiler.graph import mermaid

    from .driving import clean_stdout

    with clean_stdout(True) as out:
        from agentvm.loading import load_agent

        print(mermaid(compile_agent(load_agent(target)).module).rstrip("\n"), file=out)
