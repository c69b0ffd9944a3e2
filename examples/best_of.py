"""Best of N: fork a run where it draws, let a judge choose, keep one.

    python examples/best_of.py "a lighthouse" 4

The forks share all that comes before the draft, and everything that does not
depend on it: the outline and the title are made once, however many drafts.
"""

import asyncio
import sys
from typing import Annotated

from pydantic import Field

from agentvm import AgentVM, agent, llm


@agent
async def story(topic: str) -> str:
    """A short story with a title."""
    outline = await llm(f"Outline a story about {topic} in three short lines.", max_tokens=80)
    title = await llm(f"Give a story with this outline a title: {outline}", max_tokens=16)
    draft = await llm(f"Write the story in five sentences: {outline}", temperature=1.0, max_tokens=200)
    return f"{title}\n\n{draft}"


@agent
async def judge(stories: list[str]) -> int:
    """The number of the best story."""
    listed = "\n\n".join(f"[{number}] {each}" for number, each in enumerate(stories))
    last = len(stories) - 1
    number = Annotated[int, Field(ge=0, le=last)]
    return await llm(
        f"Which story is best? Answer with its number.\n\n{listed}", returns=number, temperature=0
    )


async def best_of(vm: AgentVM, topic: str, count: int) -> tuple[str, str]:
    """The best of so many stories, and the run it came from."""
    first = await vm.start(story, topic)
    await first.result()
    runs = [first, *[await vm.fork(first.id, at="draft") for _ in range(count - 1)]]
    stories = [await each.result() for each in runs]
    best = await vm.run(judge, stories)
    return stories[best], runs[best].id


async def main() -> None:
    topic = sys.argv[1] if len(sys.argv) > 1 else "a lighthouse"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    async with AgentVM() as vm:
        text, run = await best_of(vm, topic, count)
    print(f"{text}\n\n(kept {run}; all of them: agentvm show {run})")


if __name__ == "__main__":
    asyncio.run(main())
