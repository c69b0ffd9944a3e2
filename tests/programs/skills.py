"""A skill router: the model names a skill and its input; skills are agents in a table."""

from collections.abc import Awaitable, Callable

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool(effect="read")
async def weather(city: str) -> str:
    return f"{len(city)} degrees in {city}"


@tool
async def remember(text: str) -> str:
    LOG.append(text)
    return f"noted {len(LOG)}"


@agent
async def forecast(text: str) -> str:
    report = await weather(text)
    return await llm(f"Say nicely: {report}")


@agent
async def note(text: str) -> str:
    return await remember(await llm(f"Shorten: {text}"))


SKILLS: dict[str, Callable[[str], Awaitable[str]]] = {"forecast": forecast, "note": note}


@agent
async def assist(request: str) -> str:
    choice = await llm(f"Skill for {request}? {sorted(SKILLS)}")
    name, _, argument = choice.partition(":")
    skill = SKILLS.get(name)
    if skill is None:
        return await llm(f"No skill {name}; answer {request}")
    return await skill(argument.strip())


@agent
async def assist_named(request: str) -> str:
    choice = await llm(f"Skill for {request}? {sorted(SKILLS)}")
    match choice.split(":"):
        case ["forecast", city]:
            return await forecast(city.strip())
        case ["note", *words]:
            return await note(" ".join(words))
        case [name]:
            return await llm(f"No skill {name}; answer {request}")
        case _:
            raise LookupError(choice)


def script(call):
    if call.prompt.startswith("Skill"):
        if "weather" in call.prompt:
            return "forecast: Oslo"
        if "odd" in call.prompt:
            return "a:b:c"
        return "note: milk" if "buy" in call.prompt else "none"
    return call.prompt[-16:]


CASES = [
    *[(each, ("weather in Oslo",), {}) for each in (assist, assist_named)],
    *[(each, ("buy milk",), {}) for each in (assist, assist_named)],
    *[(each, ("hello",), {}) for each in (assist, assist_named)],
    (assist_named, ("odd",), {}),
]
