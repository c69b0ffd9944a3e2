"""Meeting minutes: a transcript becomes decisions and tasks; tasks without an owner are asked about again."""

from pydantic import BaseModel

from agentvm import agent, llm, tool

LOG: list[str] = []


class Task(BaseModel):
    text: str
    owner: str | None = None


class Minutes(BaseModel):
    summary: str
    decisions: list[str]
    tasks: list[Task]


@tool
async def create_ticket(owner: str, text: str) -> str:
    LOG.append(f"{owner}: {text}")
    return f"T-{len(LOG)}"


async def owner_of(task: Task, transcript: str) -> str:
    """The owner named in the task, or the one the model finds, or nobody."""
    if task.owner:
        return task.owner
    guess = await llm(f"Who said they would {task.text}? {transcript}")
    return guess or "nobody"


@agent
async def take_minutes(transcript: str) -> tuple[Minutes, list[str]]:
    summary = await llm(f"Summarise: {transcript}")
    decisions = await llm(f"Decisions in: {transcript}", returns=list[str])
    tasks = await llm(f"Tasks in: {transcript}", returns=list[Task])
    owners = [await owner_of(task, transcript) for task in tasks]
    tasks = [Task(text=task.text, owner=owner) for task, owner in zip(tasks, owners, strict=True)]
    tickets = [await create_ticket(str(task.owner), task.text) for task in tasks if task.owner != "nobody"]
    return Minutes(summary=summary, decisions=decisions, tasks=tasks), tickets


def script(call):
    if call.prompt.startswith("Decisions"):
        return ["ship it"] if "ship" in call.prompt else []
    if call.prompt.startswith("Tasks"):
        return [Task(text="ship", owner="ann"), Task(text="test"), Task(text="rest")]
    if call.prompt.startswith("Who"):
        return "bob" if "test?" in call.prompt else ""
    return call.prompt[:20]


CASES = [(take_minutes, ("ann: ship. bob: I test.",), {}), (take_minutes, ("",), {})]
