"""`agentvm top` in a real terminal, over a real store with runs in progress."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentvm import AgentVM, RunCancelled, agent, llm
from agentvm.testing import ScriptedLLM

ROOT = Path(__file__).parents[2]
ROWS = 20
PATIENCE = 120
"""Seconds that anything may take on a busy machine."""
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


@agent(deadline="10h")
async def slow(topic: str) -> str:
    return await llm(f"hold {await llm(f'first {topic}')}")


@agent
async def other(topic: str) -> str:
    return await llm(f"hold {topic}")


class Terminal:
    """A terminal of 100 columns with a program in it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, 100, 0, 0))
        self.modes = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            command, stdin=self._slave, stdout=self._slave, stderr=self._slave, env=environment
        )
        self.raw = ""
        self._come = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        self.raw += os.read(self._master, 65536).decode(errors="replace")
        self._come.set()

    @property
    def lines(self) -> list[str]:
        """What is on the screen; the view draws it whole, from the upper left corner."""
        frames = self.raw.split("\x1b[H")[1:]
        whole = [each for each in frames[-2:] if each.count("\n") >= ROWS - 1] or [""]
        return [each.rstrip() for each in SEQUENCE.sub("", whole[-1]).replace("\r", "").split("\n")]

    async def until(self, right: Callable[[list[str]], bool]) -> list[str]:
        """The screen, when it is so."""
        async with asyncio.timeout(PATIENCE):
            while not right(self.lines):
                self._come.clear()
                await self._come.wait()
        return self.lines

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def modes_now(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


def has(*parts: str) -> Callable[[list[str]], bool]:
    """Whether some line has all of these."""
    return lambda lines: any(all(part in line for part in parts) for line in lines)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
    paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
    homes = {name: str(home) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    return kept | homes | {"PYTHONPATH": os.pathsep.join(paths), "TERM": "xterm", "NO_COLOR": "1"}


@asynccontextmanager
async def terminal(home: Path, store: str) -> AsyncIterator[Terminal]:
    command = [sys.executable, "-m", "agentvm", "top", "--store", store, "--every", "0.2"]
    there = Terminal(command, environment(home))
    try:
        yield there
    finally:
        there.close()


async def test_runs_in_progress_are_watched_filtered_opened_and_cancelled(tmp_path: Path) -> None:
    """What the keys say happens, what the runs do is seen, and the terminal is left as it was."""
    store = f"sqlite+aiosqlite:///{tmp_path}/runs.db"
    gate, held = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(call: object) -> str:
        if call.prompt.startswith("hold"):  # type: ignore[attr-defined]
            held.release()
            await gate.wait()
        return "some words"

    async with AgentVM(store=store, llm=ScriptedLLM(answer)) as vm:
        first = await vm.start(slow, "x", run_id="run-a")
        second = await vm.start(other, "y", run_id="run-b")
        for _ in range(2):
            await held.acquire()
        async with terminal(tmp_path, store) as screen:
            lines = await screen.until(has("run-a", "running", "9h"))
            assert has("run-b", "other", "running", "-")(lines)
            assert has("2 runs: 2 running")(lines)

            screen.type("/other\r")
            assert not has("run-a")(await screen.until(lambda lines: not has("run-a")(lines)))
            screen.type("\x1b")
            await screen.until(has("run-a"))

            screen.type("/run-a\r\r")
            await screen.until(has("llm#1", "done"))
            screen.type("c")
            await screen.until(has("Cancel run run-a for good? y/n"))
            screen.type("n")
            await screen.until(lambda lines: not has("for good?")(lines))
            screen.type("cy")
            with pytest.raises(RunCancelled):
                await first.result()
            await screen.until(has("run-a", "cancelled"))
            screen.type("\x1b")
            await screen.until(has("STATUS"))
            screen.type("\x1b")

            await screen.until(has("run-b", "running"))
            gate.set()
            assert await second.result() == "some words"
            await screen.until(has("run-b", "completed"))
            assert "\x1b[2J" not in screen.raw.partition("run-a")[2]  # nothing flickers: it is never cleared
            screen.type("q")
            assert await asyncio.to_thread(screen.process.wait, PATIENCE) == 0
            assert screen.modes_now() == screen.modes
            assert "\x1b[?1049l" in screen.raw


def test_a_pipe_gets_one_look(tmp_path: Path) -> None:
    """As a table, or as one JSON document."""
    store = f"sqlite+aiosqlite:///{tmp_path}/runs.db"

    async def one_run() -> None:
        async with AgentVM(store=store, llm=ScriptedLLM("some words")) as vm:
            await vm.run(other, "y", run_id="run-b")

    asyncio.run(one_run())
    command = [sys.executable, "-m", "agentvm", "top", "--store", store]
    found = [
        subprocess.run(
            [*command, *more], env=environment(tmp_path), capture_output=True, text=True, check=True
        )
        for more in ([], ["--json"])
    ]
    assert "run-b" in found[0].stdout and "\x1b" not in found[0].stdout
    seen = json.loads(found[1].stdout)
    assert [(each["run"], each["status"], each["output_tokens"]) for each in seen["runs"]] == [
        ("run-b", "completed", 2)
    ]
