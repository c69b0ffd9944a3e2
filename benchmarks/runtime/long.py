"""Long runs: what a call costs, and how much memory a process takes, as a run grows.

Each run is in a process of its own, whose memory at its largest counts.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time

from agentvm import agent, tool
from benchmarks.memory import peak

from .durable import machine
from .figures import Bench, Case, Found, Place, Row, Taken, Watch
from .floors import sqlite_rows

called: list[float] = []
"""Processor time at each call."""


@tool(effect="read")
async def step(number: int) -> int:
    called.append(time.process_time())
    return number + 1


@tool(effect="read")
async def note(number: int) -> str:
    called.append(time.process_time())
    return f"{number:200}"


@agent
async def chain(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return number


@agent
async def fan(count: int) -> int:
    found = [await step(number) for number in range(count)]
    return len(found)


@agent
async def gather(count: int) -> int:
    notes = []
    for number in range(count):
        notes.append(await note(number))
    return len(notes)


PROGRAMS = {"chain": chain, "map": fan, "list of 200 B each": gather}


async def run(url: str, name: str, count: int) -> Found:
    """One run, in a process that has done nothing else."""
    async with machine(url) as vm:
        await vm.run(PROGRAMS[name], 10)  # compiles
        called.clear()
        watch = Watch()
        await vm.run(PROGRAMS[name], count)
        each = watch.each(count)
    return {"each": each, "memory": Taken(peak() / 1e6), "growth": Taken(growth())}


def growth() -> float:
    """What a call costs late in the run, in calls early in it.

    Of the cheapest of the last three tenths, and of the first three: the machine's
    other work makes some dearer.
    """
    tenth = len(called) // 10
    tenths = [called[n + tenth - 1] - called[n] for n in range(0, tenth * 10, tenth)]
    early = min(tenths[:3])
    return min(tenths[7:]) / early if early else 1.0  # too short for the clock


def in_new_process(url: str, name: str, count: int) -> Found:
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(_run, (url, name, count))


def _run(url: str, name: str, count: int) -> Found:
    return asyncio.run(run(url, name, count))


def long(name: str, count: int) -> Bench:
    async def bench(place: Place) -> Found:
        return await asyncio.to_thread(in_new_process, place.url, name, count)

    return bench


def floor(count: int) -> Bench:
    """A process that runs one call has the memory which a run comes on top of."""
    rows = sqlite_rows(count, commit=100)

    async def bench(place: Place) -> Found:
        least = await asyncio.to_thread(in_new_process, place.url, "chain", 10)
        return {**await rows(place), "memory": least["memory"], "growth": Taken(1)}

    return bench


def cases(thousand: int) -> list[Case]:
    """Each program with ten thousand calls."""
    count = 10 * thousand

    def rows(name: str) -> list[Row]:
        return [
            Row("memory", f"{name} of {count:,}", "MB memory", 500),
            Row("each", "the same", "us/call"),
            Row("growth", "the same, a call late against early", "times"),
        ]

    return [Case(rows(name), long(name, count), floor(count)) for name in PROGRAMS]
