"""Print is a side effect: its order among awaits, loops and writes is seen."""

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def save(text: str) -> None:
    LOG.append(text)


@agent
async def chatty(words: list[str]) -> int:
    print("start", len(words))
    for number, word in enumerate(words):
        print(f"{number}:", end=" ")
        answer = await llm(word)
        print(answer)
        if number == 1:
            await save(answer)
            print("saved")
    lines = [print(each) for each in words]
    print("end", lines)
    return len(lines)


@agent
async def speaks_then_fails(word: str) -> str:
    print("before")
    answer = await llm(word)
    print("after", answer)
    raise ValueError(answer)


def script(call):
    return call.prompt.upper()


CASES = [(chatty, (["a", "b", "c"],), {}), (chatty, ([],), {}), (speaks_then_fails, ("x",), {})]
