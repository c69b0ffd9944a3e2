"""Kills a program with write tools at one point after the other, resumes it, and prints what came of each.

    python crash_points.py URL MODE FOLDER FIRST STRIDE

A *point* is a moment before or after an event is appended, a value is written, a
transaction is committed, or a tool takes effect. The resume is killed in turn, a few
points later for each point, and resumed again. Everything is imported once; each
life is a fork of this process, so that a point costs milliseconds. `{n}` in the URL
is replaced by the point. Prints one JSON line a point.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentvm import AgentVM, agent, current, llm, tool
from agentvm.testing import ScriptedLLM
from agentvm_runtime.errors import UncertainWrite
from agentvm_runtime.records import Event, EventKind
from agentvm_runtime.store import group, open_store, postgres, sql, sqlite

RUN = "run"
WORLD = Path()
"""Where the tools take effect: one line for each time."""
executed: list[str] = []
"""Paths of the calls that this life made."""
AGAIN = 41
"""Points of a resume at one of which it is killed, too."""


class Killer:
    """Counts points, and kills this process at one of them."""

    def __init__(self, at: int) -> None:
        self.left = at
        self._lock = threading.Lock()

    def point(self) -> None:
        with self._lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, name: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.point()
            found = method(*args, **kwargs)
            self.point()
            return found

        setattr(owner, name, watched)

    def watch(self) -> None:
        self.around(sql.SqlStore, "append")
        for transaction in (sqlite.SqliteTransaction, postgres.PostgresTransaction):
            for name in ("put_values", "commit"):
                self.around(transaction, name)
        self.note_acknowledged()

    def note_acknowledged(self) -> None:
        """Write down which events were acknowledged, before anybody is told so."""
        append, finish = sql.SqlStore.append, group.Pending.finish
        paths: dict[group.Pending, str] = {}

        def appended(store: sql.SqlStore, run: str, event: Event, *rest: Any, **more: Any) -> group.Pending:
            pending: group.Pending = append(store, run, event, *rest, **more)
            if run == RUN:
                paths[pending] = f"{event.kind} {event.path}\n"
            return pending

        def finished(pending: group.Pending) -> Any:
            if pending in paths and pending.error is None:
                with acknowledged().open("a") as log:
                    log.write(paths[pending])
            return finish(pending)

        sql.SqlStore.append, group.Pending.finish = appended, finished  # type: ignore[method-assign,assignment]


killer = Killer(0)


def acknowledged() -> Path:
    """The log of what was durable."""
    return WORLD.with_suffix(".acknowledged")


def effect(what: str) -> None:
    """Something happens outside that can never be undone."""
    killer.point()
    executed.append(current().path)
    with WORLD.open("a") as world:
        world.write(f"{what}\t{current().idempotency_key}\n")
    killer.point()


@tool
async def save(text: str) -> str:
    effect(f"save {text}")
    return f"saved {text}"


@tool(idempotent=True)
async def publish(text: str) -> str:
    effect(f"publish {text}")
    return f"published {text}"


@tool(effect="read")
async def look(text: str) -> str:
    executed.append(current().path)
    return f"seen {text}"


@agent
async def flow(topic: str) -> list[str]:
    plan = await llm(f"plan {topic}")
    seen = [await look(f"{plan} {number}") for number in range(6)]
    drafts = [await llm(f"draft {each}") for each in seen]
    first = await save(drafts[0])
    receipts = []
    for draft in drafts[1:4]:
        receipts.append(await publish(draft))
    second = await save(f"{drafts[4]} after {receipts[2]}")
    reviews = [await llm(f"review {each}") for each in receipts]
    third = await publish(reviews[0])
    last = await save(await llm(f"sum up {third}"))
    return [first, second, last, *reviews]


def answer(call: Any) -> str:
    executed.append(call.path)
    return f"<{call.prompt}>"


def machine(url: str, mode: str) -> AgentVM:
    return AgentVM(store=url, llm=ScriptedLLM(answer), durability=mode)


async def live(url: str, mode: str) -> list[str]:
    async with machine(url, mode) as vm:
        result: list[str] = await (await vm.start(flow, "tea", run_id=RUN)).result()
        return result


async def go_on(url: str, mode: str) -> dict[str, Any]:
    """Resume to the end, settling writes by looking at the world; what was found on the way."""
    store = open_store(url)
    await store.open()
    began = await store.get_run(RUN) is not None
    events = await store.events(RUN)
    await store.aclose()
    recorded = {each.path for each in events if each.kind is EventKind.DONE}
    known = {f"{each.kind} {each.path}" for each in events}
    lost = sorted(set(lines(acknowledged())) - known)
    happened = world()
    if not began:
        return {"began": False, "happened": happened, "recorded": len(recorded), "lost": lost}
    uncertain = 0
    while True:
        try:
            async with machine(url, mode) as vm:
                result = await (await vm.resume(RUN)).result()
            break
        except UncertainWrite:
            uncertain += 1
            await settle(url, mode)
    return {
        "began": True,
        "result": result,
        "recorded": len(recorded),
        "lost": lost,
        "acknowledged": len(lines(acknowledged())),
        "again": sorted(recorded & set(executed)),
        "uncertain": uncertain,
        "happened": world(),
    }


async def settle(url: str, mode: str) -> None:
    """Do as a person would: look whether the write happened, and say so."""
    async with machine(url, mode) as vm:
        events = await vm.store.events(RUN)
        done = {each.path for each in events if each.kind is EventKind.DONE}
        started = {each.path: each for each in events if each.kind is EventKind.INTENT}
        [intent] = [each for path, each in started.items() if path not in done]
        key = intent.detail["idempotency_key"]
        found = [what for what, used in world() if used == key]
        if found:
            await vm.resolve(RUN, intent.path, value=f"saved {found[0].removeprefix('save ')}")
        else:
            await vm.resolve(RUN, intent.path, retry=True)


def world() -> list[list[str]]:
    return [line.split("\t") for line in lines(WORLD)]


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def fork(work: Callable[[], Any]) -> int:
    """Do it in a child; its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitpid(child, 0)[1]


def main(template: str, mode: str, folder: str, first: int, stride: int) -> None:
    global WORLD
    url = template.replace("{n}", f"{mode}_warm")
    WORLD = Path(folder) / f"world-{mode}-warm"
    asyncio.run(live(url, mode))  # all is imported and compiled now
    executed.clear()
    at = first
    while True:
        url = template.replace("{n}", f"{mode}_{at}")
        WORLD = Path(folder) / f"world-{mode}-{at}"

        def killed(url: str = url, at: int = at) -> None:
            killer.left = at
            killer.watch()
            asyncio.run(live(url, mode))

        def killed_again(url: str = url, at: int = at) -> None:
            killer.left = at % AGAIN + 1
            killer.watch()
            asyncio.run(go_on(url, mode))

        def resumed(url: str = url, at: int = at) -> None:
            found = asyncio.run(go_on(url, mode))
            repeats = Counter(map(tuple, found["happened"]))
            found["repeated"] = sorted(what for (what, _), times in repeats.items() if times > 1)
            print(json.dumps({"point": at, "mode": mode, **found}), flush=True)

        status = fork(killed)
        if not os.WIFSIGNALED(status):
            print(json.dumps({"point": at, "mode": mode, "survived": os.waitstatus_to_exitcode(status)}))
            return
        again = fork(killed_again)
        if (again != 0 and not os.WIFSIGNALED(again)) or fork(resumed) != 0:
            print(json.dumps({"point": at, "mode": mode, "broken": True}), flush=True)
        at += stride


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
