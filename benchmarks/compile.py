"""Compile time: source to optimised IR, against Python's own `ast.parse` + `compile`.

Programs of several kinds and sizes are generated, compiled and thrown away, each
time with other names and texts, so that no cache helps. Shown are medians of the
processor time, which the machine's other work hardly touches. `ratio` is to
Python's own time in the same run; `linear` is how much the time per line is of
that of the smallest program of its kind: not above 1 is linear. A program is made of
whole blocks, so it has some more statements than its size: one of all kinds has 148 for 100.

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
import statistics
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


async def asked(text: str) -> str:
    return await llm(f"Answer: {trimmed(text)}")
"""
AGENT = """

@agent
async def agent_{number}(topic: str) -> list[Note]:
    notes: list[Note] = []
    draft = topic
"""

BLOCKS = {
    "straight": """\
    hits_@ = await look(f"{topic} @")
    best_@ = hits_@[0] if hits_@ else topic
    draft = await llm(f"Write @ on {topic} from {best_@}")
    await save(trimmed(draft))
    notes.append(Note(draft, @))
""",
    "loops": """\
    for hit_@ in await look(f"{topic} @"):
        note_@ = await llm(f"Rate {hit_@} @", temperature=0)
        notes.append(Note(trimmed(note_@), @))
    while len(draft) < @:
        draft = draft + await llm(f"Go on @: {draft}")
        for part_@ in draft.split():
            if part_@ == "stop @":
                break
            await save(part_@)
    short_@ = [await llm(f"Shorten @ {each.text}") for each in notes]
""",
    "branches": """\
    if draft == "bad @":
        draft = await llm(f"Mend @ {draft}")
    elif await llm(f"Is {draft} good @?") == "yes":
        await save(draft)
    else:
        if len(draft) > @:
            draft = draft[:@]
        else:
            draft = await llm(f"Lengthen @ {draft}")
    kind_@ = await llm(f"Long @ {draft}") if len(draft) > 9 else "short"
    match kind_@:
        case "news @":
            await save(draft)
        case _:
            notes.append(Note(kind_@, @))
""",
    "tries": """\
    try:
        draft_@ = await llm(f"Write @ {topic}")
        await save(draft_@)
    except ValueError as error_@:
        draft_@ = f"failed @: {error_@}"
    except (KeyError, TypeError):
        draft_@ = await llm(f"Again @ {topic}")
    else:
        notes.append(Note(draft_@, @))
    try:
        short_@ = await llm(f"Shorten @ {topic}")
    finally:
        await save("done @")
""",
    "helpers": """\
    answer_@ = await asked(f"{topic} @")
    words_@ = helper_@(answer_@)
    draft = await helper_async_@(topic, words_@)
""",
}
HELPERS = {
    "helpers": """

def helper_@(text: str) -> list[str]:
    found = []
    for word in text.split():
        if word != "@":
            found.append(trimmed(word))
    return found


async def helper_async_@(text: str, words: list[str]) -> str:
    if "@" in words:
        return text
    return await asked(f"{text} @ {len(words)}")
""",
}
BLOCKS["mixed"] = "".join(BLOCKS.values())
HELPERS["mixed"] = HELPERS["helpers"]
AGENT_SIZES = (25, 100, 400, 1600)
"""Statements of a single agent, its helpers included."""
MODULE_SIZES = (250, 1000, 2000)
"""Lines of a module of agents of 50 statements."""

_numbers = itertools.count(1000)
"""Of what is generated: no number is used twice in a process."""


def agent_source(kind: str, statements: int) -> str:
    """An agent of about so many statements, with its helpers."""
    number = next(_numbers)
    body, helpers = [AGENT.format(number=number)], [""]
    count = 3
    size = _statements(BLOCKS[kind], HELPERS.get(kind, ""))
    while count < statements:
        mark = f"{next(_numbers)}"
        body.append(BLOCKS[kind].replace("@", mark))
        helpers.append(HELPERS.get(kind, "").replace("@", mark))
        count += size
    return "".join((*helpers, *body, "    return notes\n"))


