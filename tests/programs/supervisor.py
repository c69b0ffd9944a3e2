"""A supervisor hands tasks to sub-agents, by name, until the model says done."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def note(who: str, what: str) -> None:
    LOG.append(f"{who}: {what}")


@agent
async def researcher(task: str) -> str:
    facts = [await llm(f"Fact {n} on {task}") for n in range(2)]
    return " & ".join(facts)


@agent(name="author")
async def writer(task: str, *, style: str = "plain") -> str:
    text = await llm(f"Write {task} in {style}")
    await note("writer", text)
    return text


@agent
async def supervise(goal: str) -> list[str]:
    done: list[str] = []
    while True:
        decision = await llm(f"Next for {goal} after {len(done)}")
        worker, _, task = decision.partition(" ")
        if worker == "done":
            break
        if worker == "research":
            result = await researcher(task)
        elif worker == "write":
            result = await writer(task, style="bold" if done else "plain")
        else:
            continue_as = worker.upper()
            done.append(continue_as)
            continue
        done.append(result)
        await note("supervisor", str(len(done)))
    return done


def script(call):
    if call.prompt.startswith("Next"):
        return ["research owls", "write owls", "odd thing", "write more", "done"][
            int(call.prompt.split()[-1])
        ]
    return f"({call.prompt})"


CASES = [(supervise, ("a book",), {}), (researcher, ("x",), {}), (writer, ("y",), {"style": "short"})]
