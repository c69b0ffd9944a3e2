"""Four chains of four calls whose durations are skewed: how near a run comes to its critical path.

Every chain has its slow call at another stage. Who waits for a whole stage before
the next one begins waits for a slow call four times; the critical path has one.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agentvm import AgentVM, agent, llm
from agentvm.testing import ScriptedLLM

from .figures import Asked, Case, Found, Place, Row, Taken

CHAINS = 4
SLOW, QUICK = 10.0, 1.0
"""Of a call, in units."""
CRITICAL_PATH = SLOW + (CHAINS - 1) * QUICK
"""Units that the longest chain of calls takes."""


@agent
async def skewed() -> str:
    """Written stage by stage, as one would draw it."""
    a1 = await llm("0 0")
    b1 = await llm("1 0")
    c1 = await llm("2 0")
    d1 = await llm("3 0")
    a2 = await llm(f"0 1 {a1}")
    b2 = await llm(f"1 1 {b1}")
    c2 = await llm(f"2 1 {c1}")
    d2 = await llm(f"3 1 {d1}")
    a3 = await llm(f"0 2 {a2}")
    b3 = await llm(f"1 2 {b2}")
    c3 = await llm(f"2 2 {c2}")
    d3 = await llm(f"3 2 {d2}")
    a4 = await llm(f"0 3 {a3}")
    b4 = await llm(f"1 3 {b3}")
    c4 = await llm(f"2 3 {c3}")
    d4 = await llm(f"3 3 {d3}")
    return f"{a4} {b4} {c4} {d4}"


def seconds(chain: int, stage: int, unit: float) -> float:
    """How long a call takes."""
    return (SLOW if chain == stage else QUICK) * unit


def case(unit: float) -> Case:
    """With so many seconds a unit."""

    async def model(call: Any) -> str:
        chain, stage = map(int, call.prompt.split()[:2])
        await asyncio.sleep(seconds(chain, stage, unit))
        return "done"

    async def ours(place: Place) -> Found:
        async with AgentVM(store=place.url, llm=ScriptedLLM(model)) as vm:
            await vm.run(skewed)  # compiles; sampled calls are made anew
            began = time.perf_counter()
            await vm.run(skewed)
            return taken(began)

    async def floor(_: Place) -> Found:
        async def one(chain: int) -> None:
            for stage in range(CHAINS):
                await asyncio.sleep(seconds(chain, stage, unit))

        began = time.perf_counter()
        await asyncio.gather(*map(one, range(CHAINS)))
        return taken(began)

    def taken(began: float) -> Found:
        return {"path": Taken((time.perf_counter() - began) / (CRITICAL_PATH * unit))}

    row = Row("path", "4 x 4 skewed calls", "crit. path", 1.08)
    asked = Asked("skewed", {"unit": unit})
    return Case([row], ours, floor, {"langgraph": asked, "dbos": asked})


def cases(thousand: int) -> list[Case]:
    """The one case; a unit is 50 ms where a thousand is one."""
    return [case(0.05 * thousand / 1000)]
