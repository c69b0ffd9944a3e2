"""Calendar booking: find a slot that all can make, hold it, and undo the holds if somebody declines."""

from agentvm import agent, llm, tool

LOG: list[str] = []
BUSY = {"ann": {9, 10}, "bob": {9, 11}, "eve": set(range(24))}


class Declined(Exception):
    """Somebody does not want the slot."""


@tool(effect="read")
async def busy_hours(person: str) -> set[int]:
    return BUSY[person]


@tool
async def hold(person: str, hour: int) -> str:
    LOG.append(f"hold {person} {hour}")
    return f"{person}@{hour}"


@tool
async def release(handle: str) -> None:
    LOG.append(f"release {handle}")


@tool
async def invite(people: list[str], hour: int, text: str) -> int:
    LOG.append(f"invite {','.join(people)} {hour}: {text}")
    return len(LOG)


@agent
async def book(people: list[str], subject: str, earliest: int = 9, latest: int = 13) -> int | None:
    taken = [await busy_hours(person) for person in people]
    for hour in range(earliest, latest):
        if any(hour in hours for hours in taken):
            continue
        handles: list[str] = []
        try:
            for person in people:
                handles.append(await hold(person, hour))
                answer = await llm(f"Would {person} take {subject} at {hour}?")
                if answer != "yes":
                    raise Declined(f"{person}: {answer}")
        except Declined:
            for handle in reversed(handles):
                await release(handle)
        else:
            return await invite(people, hour, await llm(f"Invitation to {subject}"))
    return None


def script(call):
    if call.prompt.startswith("Would"):
        return "no, lunch" if "bob" in call.prompt and "12" in call.prompt else "yes"
    return call.prompt.lower()


CASES = [
    (book, (["ann", "bob"], "review"), {"latest": 14}),
    (book, (["ann", "bob"], "review"), {}),
    (book, (["ann", "eve"], "review"), {}),
    (book, (["ann", "zoe"], "review"), {}),
]
