"""The live view: looks now and then, and at each key; draws when something has changed."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.live import Live

from agentvm_compiler.errors import AgentVMError

from .keys import named, unbuffered
from .screen import screen
from .sources import Source
from .state import State

PAGE = 10


class App:
    """One reader at one terminal.

    Args:
        every: seconds between two looks.
    """

    def __init__(self, source: Source, state: State, every: float) -> None:
        self.source = source
        self.state = state
        self.every = every
        self._done = asyncio.Event()
        self._stale = asyncio.Event()
        """Set when something was chosen that has to be looked at."""
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the reader quits."""
        fd = sys.stdin.fileno()
        loop = asyncio.get_running_loop()
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._done.set)
        loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        with unbuffered(fd), Live(console=Console(), screen=True, auto_refresh=False) as live:
            loop.add_reader(fd, lambda: self._typed(decoder.decode(os.read(fd, 1024))))
            try:
                looking, drawing = self._look(), self._draw(live)
                tasks = [asyncio.create_task(each) for each in (looking, drawing)]
                ended = asyncio.create_task(self._done.wait())
                await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
            finally:
                loop.remove_reader(fd)
                for task in (*tasks, ended, *self._tasks):
                    task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def press(self, key: str) -> None:
        """What a key does."""
        state = self.state
        state.said = ""
        if key == "interrupt":
            self._done.set()
        elif state.asked is not None:
            run, state.asked = state.asked, None
            if key in ("y", "Y"):
                self._begin(self._cancel(run))
        elif state.typing:
            self._letter(key)
        else:
            self._command(key)

    def _command(self, key: str) -> None:
        state = self.state
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE}
        moves |= {"home": -(10**9), "end": 10**9}
        if key in moves:
            state.move(moves[key])
        elif key == "c" and (row := state.marked()) is not None:
            state.asked = row.run
        elif key == "q":
            self._done.set()
        elif state.opened is not None:
            if key in ("escape", "left", "backspace", "h"):
                state.opened, state.nodes = None, ()
        elif key in ("enter", "right", "l") and (row := state.marked()) is not None:
            state.chosen = state.opened = row.run
            state.nodes, state.at = (), 0
            self._stale.set()
        else:
            self._choose(key)

    def _choose(self, key: str) -> None:
        state = self.state
        if key == "s":
            state.next_sort()
        elif key == "r":
            state.backwards = not state.backwards
        elif key == "a":
            state.active = not state.active
        elif key == "/":
            state.typing = True
        elif key == "escape":
            state.text = ""

    def _letter(self, key: str) -> None:
        state = self.state
        if key in ("enter", "escape"):
            state.typing = False
            state.text = state.text if key == "enter" else ""
        elif key == "backspace":
            state.text = state.text[:-1]
        elif len(key) == 1:
            state.text += key

    def _typed(self, text: str) -> None:
        for key in named(text):
            self.press(key)
        self._changed.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cancel(self, run: str) -> None:
        self.state.said = f"Cancelling {run} ..."
        try:
            status = await self.source.cancel(run)
            self.state.said = f"Run {run} is {status}."
        except AgentVMError as error:
            self.state.said = str(error)
        self._stale.set()

    async def _look(self) -> None:
        while True:
            await self.look()
            self._changed.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stale.wait(), self.every)
            self._stale.clear()

    async def look(self) -> None:
        """See how things stand; what cannot be seen now is shown as it was."""
        state = self.state
        try:
            state.seen = await self.source.look()
            if state.opened is not None:
                opened = state.opened
                found = await self.source.nodes(opened)
                if state.opened == opened:
                    state.nodes = found
            state.problem = ""
        except AgentVMError as error:
            state.problem = str(error)

    async def _draw(self, live: Live) -> None:
        while True:
            self.state.now = time.time()
            size = live.console.size
            live.update(screen(self.state, size.width, size.height), refresh=True)
            await self._changed.wait()
            self._changed.clear()