def _statements(block: str, helpers: str) -> int:
    """How many statements there are in a block and its helpers."""
    return _count(f"async def f():\n{block}{helpers}".replace("@", "1")) - 1


def _count(source: str) -> int:
    return sum(isinstance(each, ast.stmt) for each in ast.walk(ast.parse(source)))


def module_source(lines: int) -> str:
    """A module of about so many lines, of agents of all kinds in turn."""
    parts = [HEAD]
    for kind in itertools.cycle(BLOCKS):
        parts.append(agent_source(kind, 50))
        if sum(each.count("\n") for each in parts) >= lines:
            break
    return "".join(parts)


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


def compiled(module: ModuleType) -> None:
    """Compile all agents of a module, and what they call."""
    from agentvm_compiler.compile import compile_agent

    for name, value in list(vars(module).items()):
        if name.startswith("agent_"):
            compile_agent(value)


def builtin_compile(source: str) -> None:
    """What Python itself does to run the source."""
    compile(ast.parse(source), "benchmark", "exec")


def measured(kind: str, size: int, folder: Path, runs: int) -> dict[str, Any]:
    """The medians of one kind and size."""
    lines, statements, ours, pythons = 0, 0, [], []
    for _ in range(runs):
        written = module_source(size) if kind == "module" else agent_source(kind, size)
        source = written if kind == "module" else HEAD + written
        lines, statements = source.count("\n"), _count(written)
        module = loaded(source, folder)
        gc.collect()
        pythons.append(_milliseconds(builtin_compile, source))
        gc.collect()
        ours.append(_milliseconds(compiled, module))
        del sys.modules[module.__name__]
    ratio = statistics.median(one / other for one, other in zip(ours, pythons, strict=True))
    return {
        "kind": kind,
        "size": size,
        "statements": statements,
        "lines": lines,
        "ms": round(statistics.median(ours), 2),
        "python_ms": round(statistics.median(pythons), 2),
        "ratio": round(ratio, 1),
    }


def _milliseconds(what: Any, argument: Any) -> float:
    started = time.process_time()
    what(argument)
    return (time.process_time() - started) * 1000


def rows(kinds: list[str], folder: Path, runs: int) -> Iterator[dict[str, Any]]:
    """One measurement for each kind and size."""
    for kind in kinds:
        first = 0.0
        for size in MODULE_SIZES if kind == "module" else AGENT_SIZES:
            row = measured(kind, size, folder, runs)
            first = first or row["ms"] / row["lines"]
            yield {**row, "linear": round(row["ms"] / row["lines"] / first, 2)}


def profiled(folder: Path, kind: str, statements: int, top: int) -> None:
    """Print where the time of compiling one agent goes."""
    module = loaded(HEAD + agent_source(kind, statements), folder)
    profile = cProfile.Profile()
    profile.runcall(compiled, module)
    pstats.Stats(profile).sort_stats("cumulative").print_stats(top)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--runs", type=int, default=5, help="compilations of each size (default: 5)")
    options.add_argument("--kind", action="append", choices=[*BLOCKS, "module"], help="what to measure (all)")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options.add_argument("--profile", type=int, metavar="STATEMENTS", help="profile an agent of this size")
    chosen = options.parse_args()
    kinds = chosen.kind or [*BLOCKS, "module"]
    with tempfile.TemporaryDirectory() as folder:
        compiled(loaded(HEAD + agent_source("mixed", 10), Path(folder)))  # imports what compiling needs
        if chosen.profile:
            profiled(Path(folder), kinds[-1] if chosen.kind else "mixed", chosen.profile, 45)
            return
        found = rows(kinds, Path(folder), chosen.runs)
        if chosen.json:
            print(json.dumps(list(found), indent=2))
            return
        heads = f"{'ms':>9}{'python ms':>11}{'ratio':>7}{'linear':>8}"
        print(f"{'':9}{'size':>6}{'statements':>12}{'lines':>7}{heads}")
        for row in found:
            print(
                f"{row['kind']:9}{row['size']:>6}{row['statements']:>12}{row['lines']:>7}{row['ms']:>9.1f}"
                f"{row['python_ms']:>11.2f}{row['ratio']:>7.1f}{row['linear']:>8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
