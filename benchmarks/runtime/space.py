"""How large a database gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentvm import agent, tool

from .durable import machine
from .figures import Asked, Bench, Case, Found, Place, Row, Taken
from .floors import sqlite_size

TEXT = "".join(chr(32 + n * n % 90) for n in range(10_000))
ITEM = 200
"""Bytes that are appended."""


@tool(effect="read")
async def carry(text: str) -> str:
    return text


@tool(effect="read")
async def note(number: int) -> str:
    return f"{number:{ITEM}}"


@agent
async def carrying(count: int, text: str) -> int:
    for _ in range(count):
        text = await carry(text)
    return len(text)


@agent
async def appending(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(await note(number))
    return len(notes)


@agent
async def appending_and_reading(count: int) -> int:
    """The next call depends on what the list has."""
    notes = ["0"]
    for _ in range(count):
        notes.append(await note(int(notes[-1]) + 1))
    return len(notes)


def size(program: object, *inputs: Any) -> Bench:
    """Megabytes after one run."""

    async def bench(place: Place) -> Found:
        async with machine(place.url) as vm:
            await vm.run(program, *inputs)
        return {"size": Taken(sum(sizes(place.folder)) / 1e6)}

    return bench


def sizes(folder: Path) -> list[int]:
    """Of the database and of what it has beside it."""
    return [each.stat().st_size for each in folder.iterdir() if each.name.startswith("runs.db")]


def cases(thousand: int) -> list[Case]:
    """The cases, with so many nodes for a thousand."""

    def case(name: str, goal: float, ours: Bench, floor: Bench, **peers: Asked) -> Case:
        return Case([Row("size", name, "MB", goal)], ours, floor, peers, varies=False)

    def both(function: str) -> dict[str, Asked]:
        return {name: Asked(function, {"count": thousand}) for name in ("langgraph", "dbos")}

    constant = [
        case(
            f"{count:,} nodes with the same 10 KB",
            goal,
            size(carrying, count, TEXT),
            sqlite_size(count, once=len(TEXT)),
            **(both("constant") if count == thousand else {}),
        )
        for count, goal in ((thousand, 0.8), (10 * thousand, 8.0))
    ]
    appended = [
        case(
            f"{thousand:,} times {ITEM} B to a list{told}",
            1.5,
            size(program, thousand),
            sqlite_size(thousand, each=ITEM),
            **both("appended"),
        )
        for program, told in ((appending, ""), (appending_and_reading, " that is read"))
    ]
    return [*constant, *appended]
