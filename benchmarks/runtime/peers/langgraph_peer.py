"""LangGraph with its SQLite checkpointer.

Calls are tasks of an entrypoint (the functional API), which takes LangGraph less
time than a node of a graph does. Where state is carried, a branch is edited, or
supersteps matter, it is a graph.
"""

from __future__ import annotations

import asyncio
import operator
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.cache.sqlite import SqliteCache
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy

from benchmarks.runtime.figures import Found, Place, Taken, Watch
from benchmarks.runtime.floors import used
from benchmarks.runtime.killing import REACHED, as_party, kill_and_resume
from benchmarks.runtime.skew import CHAINS, CRITICAL_PATH, seconds
from benchmarks.runtime.space import ITEM, TEXT

made: list[Any] = []
"""What was executed."""
reached: list[Callable[[], None]] = []
"""What is told that the task after the last step has begun."""


class State(TypedDict):
    number: int
    text: str
    notes: Annotated[list[str], operator.add]


@task
async def step(number: int) -> int:
    made.append(number)
    return number + 1


@task(cache_policy=CachePolicy())
async def cached(number: int, delay: float) -> int:
    made.append(number)
    if delay:
        await asyncio.sleep(delay)
    return number + 1


@task
async def wait(number: int) -> int:
    for tell in reached:
        tell()
    await asyncio.Event().wait()
    return number


