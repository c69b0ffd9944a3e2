"""Tools chosen at run time from a table, a module-level cache, and an agent as an argument."""

from agentvm import agent, llm, tool

LOG: list[str] = []
CACHE: dict[str, str] = {}


@tool
async def email(to: str) -> str:
    LOG.append(f"email {to}")
    return f"sent {to}"


@tool(effect="read")
async def weather(place: str) -> str:
    return f"sun in {place} after {len(LOG)}"


@tool(effect="pure")
async def add(numbers: str) -> str:
    return str(sum(int(each) for each in numbers.split("+")))


TOOLS = {"email": email, "weather": weather, "add": add}


@agent
async def dynamic(requests: list[str]) -> list[str]:
    results = []
    for request in requests:
        name = await llm(f"tool for {request}")
        if name not in TOOLS:
            results.append(f"no tool {name}")
            continue
        results.append(await TOOLS[name](request))
    return results


@agent
async def cached(words: list[str]) -> list[str]:
    CACHE.clear()
    results = []
    for word in words:
        if word not in CACHE:
            CACHE[word] = await llm(f"fresh {word}")
        results.append(CACHE[word])
    return [*results, str(len(CACHE))]


@agent
async def passed(word: str) -> list[str]:
    worker = email if len(word) > 2 else weather
    return [await worker(word), await worker(word + "2")]


def script(call):
    last = call.prompt.split()[-1]
    if call.prompt.startswith("tool"):
        return "add" if "+" in last else "email" if "@" in last else "weather" if last[0].isupper() else last
    return call.prompt


CASES = [
    (dynamic, (["Oslo", "a@b", "1+2", "Rome", "dance", "c@d"],), {}),
    (cached, (["a", "b", "a"],), {}),
    (passed, ("abc",), {}),
    (passed, ("x",), {}),
]
