"""Tenants with different needs on one engine: who must be quick, who must be done, who can wait.

    python examples/tenants.py

Chats want their first word soon (`slo="latency"`), reports must be done by a time
(a deadline), and a nightly batch takes what is left (`slo="best_effort"`). All go to
one engine, whose scheduler knows which is which: the batch does not slow the chats down.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Any

from agentvm import AgentVM, DeadlineExceeded, agent, llm


@dataclass
class Line:
    tenant: str
    seconds: float
    in_time: bool


@agent
async def chat(text: str) -> str:
    """An answer that somebody waits for."""
    return await llm(f"Answer briefly: {text}", slo="latency", max_tokens=30)


@agent(deadline="60s", on_deadline="best_effort")
async def report(topic: str) -> str:
    """Two sections side by side, then a summary: due as a whole."""
    sections = [
        await llm(f"Write two sentences on {part} of {topic}.", max_tokens=60)
        for part in ("causes", "effects")
    ]
    return await llm("Sum up in one sentence: " + " ".join(sections), max_tokens=40)


@agent
async def batch(texts: list[str]) -> list[str]:
    """Work for the night."""
    return [await llm(f"Give a title: {text}", slo="best_effort", max_tokens=12) for text in texts]


async def timed(vm: AgentVM, tenant: str, program: Any, given: Any, within: float | None) -> Line:
    """Run a tenant's program, and see whether it was in time."""
    began = time.monotonic()
    try:
        await vm.run(program, given, memo=False)
    except DeadlineExceeded:
        return Line(tenant, time.monotonic() - began, False)
    seconds = time.monotonic() - began
    return Line(tenant, seconds, within is None or seconds <= within)


async def serve(vm: AgentVM, chats: int = 3, reports: int = 2, night: int = 6) -> list[Line]:
    """All tenants at once."""
    works = [timed(vm, "night", batch, [f"text {number}" for number in range(night)], None)]
    works += [timed(vm, "reports", report, f"rain {number}", 60.0) for number in range(reports)]
    works += [timed(vm, "chats", chat, f"What is {number} plus one?", 15.0) for number in range(chats)]
    return await asyncio.gather(*works)


async def main() -> None:
    async with AgentVM(llm=sys.argv[1] if len(sys.argv) > 1 else None) as vm:
        await vm.run(chat, "Hello", memo=False)  # starts the engine
        for line in await serve(vm):
            print(f"{line.tenant:8} {line.seconds:6.1f} s  {'in time' if line.in_time else 'late'}")


if __name__ == "__main__":
    asyncio.run(main())