async def steps(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await step(number)
    return number


async def many(count: int) -> int:
    return len(await asyncio.gather(*(step(number) for number in range(count))))


async def equal(asked: tuple[int, float]) -> int:
    count, delay = asked
    return len(await asyncio.gather(*(cached(0, delay) for _ in range(count))))


async def hits(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await cached(number, 0)
    return number


async def interrupted(count: int) -> int:
    number = await steps(count)
    return await wait(number)


def thread(name: str = "run") -> dict[str, Any]:
    return {"configurable": {"thread_id": name}, "recursion_limit": 1_000_000}


def saver(folder: Path) -> Any:
    return AsyncSqliteSaver.from_conn_string(f"{folder}/langgraph.db")


def chain(place: Place, count: int, durability: str | None) -> Found:
    return asyncio.run(_timed(place, steps, count, durability))


def fan(place: Place, count: int, durability: str | None) -> Found:
    return asyncio.run(_timed(place, many, count, durability))


async def _timed(
    place: Place, body: Callable[[int], Awaitable[int]], count: int, durability: str | None
) -> Found:
    options: dict[str, Any] = {} if durability is None else {"durability": durability}
    async with nullcontext() if durability is None else saver(place.folder) as checkpointer:
        flow = entrypoint(checkpointer=checkpointer)(body)
        await flow.ainvoke(2, thread("warm up"), **options)
        watch = Watch()
        await flow.ainvoke(count, thread(), **options)
        return {"each": watch.each(count)}


def looping(node: Callable[[State], dict[str, Any]], count: int) -> StateGraph[State]:
    """A graph that goes through a node so many times."""
    graph = StateGraph(State)

    async def counted(state: State) -> dict[str, Any]:
        return {**node(state), "number": state["number"] + 1}

    graph.add_node("node", counted)
    graph.add_edge(START, "node")
    graph.add_conditional_edges("node", lambda state: "node" if state["number"] < count else END)
    return graph


def constant(place: Place, count: int) -> Found:
    """The text stays in the state: a node that returned it again would have it stored twice."""
    return asyncio.run(_size(place, looping(lambda _: {}, count)))


def appended(place: Place, count: int) -> Found:
    return asyncio.run(_size(place, looping(lambda state: {"notes": [f"{state['number']:{ITEM}}"]}, count)))


async def _size(place: Place, graph: StateGraph[State]) -> Found:
    async with saver(place.folder) as checkpointer:
        app = graph.compile(checkpointer=checkpointer)
        await app.ainvoke(State(number=0, text=TEXT, notes=[]), thread())
    return {"size": Taken((place.folder / "langgraph.db").stat().st_size / 1e6)}


def skewed(place: Place, unit: float) -> Found:
    """The graph with an edge for each dependence: LangGraph runs it in supersteps."""

    class Joined(TypedDict):
        done: Annotated[list[str], operator.add]

    def node(chain: int, stage: int) -> Callable[[Joined], Awaitable[dict[str, Any]]]:
        async def call(_: Joined) -> dict[str, Any]:
            await asyncio.sleep(seconds(chain, stage, unit))
            return {"done": [f"{chain} {stage}"]}

        return call

    async def main() -> float:
        graph = StateGraph(Joined)
        for chain in range(CHAINS):
            for stage in range(CHAINS):
                graph.add_node(f"{chain} {stage}", node(chain, stage))
                graph.add_edge(f"{chain} {stage - 1}" if stage else START, f"{chain} {stage}")
        graph.add_node("join", lambda _: {"done": []})
        graph.add_edge([f"{chain} {CHAINS - 1}" for chain in range(CHAINS)], "join")
        async with saver(place.folder) as checkpointer:
            app = graph.compile(checkpointer=checkpointer)
            began = time.perf_counter()
            await app.ainvoke({"done": []}, thread())
            return time.perf_counter() - began

    return {"path": Taken(asyncio.run(main()) / (CRITICAL_PATH * unit))}


def forks(place: Place, count: int) -> Found:
    """`update_state` at the checkpoint before the last node; finding it is not counted."""
    return asyncio.run(_forks(place, count))


async def _forks(place: Place, count: int) -> Found:
    asked: list[float] = []
    path = place.folder / "langgraph.db"

    def node(_: State) -> dict[str, Any]:
        asked.append(time.perf_counter())
        return {}

    taken: list[Taken] = []
    firsts: list[float] = []
    async with saver(place.folder) as checkpointer:
        app = looping(node, count).compile(checkpointer=checkpointer)
        await app.ainvoke(State(number=0, text="", notes=[]), thread())
        last = [each async for each in app.aget_state_history(thread(), limit=3)][-1]
        before = used(path)
        for number in range(20):
            watch = Watch()
            await app.aupdate_state(last.config, {"text": f"row {number}"})
            taken.append(watch.each(1, 1e3))
        grown = used(path) - before
        for number in range(10):
            asked.clear()
            began = time.perf_counter()
            fork = await app.aupdate_state(last.config, {"text": f"another {number}"})
            await app.ainvoke(None, {**fork, "recursion_limit": 1_000_000})
            firsts.append((asked[0] - began) * 1e3)
    return {
        "fork": Taken(statistics.median(each.value for each in taken)),
        "bytes": Taken(grown / len(taken)),
        "new": Taken(statistics.median(firsts)),
    }


def equal_calls(place: Place, count: int, delay: float) -> Found:
    return asyncio.run(_equal_calls(place, count, delay))


async def _equal_calls(place: Place, count: int, delay: float) -> Found:
    async with saver(place.folder) as checkpointer:
        cache = SqliteCache(path=f"{place.folder}/cache.db")
        flow = entrypoint(checkpointer=checkpointer, cache=cache)(equal)
        made.clear()
        watch = Watch()
        await flow.ainvoke((count, delay), thread("first"))
        took, first = watch.each(1, 1e3), len(made)
        await flow.ainvoke((count, delay), thread("second"))
        return {"calls": Taken(first), "took": took, "second run": Taken(len(made) - first)}


def equal_runs(place: Place, count: int, delay: float) -> Found:
    return asyncio.run(_equal_runs(place, count, delay))


async def _equal_runs(place: Place, count: int, delay: float) -> Found:
    async with saver(place.folder) as checkpointer:
        cache = SqliteCache(path=f"{place.folder}/cache.db")
        flow = entrypoint(checkpointer=checkpointer, cache=cache)(equal)
        made.clear()
        watch = Watch()
        await asyncio.gather(*(flow.ainvoke((1, delay), thread(f"{number}")) for number in range(count)))
        return {"runs": Taken(len(made)), "took": watch.each(1, 1e3)}


def cache_hit(place: Place, count: int) -> Found:
    return asyncio.run(_cache_hit(place, count))


async def _cache_hit(place: Place, count: int) -> Found:
    async with saver(place.folder) as checkpointer:
        cache = SqliteCache(path=f"{place.folder}/cache.db")
        flow = entrypoint(checkpointer=checkpointer, cache=cache)(hits)
        await flow.ainvoke(count, thread("first"))
        watch = Watch()
        await flow.ainvoke(count, thread("second"))
        return {"each": watch.each(count)}


def resume(place: Place, count: int, after: float) -> Found:
    return kill_and_resume(__name__, place.url, count, after)


@asynccontextmanager
async def _interrupted(url: str) -> AsyncIterator[Any]:
    async with saver(Path(url.split("///")[1]).parent) as checkpointer:
        yield entrypoint(checkpointer=checkpointer)(interrupted)


async def start(url: str, count: int) -> None:
    """Run until the process is killed."""
    reached[:] = [lambda: print(REACHED, flush=True)]
    async with _interrupted(url) as flow:
        await flow.ainvoke(count, thread())


async def resumed(url: str) -> Found:
    """Go on with the thread until something new begins."""
    new = asyncio.Event()
    reached[:] = [new.set]
    watch = Watch()
    async with _interrupted(url) as flow:
        going = asyncio.create_task(flow.ainvoke(None, thread()))
        await new.wait()
        found = {"took": watch.each(1, 1e3), "again": Taken(len(made))}
        going.cancel()
        await asyncio.wait([going])
    return found


if __name__ == "__main__":
    as_party(start, resumed, sys.argv)
