"""Compile time: source to optimised IR, against Python's own `ast.parse` + `compile`.

Each size is a generated module of agents; the best of several compilations is
shown, each of a fresh module so that no cache helps. `linear` is how much the
time per line grew from the smallest to the largest size of its kind: 1 is linear.

Targets: a 100-statement agent in 20 ms, a module of 1,000 lines in 1 s.
"""

from __future__ import annotations

import argparse
import ast
import cProfile
import gc
import importlib.util
import itertools
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

HEAD = """\
from dataclasses import dataclass
from agentvm import agent, llm, tool


@dataclass
class Note:
    text: str
    score: int


@tool(effect="read")
async def look(where: str) -> list[str]:
    return [where]


@tool
async def save(text: str) -> None: ...


def trimmed(text: str) -> str:
    return text.strip()[:100]
"""
AGENT = """

@agent
async def agent_{number}(topic: str) -> list[Note]:
    notes: list[Note] = []
    draft = topic
"""
BLOCK = """\
    hits_{n} = await look(f"{{topic}} {n}")
    draft = await llm(f"Write {n} on {{topic}} from {{hits_{n}}}")
    for hit in hits_{n}:
        note = await llm(f"Rate {{hit}}", temperature=0)
        notes.append(Note(trimmed(note), {n}))
    if draft == "bad":
        draft = await llm(f"Mend {{draft}}")
    else:
        await save(trimmed(draft))
    short_{n} = [await llm(f"Shorten {{each.text}}") for each in notes]
"""
STATEMENTS = 10
"""Of one block."""
AGENT_SIZES = (25, 50, 100, 200, 400)
"""Statements of a single agent."""
MODULE_SIZES = (250, 500, 1000, 2000)
"""Lines of a module of agents of 50 statements."""

_numbers = itertools.count()


def agent_source(number: int, statements: int) -> str:
    """An agent of about so many statements, the common constructs in turn."""
    blocks = [BLOCK.format(n=n) for n in range(max(1, statements // STATEMENTS))]
    return AGENT.format(number=number) + "".join(blocks) + "    return notes\n"


def module_source(lines: int) -> str:
    """A module of about so many lines."""
    parts = [HEAD]
    for number in itertools.count():
        parts.append(agent_source(number, 50))
        if sum(each.count("\n") for each in parts) >= lines:
            return "".join(parts)
    raise AssertionError("unreachable")


def loaded(source: str, folder: Path) -> ModuleType:
    """A module of this source that was never there before."""
    name = f"benchmark_{next(_numbers)}"
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def agents(module: ModuleType) -> Iterator[Any]:
    """The agents of a module, in order."""
    yield from (value for name, value in vars(module).items() if name.startswith("agent_"))


def compiled(module: ModuleType) -> None:
    """Compile all agents of a module."""
    from agentvm_compiler.compile import compile_agent

    for each in agents(module):
        compile_agent(each)


def milliseconds(source: str, folder: Path, runs: int) -> tuple[float, float]:
    """Best time of compiling all agents of the source, and of Python's own compilation."""
    ours, pythons = [], []
    for _ in range(runs):
        module = loaded(source, folder)
        gc.collect()
        started = time.perf_counter()
        compiled(module)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        builtin_compile(source)
        pythons.append(time.perf_counter() - started)
    return min(ours) * 1000, min(pythons) * 1000


def builtin_compile(source: str) -> None:
    """What Python itself does to run the source."""
    compile(ast.parse(source), "benchmark", "exec")


def rows(runs: int, folder: Path) -> Iterator[dict[str, Any]]:
    """One measurement for each size."""
    for kind, sizes in (("agent", AGENT_SIZES), ("module", MODULE_SIZES)):
        per_line: list[float] = []
        for size in sizes:
            source = HEAD + agent_source(0, size) if kind == "agent" else module_source(size)
            lines = source.count("\n")
            ours, python = milliseconds(source, folder, runs)
            per_line.append(ours / lines)
            yield {
                "kind": kind,
                "size": size,
                "lines": lines,
                "ms": round(ours, 1),
                "python_ms": round(python, 2),
                "ratio": round(ours / python, 1),
                "linear": round(per_line[-1] / per_line[0], 2),
            }


def profiled(folder: Path, statements: int, top: int) -> None:
    """Print where the time of compiling one agent goes."""
    module = loaded(HEAD + agent_source(0, statements), folder)
    profile = cProfile.Profile()
    profile.runcall(compiled, module)
    pstats.Stats(profile).sort_stats("cumulative").print_stats(top)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--runs", type=int, default=5, help="compilations of each size (default: 5)")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options.add_argument("--profile", type=int, metavar="STATEMENTS", help="profile an agent of this size")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compiled(loaded(HEAD + agent_source(0, 10), Path(folder)))  # imports what compiling needs
        if chosen.profile:
            profiled(Path(folder), chosen.profile, 45)
            return
        found = list(rows(chosen.runs, Path(folder)))
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':8}{'size':>6}{'lines':>7}{'ms':>9}{'python ms':>11}{'ratio':>7}{'linear':>8}")
    for row in found:
        print(
            f"{row['kind']:8}{row['size']:>6}{row['lines']:>7}{row['ms']:>9.1f}"
            f"{row['python_ms']:>11.2f}{row['ratio']:>7.1f}{row['linear']:>8.2f}"
        )


if __name__ == "__main__":
    main()
